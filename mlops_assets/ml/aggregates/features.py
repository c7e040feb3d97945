"""What a feature is at each place, of the rows that cover it: a function for each word."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from mlops_assets.ml.aggregates.covering import NONE, counted, different, largest, running, two_largest
from mlops_assets.ml.aggregates.exact import Ints, Limbs, added, nearest, summed, whole_numbers
from mlops_assets.ml.aggregates.places import MICRO, Bools
from mlops_assets.ml.aggregates.versions import AggregateError
from mlops_assets.spec.aggregates import Aggregate
from mlops_assets.spec.typed_columns import Kind

FEATURES: Mapping[Kind, Any] = {"int": pl.Int64, "float": pl.Float32, "str": pl.String, "bool": pl.Boolean}
"""How a feature of a kind is stored."""


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

    @cached_property
    def count(self) -> Ints:
        """For each place how many rows count."""
        counts = counted(*self.places)
        return counts if self.base is None else counts + self.base[0]

    @cached_property
    def total(self) -> Limbs:
        """For each place the sum of the values; of conditions, how many hold."""
        values = self.values.cast(pl.Int64) if self.values.dtype == pl.Boolean else self.values
        totals = summed(values.to_numpy(), running(*self.places))
        return totals if self.base is None else added(totals, self.base[1])

    @cached_property
    def rounded(self) -> npt.NDArray[np.float64]:
        """For each place the float nearest to the sum."""
        return nearest(self.total)

    @property
    def places(self) -> tuple[Ints, Ints, int]:
        """What the functions of `covering` take."""
        return self.low, self.high, self.moment.size

    def best(self, rank: Ints) -> Ints:
        """For each place the number, among these, of the row with the largest rank; NONE of no row."""
        order = np.empty_like(rank)
        order[rank] = np.arange(rank.size)
        places = largest(self.low, self.high, rank, self.moment.size)
        return np.where(places == NONE, NONE, order[places]) if rank.size else places

    @cached_property
    def newest(self) -> Ints:
        """For each place the number, among these, of the newest row; NONE of no row."""
        return largest(self.low, self.high, np.arange(self.low.size), self.moment.size)


def passed(rows: Covered) -> tuple[Ints, Bools]:
    """For each place how long ago the newest row was, in microseconds, and whether there is one."""
    newest = rows.newest
    time = rows.time[newest] if rows.time.size else np.zeros(newest.size, np.int64)
    return rows.moment - time, newest != NONE


def feature(name: str, one: Aggregate, kind: Kind, rows: Covered) -> pl.Series:
    values = MAKERS[one.word](one, kind, rows)
    stored = values.cast(FEATURES[kind]).alias(name)
    if kind == "float" and (bad := stored.is_infinite().fill_null(False)).any():
        raise AggregateError(
            f"feature {name!r} is {values[int(bad.arg_max() or 0)]!r} at a moment, more than 32 bits hold: scale it"
        )
    return stored


def _count(one: Aggregate, kind: Kind, rows: Covered) -> pl.Series:
    return pl.Series(rows.count)


def _sum(one: Aggregate, kind: Kind, rows: Covered) -> pl.Series:
    if kind == "float":
        return pl.Series(rows.rounded)
    whole, lost = whole_numbers(rows.total)
    if lost.any():
        raise AggregateError(
            f"sum of {one.of!r} is more than 64 bits hold at a moment: sum a float, or scale it"
        )
    return pl.Series(whole)


def _mean(one: Aggregate, kind: Kind, rows: Covered) -> pl.Series:
    return _by_row(rows.rounded, rows.count)


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
    since, there = passed(rows)
    whole = pl.Series(since // ((one.time_since or MICRO) // MICRO))
    return whole.zip_with(pl.Series(there), pl.Series([None], dtype=pl.Int64))


def _gap(one: Aggregate, kind: Kind, rows: Covered) -> pl.Series:
    newest, before = two_largest(rows.low, rows.high, np.arange(rows.low.size), rows.moment.size)
    return _apart(one, rows, before, newest)


def _span(one: Aggregate, kind: Kind, rows: Covered) -> pl.Series:
    return _apart(one, rows, rows.best(np.arange(rows.low.size)[::-1]), rows.newest)


def _apart(one: Aggregate, rows: Covered, earlier: Ints, later: Ints) -> pl.Series:
    """Whole steps from one row's time to another's; null where either is none."""
    if not rows.time.size:
        return pl.repeat(None, earlier.size, dtype=pl.Int64, eager=True)
    apart = pl.Series((rows.time[later] - rows.time[earlier]) // ((one.step or MICRO) // MICRO))
    there = (earlier != NONE) & (later != NONE)
    return apart.zip_with(pl.Series(there), pl.Series([None], dtype=pl.Int64))


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
    "rate": _mean,
    "time_since": _time_since,
    "gap": _gap,
    "span": _span,
}
