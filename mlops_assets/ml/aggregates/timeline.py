"""Aggregates of a table's rows as steps in time: what each feature of a key is from one moment on until the next.

A row counts over a window from the moment at which it has happened and is known, until it is as old as the window is long or
a later version of it is known.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Self

import numpy as np
import polars as pl

from mlops_assets.ml.aggregates.covering import NONE, counted, different, largest, running, two_largest
from mlops_assets.ml.aggregates.exact import Ints, Limbs, added, nearest, summed, whole_numbers
from mlops_assets.ml.aggregates.places import MICRO, Bools, Places, Spells, changes, micros, steps
from mlops_assets.ml.aggregates.running import ADDED, Running
from mlops_assets.ml.aggregates.versions import TIME, AggregateError, Shape, column_of, versions_of
from mlops_assets.ml.typed import INSTANT
from mlops_assets.spec.aggregates import Aggregate, Aggregates
from mlops_assets.spec.columns import EVENT_TIME
from mlops_assets.spec.typed_columns import Kind

FEATURES: Mapping[Kind, Any] = {"int": pl.Int64, "float": pl.Float32, "str": pl.String, "bool": pl.Boolean}
"""How a feature of a kind is stored."""


def aggregate_rows(
    rows: pl.DataFrame,
    asked: Aggregates,
    shape: Shape,
    start: datetime,
    end: datetime,
    before: Running | None = None,
) -> pl.DataFrame:
    """Key, event timestamp and features: a row for each key and moment in `[start, end)` at which something changes for it.

    A key's newest row at or before a moment says what every feature is at that moment. `rows` are those of the table whose
    time lies at most the longest window, or how late they may become known, before `start`; others change nothing. With what
    the settled ones come to `before`, they are those that are not settled, and those that leave a window in the span.

    Raises AggregateError for a number that its feature does not hold, and where nothing decides between two rows.
    """
    kinds, versions, read = shape.kinds(asked), versions_of(rows, asked, shape), 0
    if before is not None:
        touched = versions.select(asked.key).unique()
        before = (
            before if any(one.time_since for one in asked.features.values()) else before.touching(touched)
        )
        is_settled = pl.col(TIME) < before.span.settled
        leaving = versions.filter(is_settled)
        read, versions = leaving.height, pl.concat([leaving, before.rows, versions.filter(~is_settled)])
    keys = versions.select(asked.key).unique().sort(asked.key).with_row_index("_key")
    number = versions.select(asked.key).join(keys, on=asked.key, how="left", maintain_order="left")["_key"]
    spells = Spells.of(versions, number.cast(pl.Int64).to_numpy())
    line = Timeline.over(versions, spells, [*asked.features.values()], micros(start), micros(end))
    line = replace(line, settled=Settled(before, keys, read) if before else None)
    made = {
        name: _feature(name, one, kinds[name], line.covered(n, one))
        for n, (name, one) in enumerate(asked.features.items())
    }
    at = pl.Series(EVENT_TIME, line.places.moment, pl.Int64).cast(INSTANT)
    found = pl.concat(
        [keys.drop("_key")[line.places.key], pl.DataFrame([at, *made.values()])], how="horizontal"
    )
    return found.filter(pl.Series(line.told()))


@dataclass(frozen=True)
class Covered:
    """The rows that count for one feature, and which places each covers; `row` has their numbers, from oldest to newest."""

    row: Ints
    time: Ints
    values: pl.Series
    low: Ints
    high: Ints
    moment: Ints
    base: tuple[Ints, Limbs] | None = None

    @property
    def count(self) -> Ints:
        """For each place how many rows count."""
        found = counted(*self.places)
        return found if self.base is None else found + self.base[0]

    @property
    def total(self) -> Limbs:
        """For each place the sum of the values; of conditions, how many hold."""
        values = self.values.cast(pl.Int64) if self.values.dtype == pl.Boolean else self.values
        found = summed(values.to_numpy(), running(*self.places))
        return found if self.base is None else added(found, self.base[1])

    @property
    def places(self) -> tuple[Ints, Ints, int]:
        """What the functions of `covering` take."""
        return self.low, self.high, self.moment.size

    def best(self, rank: Ints) -> Ints:
        """For each place the number, among these, of the row with the largest rank; NONE of no row."""
        order = np.empty_like(rank)
        order[rank] = np.arange(rank.size)
        found = largest(self.low, self.high, rank, self.moment.size)
        return np.where(found == NONE, NONE, order[found]) if rank.size else found

    @property
    def newest(self) -> Ints:
        """For each place the number, among these, of the newest row; NONE of no row."""
        return largest(self.low, self.high, np.arange(self.low.size), self.moment.size)


@dataclass(frozen=True)
class Settled:
    """What settled rows come to, the keys by number, and how many of the versions, the first ones, are settled and were read."""

    before: Running
    keys: pl.DataFrame
    read: int

    def stands_in(self, time: Ints, one: Aggregate) -> Bools:
        """Which versions do not count for a feature, because they are in its base or among the rows kept for it."""
        settled = np.arange(time.size) < self.read
        return settled & (time >= self.before.span.stays_from(one)) if one.word in ADDED else settled

    def base(self, number: int, place: Ints) -> tuple[Ints, Limbs]:
        """What counts for a feature beside the versions."""
        return self.before.base(number, self.keys.drop("_key"), place)


@dataclass(frozen=True)
class Timeline:
    """The places of a span, and the rows that may cover them. `happens` says at which places something happens by itself."""

    versions: pl.DataFrame
    spells: Spells
    features: list[Aggregate]
    start: int
    end: int
    places: Places
    happens: Bools
    touched: Bools
    settled: Settled | None = None

    @classmethod
    def over(
        cls, versions: pl.DataFrame, spells: Spells, features: list[Aggregate], start: int, end: int
    ) -> Self:
        """All places of `[start, end)`."""
        happening = changes(versions, spells, features, start, end)
        stepping = [
            steps(spells, versions[column_of(n)].is_not_null().to_numpy(), one, start, end)
            for n, one in enumerate(features)
            if one.time_since
        ]
        places = Places.of([happening, *stepping])
        touched = np.isin(spells.key, places.key)
        return cls(versions, spells, features, start, end, places, places.have(*happening), touched)

    def covered(self, number: int, one: Aggregate) -> Covered:
        """The rows that count for the feature of a number at some place."""
        ends, column = self.spells.end(one.window), column_of(number)
        counts = self.touched & self.versions[column].is_not_null().to_numpy()
        if self.settled:
            counts &= ~self.settled.stands_in(self.spells.time, one)
        row = np.flatnonzero(counts & (self.spells.begin < ends) & (ends > self.start))
        key = self.spells.key[row]
        low, high = self.places.before(key, self.spells.begin[row]), self.places.before(key, ends[row])
        some = low < high
        row = row[some]
        values = self.versions[column].gather(row)
        base = self.settled.base(number, self.places.key) if self.settled and one.word in ADDED else None
        return Covered(row, self.spells.time[row], values, low[some], high[some], self.places.moment, base)

    def told(self) -> Bools:
        """Which places are rows: of those that are steps since a row alone, those whose newest row it is."""
        found = self.happens.copy()
        for n, one in enumerate(self.features):
            if one.time_since:
                since, there = _passed(self.covered(n, one))
                found |= there & (since > 0) & (since % (one.time_since // MICRO) == 0)
        return found


def _passed(rows: Covered) -> tuple[Ints, Bools]:
    """For each place how long ago the newest row was, in microseconds, and whether there is one."""
    newest = rows.newest
    time = rows.time[newest] if rows.time.size else np.zeros(newest.size, np.int64)
    return rows.moment - time, newest != NONE


def _feature(name: str, one: Aggregate, kind: Kind, rows: Covered) -> pl.Series:
    made = MAKERS[one.word](one, kind, rows)
    stored = made.cast(FEATURES[kind]).alias(name)
    if kind == "float" and (bad := stored.is_infinite().fill_null(False)).any():
        raise AggregateError(
            f"feature {name!r} is {made[int(bad.arg_max() or 0)]!r} at a moment, more than 32 bits hold: scale it"
        )
    return stored


def _count(one: Aggregate, kind: Kind, rows: Covered) -> pl.Series:
    return pl.Series(rows.count)


def _sum(one: Aggregate, kind: Kind, rows: Covered) -> pl.Series:
    sums = rows.total
    if kind == "float":
        return pl.Series(nearest(sums))
    whole, lost = whole_numbers(sums)
    if lost.any():
        raise AggregateError(
            f"sum of {one.of!r} is more than 64 bits hold at a moment: sum a float, or scale it"
        )
    return pl.Series(whole)


def _mean(one: Aggregate, kind: Kind, rows: Covered) -> pl.Series:
    return _by_row(nearest(rows.total), rows.count)


def _rate(one: Aggregate, kind: Kind, rows: Covered) -> pl.Series:
    return _by_row(nearest(rows.total), rows.count)


def _extreme(one: Aggregate, kind: Kind, rows: Covered) -> pl.Series:
    order = np.argsort(rows.values.to_numpy(), kind="stable")
    rank = np.empty_like(order)
    rank[order] = np.arange(order.size) if one.word == "max" else np.arange(order.size)[::-1]
    return _of_row(rows.values, rows.best(rank))


def _last(one: Aggregate, kind: Kind, rows: Covered) -> pl.Series:
    return _of_row(rows.values, rows.newest)


def _distinct(one: Aggregate, kind: Kind, rows: Covered) -> pl.Series:
    group = rows.values.rank("dense").cast(pl.Int64).to_numpy()
    return pl.Series(different(rows.low, rows.high, group, rows.moment.size))


def _time_since(one: Aggregate, kind: Kind, rows: Covered) -> pl.Series:
    passed, there = _passed(rows)
    since = pl.Series(passed // ((one.time_since or MICRO) // MICRO))
    return since.zip_with(pl.Series(there), pl.Series([None], dtype=pl.Int64))


def _gap(one: Aggregate, kind: Kind, rows: Covered) -> pl.Series:
    newest, before = two_largest(rows.low, rows.high, np.arange(rows.low.size), rows.moment.size)
    return _apart(one, rows, before, newest)


def _span(one: Aggregate, kind: Kind, rows: Covered) -> pl.Series:
    return _apart(one, rows, rows.best(np.arange(rows.low.size)[::-1]), rows.newest)


def _apart(one: Aggregate, rows: Covered, earlier: Ints, later: Ints) -> pl.Series:
    """Whole steps from one row's time to another's; null where either is none."""
    if not rows.time.size:
        return pl.repeat(None, earlier.size, dtype=pl.Int64, eager=True)
    passed = pl.Series((rows.time[later] - rows.time[earlier]) // ((one.step or MICRO) // MICRO))
    there = (earlier != NONE) & (later != NONE)
    return passed.zip_with(pl.Series(there), pl.Series([None], dtype=pl.Int64))


def _by_row(total: Any, count: Ints) -> pl.Series:
    """Null of no row."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return pl.Series(total / count).fill_nan(None)


def _of_row(values: pl.Series, row: Ints) -> pl.Series:
    at = pl.Series(row, dtype=pl.Int64)
    return (
        values.gather(at.set(at == NONE, None).cast(pl.UInt32))
        if values.len()
        else pl.repeat(None, row.size, dtype=values.dtype, eager=True)
    )


MAKERS: Mapping[str, Callable[[Aggregate, Kind, Covered], pl.Series]] = {
    "count": _count,
    "sum": _sum,
    "mean": _mean,
    "min": _extreme,
    "max": _extreme,
    "last": _last,
    "distinct": _distinct,
    "rate": _rate,
    "time_since": _time_since,
    "gap": _gap,
    "span": _span,
}
