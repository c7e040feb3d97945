"""Sums over sliding windows, on a regular grid, of events that count from the moment they became known.

A row at grid time T holds the events with `T - window < known <= T`; where there are none there is no row, so
that a time to live of one grid step says "nothing happened" without storing it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import polars as pl

from mlops_assets.use_cases.flights.schema import UTC

GRID = "grid"
"""Column with the grid time, in unix seconds until `table` turns it into the event timestamp."""

NOW = pl.from_epoch(GRID, time_unit="s").cast(pl.Datetime("us")).dt.replace_time_zone("UTC")
"""The grid time of a row as an instant."""


@dataclass(frozen=True)
class Grid:
    """The grid times with `start <= T < end`, every `step` counted from the unix epoch."""

    start: datetime
    end: datetime
    step: timedelta

    def sliding(self, events: pl.DataFrame, window: timedelta, known: str = "known") -> pl.DataFrame:
        """Every event once for each grid time whose window holds it."""
        return self._spread(events, pl.col(known), pl.col(known) + window)

    def lasting(self, events: pl.DataFrame, since: str, until: str, longest: timedelta) -> pl.DataFrame:
        """Every event once for each grid time with `since <= T < until`, at most `longest` after `since`."""
        return self._spread(events, pl.col(since), pl.min_horizontal(until, pl.col(since) + longest))

    def _spread(self, events: pl.DataFrame, since: pl.Expr, until: pl.Expr) -> pl.DataFrame:
        start, end = pl.lit(self.start, dtype=UTC), pl.lit(self.end, dtype=UTC)
        inside = events.filter((until > start) & (since < end))
        first, stop = (self._tick(pl.max_horizontal(since, start)), self._tick(pl.min_horizontal(until, end)))
        grid = pl.int_ranges(first, stop, _seconds(self.step)).alias(GRID)
        return inside.with_columns(grid).explode(GRID, empty_as_null=False)

    def _tick(self, moment: pl.Expr) -> pl.Expr:
        size = _seconds(self.step) * 1_000_000
        return (-(-moment.dt.epoch("us") // size) * size) // 1_000_000


def table(rows: pl.DataFrame, keys: Sequence[str], known: str, features: dict[str, pl.Expr]) -> pl.DataFrame:
    """One row for each key and grid time: features as float32, and when the newest of their inputs was known."""
    grouped = rows.group_by(*keys, GRID).agg(
        pl.col(known).max().cast(UTC).alias("content_known_at"),
        *(value.cast(pl.Float32).alias(name) for name, value in features.items()),
    )
    columns = (*keys, NOW.alias("event_timestamp"), *features, "content_known_at")
    return grouped.select(*columns).sort(*keys, "event_timestamp")


def _seconds(duration: timedelta) -> int:
    return int(duration.total_seconds())
