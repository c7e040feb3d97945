"""Aggregates as one would work them out by hand, a moment at a time in plain Python, and timelines to do so on."""

import math
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
from hypothesis import strategies as st

from mlops_assets.ml.aggregates.versions import Shape
from mlops_assets.ml.typed import INSTANT
from mlops_assets.spec.aggregates import Aggregates
from mlops_assets.spec.calendar import Calendar
from mlops_assets.spec.typed_columns import Column

Row = Mapping[str, Any]
MICRO = timedelta(microseconds=1)
LATEST = timedelta(hours=40)
"""How long after its time a row may become known."""

NIGHTS = {"2024-03-29": "a day of 23 hours", "2024-10-25": "a day of 25 hours"}
DAYS = 5
COLUMNS = {
    name: Column(type=kind)
    for name, kind in {
        "order_id": "int",
        "customer": "int | null",
        "bought_at": "datetime",
        "recorded_at": "datetime",
        "amount": "float | null",
        "pieces": "int | null",
        "shop": "str | null",
        "returned": "bool | null",
    }.items()
}
SHAPE = Shape(COLUMNS, ["order_id"], "bought_at", "recorded_at")

ASKED = Aggregates.model_validate(
    {
        "key": ["customer"],
        "features": {
            "bought_1h": {"count": "rows", "over": "1h"},
            "bought_2d": {"count": "rows", "over": "2d"},
            "large_1d": {"count": "rows", "over": "1d", "where": "amount > 100 and not returned"},
            "spent_1d": {"sum": "amount", "over": "1d"},
            "pieces_2d": {"sum": "pieces", "over": "2d"},
            "worth_1d": {"sum": "amount * pieces", "over": "1d"},
            "spent_mean_2d": {"mean": "amount", "over": "2d"},
            "pieces_mean_1h": {"mean": "pieces", "over": "1h"},
            "least_1d": {"min": "amount", "over": "1d"},
            "most_2d": {"max": "pieces", "over": "2d"},
            "last_shop": {"last": "shop", "over": "2d"},
            "last_amount": {"last": "amount", "over": "1d", "where": "shop = 'a'"},
            "shops_1d": {"distinct": "shop", "over": "1d"},
            "returned_1d": {"rate": "returned", "over": "1d"},
            "cheap_1d": {"rate": "amount < 50", "over": "1d"},
            "hours_since": {"time_since": "6h", "over": "2d"},
            "minutes_since_large": {"time_since": "7 min", "over": "1h", "where": "amount > 100"},
            "minutes_between_2d": {"gap": "1 min", "over": "2d"},
            "span_1d": {"span": "1 min", "over": "1d"},
        },
    }
)
FOR_EVER = Aggregates.model_validate(
    {
        "key": ["customer", "shop"],
        "features": {
            "bought": {"count": "rows", "over": "lifetime"},
            "spent": {"sum": "amount", "over": "lifetime"},
            "least": {"min": "amount", "over": "lifetime"},
            "last": {"last": "returned", "over": "lifetime"},
            "numbers": {"distinct": "pieces", "over": "lifetime"},
            "most": {"max": "pieces", "over": "lifetime"},
            "spent_mean": {"mean": "amount", "over": "lifetime"},
            "pieces_2d": {"sum": "pieces", "over": "2d"},
            "returned": {"rate": "returned", "over": "lifetime"},
            "hours_between": {"gap": "1h", "over": "lifetime"},
            "hours_large": {"span": "1h", "over": "lifetime", "where": "amount > 100"},
            "bought_1d": {"count": "rows", "over": "1d"},
        },
    }
)


FILTERS: Mapping[str, Callable[[Row], bool]] = {
    "large_1d": lambda row: row["amount"] is not None and row["amount"] > 100 and row["returned"] is False,
    "last_amount": lambda row: row["shop"] == "a",
    "minutes_since_large": lambda row: row["amount"] is not None and row["amount"] > 100,
    "hours_large": lambda row: row["amount"] is not None and row["amount"] > 100,
}


def _worth(row: Row) -> float | None:
    return None if None in (row["amount"], row["pieces"]) else row["amount"] * row["pieces"]


EXPRESSIONS: Mapping[str, Callable[[Row], Any]] = {
    "amount * pieces": _worth,
    "amount < 50": lambda row: None if row["amount"] is None else row["amount"] < 50,
}


def known_rows(rows: Sequence[Row], moment: datetime) -> list[Row]:
    """Of every row the newest version that is known by a moment, from the oldest row to the newest."""
    newest: dict[Any, Row] = {}
    for row in sorted(rows, key=lambda row: row["recorded_at"]):
        if row["recorded_at"] <= moment:
            newest[row["order_id"], row["bought_at"]] = row
    return sorted(newest.values(), key=lambda row: (row["bought_at"], row["recorded_at"], row["order_id"]))


def by_hand(asked: Aggregates, rows: Sequence[Row], key: tuple[Any, ...], moment: datetime) -> dict[str, Any]:
    """Every feature of a key at a moment."""
    ours = [row for row in known_rows(rows, moment) if tuple(row[name] for name in asked.key) == key]
    found = {}
    for name, one in asked.features.items():
        inside = [
            row
            for row in ours
            if row["bought_at"] <= moment
            and (one.window is None or row["bought_at"] > moment - one.window)
            and FILTERS.get(name, lambda row: True)(row)
        ]
        read = EXPRESSIONS.get(one.of or "", lambda row, of=one.of or "": row[of])
        values = [value for row in inside if one.of and (value := read(row)) is not None]
        found[name] = _of(one.word, values, inside, moment, one.step)
    return found


def _of(word: str, values: list[Any], rows: list[Row], moment: datetime, step: timedelta | None) -> Any:
    if word == "count":
        return len(rows)
    if word == "time_since":
        return (moment - rows[-1]["bought_at"]) // step if rows and step else None
    if word in ("gap", "span"):
        times = [row["bought_at"] for row in rows][-2 if word == "gap" else 0 :]
        return (times[-1] - times[0]) // step if step and len(times) > (word == "gap") else None
    if word == "distinct":
        return len(set(values))
    if word == "sum":
        return _single(math.fsum(values)) if any(isinstance(one, float) for one in values) else sum(values)
    if not values:
        return None
    if word == "mean":
        whole = all(isinstance(one, int) for one in values)
        return _single((float(sum(values)) if whole else math.fsum(values)) / len(values))
    if word == "rate":
        return _single(sum(values) / len(values))
    return {"min": min, "max": max, "last": lambda found: found[-1]}[word](values)


def _single(value: float) -> float:
    return float(np.float32(value))


def same(found: Any, wanted: Any) -> bool:
    """Whether a cell is what was worked out, which single precision holds."""
    return found == (_single(wanted) if isinstance(wanted, float) else wanted)


def begins(asked: Aggregates, rows: Sequence[Row], key: tuple[Any, ...]) -> datetime | None:
    """The first moment at which a row of a key has happened and is known."""
    begun = []
    for row in rows:
        begin = max(row["bought_at"], row["recorded_at"])
        versions = [r for r in rows if (r["order_id"], r["bought_at"]) == (row["order_id"], row["bought_at"])]
        replaced = [r["recorded_at"] for r in versions if r["recorded_at"] > row["recorded_at"]]
        if tuple(row[name] for name in asked.key) == key and (not replaced or begin < min(replaced)):
            begun.append(begin)
    return min(begun, default=None)


def frame(rows: Sequence[Row]) -> pl.DataFrame:
    """The rows as the lake has them."""
    kinds: dict[str, Any] = {
        "int": pl.Int64,
        "float": pl.Float64,
        "str": pl.String,
        "bool": pl.Boolean,
        "datetime": INSTANT,
    }
    return pl.DataFrame(list(rows), {name: kinds[one.kind] for name, one in COLUMNS.items()}, orient="row")


@st.composite
def timelines(draw: st.DrawFn) -> tuple[Calendar, list[Row]]:
    """Five days around a night in which the clock is set, and rows that come late, twice, corrected, or long after one another."""
    calendar = Calendar(cadence="daily", start=draw(st.sampled_from([*NIGHTS])), timezone="Europe/Berlin")  # type: ignore[arg-type]
    minutes = st.one_of(st.integers(0, DAYS * 24 * 60 - 61), st.sampled_from([60, 120, 1440, 2880, 2940]))
    times = draw(st.lists(st.tuples(minutes, st.sampled_from([0, 0, 1, 999_999])), min_size=1, max_size=9))
    rows: list[Row] = []
    for number, (minute, micro) in enumerate(times):
        at = calendar.first.start + timedelta(minutes=minute, microseconds=micro)
        last = timedelta(minutes=draw(st.sampled_from([0, 0, 0, -30, 1, 60, 600, 1440, 2000])))
        last = max(last, calendar.at(at).start - at)
        for _ in range(draw(st.sampled_from([1, 1, 1, 2, 3]))):
            rows.append(
                {
                    "order_id": number,
                    "customer": draw(st.sampled_from([1, 1, 2, None])),
                    "bought_at": at,
                    "recorded_at": at + last,
                    "amount": draw(st.sampled_from([None, 0.1, 0.2, -0.3, 49.99, 100.5, 1e16, -1e16, 3e7])),
                    "pieces": draw(st.sampled_from([None, 0, 1, 7, -(2**40), 2**61])),
                    "shop": draw(st.sampled_from([None, "a", "b"])),
                    "returned": draw(st.sampled_from([None, True, False])),
                }
            )
            last += timedelta(minutes=draw(st.sampled_from([1, 60, 400])))
        if draw(st.booleans()):
            rows.append(rows[-1])
    return calendar, draw(st.permutations(rows))
