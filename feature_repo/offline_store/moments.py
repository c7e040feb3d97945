"""Timestamps of any unit and zone as whole ticks on one scale; those without a zone are UTC.

Ticks are microseconds since 1970. Where a nanosecond column really has digits below the microsecond, ticks are
numbers that keep every comparison between the two sides of a join, so that nothing is rounded into past or future.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

import numpy as np
import polars as pl

from .kernel import NEVER, Ints

Unit = Literal["us", "ns"]

PER_SECOND = {"ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}
LIMIT = np.iinfo(np.int64).max
MICROSECOND = timedelta(microseconds=1)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Scale:
    """How moments become ticks: microseconds, or, with `known`, numbers that keep nanoseconds too.

    `known` are the distinct microseconds of the source, rising. The n-th of them has the 1000 numbers from
    `(2n + 1) * 1000` on; a moment between two of them has one number between theirs.
    """

    known: Ints | None = None

    def ticks(self, values: pl.Series) -> Ints:
        """Int64 ticks of a timestamp column, `NEVER` for null."""
        micro, nano = _split(values)
        return self._numbered(micro, nano)

    def oldest(self, values: pl.Series, ttl: timedelta) -> Ints:
        """Int64 ticks of the moments a time to live before those of the column."""
        micro, nano = _split(values)
        span = length(ttl)
        return self._numbered(np.where(micro < NEVER + 1 + span, micro, micro - span), nano)

    def _numbered(self, micro: Ints, nano: Ints | None) -> Ints:
        if self.known is None:
            return micro
        at = np.searchsorted(self.known, micro)
        exact = np.append(self.known, NEVER)[at] == micro
        numbers = np.where(exact, (2 * at + 1) * 1000 + (0 if nano is None else nano), 2 * at * 1000)
        return np.where(micro == NEVER, NEVER, numbers)


def scale(questions: pl.Series, *source: pl.Series | None) -> Scale:
    """The scale on which the asked moments and those of a source's columns compare exactly."""
    columns = [column for column in source if column is not None]
    if finest(questions, *columns) == "us":
        return MICROSECONDS
    known = np.concatenate([_split(column)[0] for column in columns])
    return Scale(np.unique(known[known != NEVER]))


MICROSECONDS = Scale()


def utc(values: pl.Series) -> pl.Series:
    """A Datetime or Date column as Datetime without a zone, in UTC."""
    if values.dtype == pl.Date:
        return values.cast(pl.Datetime("us"))
    zoned = values.dtype.time_zone  # type: ignore[attr-defined]
    return values.dt.convert_time_zone("UTC").dt.replace_time_zone(None) if zoned else values


def is_moment(kind: pl.DataType) -> bool:
    """Whether values of the type are moments or days."""
    return kind == pl.Datetime or kind == pl.Date


def finest(*columns: pl.Series) -> Unit:
    """The coarser of the two units that holds every value of the columns."""
    return "ns" if any(_has_nanoseconds(column) for column in columns) else "us"


def microsecond(moment: datetime) -> int:
    """A moment (without a zone: UTC) in microseconds since 1970."""
    return ((moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - EPOCH) // MICROSECOND


def length(span: timedelta) -> int:
    """A time span in microseconds."""
    return span // MICROSECOND


def _split(values: pl.Series) -> tuple[Ints, Ints | None]:
    """Whole microseconds (`NEVER` for null) and, of a nanosecond column, the nanoseconds beyond them."""
    moments = utc(values)
    numbers = moments.to_physical()
    whole = (numbers.fill_null(NEVER) if numbers.null_count() else numbers).to_numpy()
    unit = moments.dtype.time_unit  # type: ignore[attr-defined]
    if unit == "us":
        return whole, None
    known = whole != NEVER
    if unit == "ms":
        return np.where(known, np.clip(whole, -LIMIT // 1000 + 1, LIMIT // 1000) * 1000, NEVER), None
    return np.where(known, whole // 1000, NEVER), np.where(known, whole % 1000, 0)


def _has_nanoseconds(values: pl.Series) -> bool:
    if values.dtype != pl.Datetime or values.dtype.time_unit != "ns":  # type: ignore[attr-defined]
        return False
    return bool((values.to_physical().drop_nulls().to_numpy() % 1000).any())
