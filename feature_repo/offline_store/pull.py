"""A source's rows of a time span: all of them, or the newest of every key, and the keys that are seen in it."""

from collections.abc import Sequence
from datetime import UTC, datetime

import polars as pl

from .kernel import timeline
from .keys import KeySpace
from .moments import finest, ticks
from .requests import ViewRequest
from .sources import Source, Span, read


def all_rows(source: Source, start: datetime | None, end: datetime | None) -> pl.DataFrame:
    """Rows with `start <= event timestamp <= end` (UTC, None: no bound) in source order."""
    rows = read(source, Span(start, end))
    moment = pl.col(source.timestamp)
    bounds = [moment.is_not_null()]
    if start:
        bounds.append(moment >= start.astimezone(UTC).replace(tzinfo=None))
    if end:
        bounds.append(moment <= end.astimezone(UTC).replace(tzinfo=None))
    return rows.filter(*bounds)


def latest_rows(source: Source, start: datetime | None, end: datetime | None) -> pl.DataFrame:
    """Of those rows the newest of each key; a key that is null is left out, ties end as in the join."""
    rows = all_rows(source, start, end)
    created = rows[source.created] if source.created else None
    unit = finest(rows[source.timestamp], created)
    space = KeySpace(tuple(rows[key] for key in source.keys), rows.height)
    known = None if created is None else ticks(created, unit)
    line = timeline(space.codes, ticks(rows[source.timestamp], unit), space.size, known)
    return rows[line.last()]


def seen_keys(requests: Sequence[ViewRequest], start: datetime, end: datetime) -> pl.DataFrame:
    """Every key of the views that has a row in the span, once, sorted, with `end` as `event_timestamp`.

    A view that lacks one of the keys gives null for it.
    """
    found = []
    for request in requests:
        source = request.source
        keys = Source(source.view, source.where, source.timestamp, keys=source.keys)
        rows = all_rows(keys, start, end).select(
            pl.col(column).alias(key) for column, key in zip(source.keys, request.entity_keys, strict=True)
        )
        found.append(rows.drop_nulls().unique())
    every = pl.concat(found, how="diagonal_relaxed").unique()
    moment = pl.lit(end.astimezone(UTC)).cast(pl.Datetime("us", "UTC")).alias("event_timestamp")
    if not every.width:
        return pl.DataFrame({"event_timestamp": [end.astimezone(UTC)]})
    return every.sort(every.columns, nulls_last=True).with_columns(moment)


def with_zone(rows: pl.DataFrame, source: Source) -> pl.DataFrame:
    """The rows with their timestamps marked as UTC."""
    return rows.with_columns(pl.col(source.moments).dt.replace_time_zone("UTC"))
