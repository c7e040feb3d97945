"""Timestamps of any unit and zone as whole ticks on one scale; those without a zone are UTC.

Microseconds are the scale. Where a nanosecond column really has digits below the microsecond, both sides of the
comparison are taken in nanoseconds, so that nothing is rounded into the past or the future.
"""

from datetime import timedelta
from typing import Literal

import numpy as np
import polars as pl

from .kernel import NEVER, Ints

Unit = Literal["us", "ns"]

PER_SECOND = {"ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}
LIMIT = np.iinfo(np.int64).max
MICROSECOND = timedelta(microseconds=1)


def utc(values: pl.Series) -> pl.Series:
    """A Datetime or Date column as Datetime without a zone, in UTC."""
    if values.dtype == pl.Date:
        return values.cast(pl.Datetime("us"))
    zoned = values.dtype.time_zone  # type: ignore[attr-defined]
    return values.dt.convert_time_zone("UTC").dt.replace_time_zone(None) if zoned else values


def is_moment(kind: pl.DataType) -> bool:
    """Whether values of the type are moments or days."""
    return kind == pl.Datetime or kind == pl.Date


def finest(*columns: pl.Series | None) -> Unit:
    """The coarser of the two scales that holds every value of the columns."""
    return "ns" if any(column is not None and _has_nanoseconds(column) for column in columns) else "us"


def ticks(values: pl.Series, unit: Unit) -> Ints:
    """Int64 ticks since 1970, `NEVER` for null; in nanoseconds, moments before 1678 and after 2262 are at its ends."""
    moments = utc(values)
    numbers = moments.to_physical()
    whole = (numbers.fill_null(NEVER) if numbers.null_count() else numbers).to_numpy()
    from_unit = moments.dtype.time_unit  # type: ignore[attr-defined]
    factor, divisor = PER_SECOND[unit], PER_SECOND[from_unit or "us"]
    if factor == divisor:
        return whole
    known = whole != NEVER
    if divisor > factor:
        return np.where(known, whole // (divisor // factor), NEVER)
    times = factor // divisor
    return np.where(known, np.clip(whole, -LIMIT // times + 1, LIMIT // times) * times, NEVER)


def length(span: timedelta, unit: Unit) -> int:
    """A time span in ticks; one too long for the scale is its longest."""
    return min(span // MICROSECOND * (PER_SECOND[unit] // PER_SECOND["us"]), LIMIT)


def _has_nanoseconds(values: pl.Series) -> bool:
    if values.dtype != pl.Datetime or values.dtype.time_unit != "ns":  # type: ignore[attr-defined]
        return False
    numbers = values.to_physical().drop_nulls().to_numpy()
    return bool((numbers % 1000).any())
