"""Copies of answered requests, some taken out or several put together."""

from collections.abc import Sequence
from dataclasses import replace

import polars as pl

from resources.features.column_vectors import ColumnVectors
from resources.features.many_vectors import joined
from resources.features.vectors import OnlineVectors
from resources.serving.parts import Copied

NOTHING = pl.DataFrame()


def some_of(copied: Copied, rows: Sequence[int]) -> Copied:
    """Some of its rows."""
    if len(rows) == len(copied.requests):
        return copied
    return replace(
        copied,
        requests=[copied.requests[row] for row in rows],
        vectors=_rows_of(copied.vectors, rows),
        answers=[copied.answers[row] for row in rows],
    )


def _rows_of(vectors: OnlineVectors, rows: Sequence[int]) -> OnlineVectors:
    if not isinstance(vectors, ColumnVectors):
        return _plain(vectors.frame[list(rows)])
    columns = {name: [vectors.values(name)[row] for row in rows] for name in vectors.types}
    return ColumnVectors(columns, vectors.types, (), vectors.origin, {})


def together(vectors: Sequence[OnlineVectors]) -> OnlineVectors:
    """What was read for several, as one to be scored: neither times nor statuses are told of it."""
    first = vectors[0]
    if len(vectors) == 1:
        return first
    columns = [
        one for one in vectors if isinstance(one, ColumnVectors) and one.types is first.__dict__.get("types")
    ]
    if len(columns) == len(vectors):
        one = columns[0]
        return ColumnVectors(joined(columns, list(one.types)), one.types, (), one.origin, {})
    return _plain(pl.concat([one.frame for one in vectors], how="vertical_relaxed"))


def _plain(frame: pl.DataFrame) -> OnlineVectors:
    return OnlineVectors(frame, NOTHING, NOTHING)
