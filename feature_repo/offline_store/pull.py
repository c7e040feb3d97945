"""A source's rows of a time span: all of them, or the newest of every key, and the keys that are seen in it."""

from collections.abc import Sequence
from datetime import UTC, datetime

import polars as pl

from .asking import ViewRequest
from .kernel import NEVER, timeline
from .keys import KeyColumn, KeySpace
from .moments import microsecond, scale
from .reading import read
from .sources import Source, Span


def all_rows(source: Source, start: datetime | None, end: datetime | None) -> pl.DataFrame:
    """Rows with `start <= event timestamp <= end` (without a zone: UTC; None: no bound) in source order."""
    first, last = (None if moment is None else microsecond(moment) for moment in (start, end))
    rows = read(source, Span(first, last))
    bounds = pl.Series([first, last], dtype=pl.Int64).cast(pl.Datetime("us"))
    on = scale(bounds, rows[source.timestamp])
    ticks, (low, high) = on.ticks(rows[source.timestamp]), on.ticks(bounds)
    inside = (ticks != NEVER) & (ticks >= low)
    return rows.filter(pl.Series(inside if end is None else inside & (ticks <= high)))


def latest_rows(source: Source, start: datetime | None, end: datetime | None) -> pl.DataFrame:
    """Of those rows the newest of each key; a key that is null is left out, ties end as in the join."""
    rows = all_rows(source, start, end)
    created = rows[source.created] if source.created else None
    on = scale(rows[source.timestamp], rows[source.timestamp], created)
    space = KeySpace(tuple(KeyColumn(rows[key]) for key in source.keys), rows.height)
    known = None if created is None else on.ticks(created)
    line = timeline(space.codes, on.ticks(rows[source.timestamp]), space.size, known)
    return rows[line.last()]


def seen_keys(requests: Sequence[ViewRequest], start: datetime, end: datetime) -> pl.DataFrame:
    """Every key of the views that has a row in the span, once, sorted, with `end` as `event_timestamp`.

    A view that lacks one of the keys gives null for it.
    """
    frames = []
    for request in requests:
        source = request.source
        keys = Source(source.view, source.where, source.timestamp, keys=source.keys)
        rows = all_rows(keys, start, end).select(
            pl.col(column).alias(key) for column, key in zip(source.keys, request.entity_keys, strict=True)
        )
        frames.append(rows.drop_nulls().unique())
    every = pl.concat(frames, how="diagonal_relaxed").unique()
    moment = pl.lit(_utc(end)).cast(pl.Datetime("us", "UTC")).alias("event_timestamp")
    if not every.width:
        return pl.DataFrame({"event_timestamp": [_utc(end)]})
    return every.sort(every.columns, nulls_last=True).with_columns(moment)


def with_zone(rows: pl.DataFrame, source: Source) -> pl.DataFrame:
    """The rows with their timestamps marked as UTC."""
    return rows.with_columns(pl.col(source.moments).dt.replace_time_zone("UTC"))


def _utc(moment: datetime) -> datetime:
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
