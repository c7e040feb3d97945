"""Rows of a table whose source is a query of a database, as the database gives them."""

import os
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import polars as pl

from mlops_assets.spec.sources import NAMED, SqlSource
from mlops_assets.spec.table import TableSpec
from mlops_assets.stages.errors import SourceError
from resources.databases import read_query
from resources.queries import DatabaseError, Query

A_DAY_LONG_AGO = datetime(1970, 1, 2, tzinfo=UTC)


def queried(
    spec: TableSpec, source: SqlSource, start: datetime | None, end: datetime | None
) -> Iterator[pl.DataFrame]:
    """What the query gives of a span, part by part; all of a static table. Raises SourceError where it cannot be asked."""
    yield from _answer(spec, source, (start, end) if start is not None and end is not None else None)


def columns_of(spec: TableSpec, source: SqlSource) -> dict[str, Any]:
    """The columns that the query gives, in the types of its first rows, none of a span that has none."""
    bounds = None if spec.static else (A_DAY_LONG_AGO, A_DAY_LONG_AGO)
    return dict(next(_answer(spec, source, bounds)).schema)


def _answer(
    spec: TableSpec, source: SqlSource, span: tuple[datetime, datetime] | None
) -> Iterator[pl.DataFrame]:
    address = os.environ.get(source.database)
    if not address:
        raise SourceError(
            f"the source of table {spec.name!r} needs the environment variable {source.database}, which is not set: set it to "
            "the database's address"
        )
    try:
        yield from read_query(address, Query(source.query, NAMED, span, spec.timezone or "UTC"))
    except DatabaseError as error:
        raise SourceError(f"table {spec.name!r}: {error}") from None
