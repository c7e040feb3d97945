"""What a table promises, and where a frame breaks the promise."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import polars as pl
from polars import selectors


@dataclass(frozen=True)
class Expectation:
    """The promises of one table; ranges and nulls are limits a healthy partition stays inside.

    `time` is the UTC column that must stay before the partition's end. `every` is the longest silence, anywhere in
    the partition, that is not a gap. `known` names a column (moment its content was known) that must not exceed
    `time`, where the table has one.
    """

    schema: Mapping[str, Any]
    keys: Sequence[str]
    time: str | None = None
    known: str | None = None
    every: timedelta | None = None
    ranges: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    nulls: Mapping[str, float] = field(default_factory=dict)
    """Column -> largest share of nulls; a column that is not named may be null at will."""


@dataclass(frozen=True)
class Finding:
    """One promise examined: a claim, whether it holds, and the numbers behind it."""

    claim: str
    holds: bool
    blocking: bool
    numbers: dict[str, Any]

    @property
    def reason(self) -> str:
        """The numbers in one line, those that are empty left out."""
        return "; ".join(f"{name}: {_line(value)}" for name, value in self.numbers.items() if value)


BLOCKING = ("schema_is_as_declared", "keys_are_unique", "no_event_after_the_partition")
WARNING = ("nulls_within_limits", "values_in_range", "fresh_to_the_end", "no_gaps")


def claims(expected: Expectation) -> list[tuple[str, bool]]:
    """The claims that apply to a table, each with whether it blocks what is downstream."""
    timeless = {"no_event_after_the_partition", "fresh_to_the_end", "no_gaps"}
    names = [(name, True) for name in BLOCKING] + [(name, False) for name in WARNING]
    return [(name, blocks) for name, blocks in names if expected.time or name not in timeless]


def examine(frame: pl.DataFrame, expected: Expectation, end: datetime | None) -> list[Finding]:
    """Every claim about a frame; `end` is the partition's end (None for a table that is not cut into partitions)."""
    fits, numbers = _schema(frame, expected)
    if not fits:
        skipped = {"not examined": "the schema is not as declared"}
        return [
            Finding(name, False, blocks, numbers if name == "schema_is_as_declared" else skipped)
            for name, blocks in claims(expected)
        ]
    present = frame.with_columns(selectors.float().fill_nan(None))
    results = {
        "schema_is_as_declared": (fits, numbers),
        "keys_are_unique": _unique(frame, expected.keys),
        "nulls_within_limits": _nulls(present, expected.nulls),
        "values_in_range": _ranges(present, expected.ranges),
    }
    if expected.time:
        results["no_event_after_the_partition"] = _no_future(frame, expected, end)
        results["fresh_to_the_end"] = _fresh(frame, expected, end)
        results["no_gaps"] = _gaps(frame, expected)
    return [Finding(name, results[name][0], blocks, results[name][1]) for name, blocks in claims(expected)]


def _schema(frame: pl.DataFrame, expected: Expectation) -> tuple[bool, dict[str, Any]]:
    declared, types = dict(expected.schema), dict(frame.schema)
    missing = [name for name in declared if name not in types]
    unknown = [name for name in types if name not in declared]
    other = {
        name: f"{types[name]}, declared {declared[name]}"
        for name in declared
        if name in types and types[name] != declared[name]
    }
    return not (missing or unknown or other), {"missing": missing, "unknown": unknown, "other type": other}


def _unique(frame: pl.DataFrame, keys: Sequence[str]) -> tuple[bool, dict[str, Any]]:
    duplicates = frame.height - frame.select(keys).n_unique() if frame.height else 0
    return duplicates == 0, {"rows": frame.height, "duplicate rows": duplicates, "keys": ", ".join(keys)}


def _nulls(frame: pl.DataFrame, limits: Mapping[str, float]) -> tuple[bool, dict[str, Any]]:
    shares = {name: frame[name].null_count() / max(frame.height, 1) for name in limits}
    over = {
        name: f"{share:.1%} null, at most {limits[name]:.1%}"
        for name, share in shares.items()
        if share > limits[name]
    }
    return not over, {"columns examined": len(limits), "over the limit": over}


def _ranges(frame: pl.DataFrame, ranges: Mapping[str, tuple[float, float]]) -> tuple[bool, dict[str, Any]]:
    if not ranges:
        return True, {"columns examined": 0, "out of range": {}}
    counts = frame.select(
        (~pl.col(name).is_between(low, high)).sum().alias(name) for name, (low, high) in ranges.items()
    ).row(0, named=True)
    out = {
        name: f"{count} rows outside {ranges[name][0]:g} to {ranges[name][1]:g}"
        for name, count in counts.items()
        if count
    }
    return not out, {"columns examined": len(ranges), "out of range": out}


def _no_future(
    frame: pl.DataFrame, expected: Expectation, end: datetime | None
) -> tuple[bool, dict[str, Any]]:
    late = frame.filter(pl.col(str(expected.time)) >= end).height if end else 0
    early = frame.filter(pl.col(expected.known) > pl.col(str(expected.time))).height if expected.known else 0
    numbers = {
        "rows at or after the partition's end": late,
        "rows stamped before their content was known": early,
    }
    return late == 0 and early == 0, numbers


def _fresh(frame: pl.DataFrame, expected: Expectation, end: datetime | None) -> tuple[bool, dict[str, Any]]:
    newest = frame[str(expected.time)].max() if frame.height else None
    if end is None or expected.every is None:
        return True, {"newest": str(newest)}
    fresh = isinstance(newest, datetime) and end - newest <= expected.every
    return fresh, {"newest": str(newest), "partition's end": str(end), "limit": str(expected.every)}


def _gaps(frame: pl.DataFrame, expected: Expectation) -> tuple[bool, dict[str, Any]]:
    if expected.every is None or frame.height < 2:
        return True, {"longest silence": "not examined"}
    longest = frame[str(expected.time)].unique().sort().diff().max()
    return not (isinstance(longest, timedelta) and longest > expected.every), {
        "longest silence": str(longest),
        "limit": str(expected.every),
    }


def _line(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} is {text}" for name, text in value.items())
    return ", ".join(value) if isinstance(value, list) else str(value)


@dataclass(frozen=True)
class Column:
    """One column: a sentence on what it says, its unit, and the (table, column) pairs that can change its values."""

    description: str = ""
    unit: str = ""
    made_of: tuple[tuple[str, str], ...] = ()
