"""Entity rows from whatever they came as, with their timestamp in UTC."""

from collections.abc import Sequence
from datetime import UTC, date, datetime
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
from feast.errors import EntityTimestampInferenceException
from feast.infra.offline_stores.offline_utils import DEFAULT_ENTITY_DF_EVENT_TIMESTAMP_COL as TIME

from .asking import EntityRows
from .iso8601 import MomentError, read_moment
from .moments import is_moment, utc
from .requests import RequestError


def entity_rows(given: Any) -> EntityRows:
    """Entity rows from a pandas or polars frame or an Arrow table.

    The timestamp is the column `event_timestamp`, else the only one that holds moments; as text it is ISO 8601.
    Without a zone it is UTC. Raises RequestError for anything else, and Feast's EntityTimestampInferenceException
    where there is no such column.
    """
    table = _table(given)
    twice = {name for name in table.column_names if table.column_names.count(name) > 1}
    if twice:
        raise RequestError(
            f"the entity rows have several columns named {', '.join(sorted(twice))}: rename one"
        )
    kinds = {field.name: field.type for field in table.schema}
    moments = [n for n, kind in kinds.items() if pa.types.is_timestamp(kind) or pa.types.is_date(kind)]
    if TIME not in kinds and len(moments) != 1:
        raise EntityTimestampInferenceException(TIME)
    time = TIME if TIME in kinds else moments[0]
    return EntityRows(_with_utc(table, time), time)


def _table(given: Any) -> pa.Table:
    if isinstance(given, pl.LazyFrame):
        given = given.collect()
    if isinstance(given, pl.DataFrame):
        # One by one: a frame whose columns are cut differently would be copied first.
        return pa.table({column.name: column.to_arrow() for column in given})
    if isinstance(given, pa.Table):
        return given
    if not isinstance(given, pd.DataFrame):
        raise RequestError(
            f"the entity rows are {type(given).__name__}: give a pandas or polars frame or an Arrow table; SQL is not run"
        )
    if TIME in given.columns and given[TIME].dtype == object:
        column: Any = given[TIME]
        given = given.assign(**{TIME: _objects(column)})
    try:
        return pa.Table.from_pandas(given, preserve_index=False).replace_schema_metadata(None)
    except pa.ArrowException as error:
        raise RequestError(
            f"the entity rows have a column of mixed types: {'; '.join(map(str, error.args))}"
        ) from error


def _objects(values: pd.Series) -> pd.Series:
    """A column of Python objects as moments in UTC; a null stays one."""
    read = [pd.NaT if null else _object(v) for v, null in zip(values, pd.isna(values), strict=True)]
    try:
        return pd.Series(pd.to_datetime(pd.Series(read, dtype=object), utc=True).array, index=values.index)
    except (ValueError, OverflowError) as error:
        raise RequestError(f"the column {TIME!r} of the entity rows: {error}") from error


def _object(value: Any) -> Any:
    """What pandas reads in one way only: never a text, whose order of day and month it would guess, nor a number."""
    if isinstance(value, (pd.Timestamp, np.datetime64)) or type(value) is date:
        return value
    return _read(value, TIME)


def _moments_of(values: pl.Series) -> pl.Series:
    """A column of moments, or of text that says them in ISO 8601, in UTC; anything else is refused."""
    if values.dtype == pl.Null:
        return values.cast(pl.Datetime("us", "UTC"))
    if values.dtype == pl.String:
        known = {text: _read(text, values.name) for text in values.drop_nulls().unique()}
        values = pl.Series(values.name, list(map(known.get, values)), dtype=pl.Datetime("us", "UTC"))
    if not is_moment(values.dtype):
        raise RequestError(
            f"the column {values.name!r} of the entity rows is {values.dtype}, not a timestamp: a number says neither unit "
            "nor zone; give timestamps, or text such as 2024-02-01T10:00:00Z"
        )
    return utc(values).dt.replace_time_zone("UTC")


def _read(value: Any, name: str) -> datetime:
    try:
        return read_moment(value, without_zone=UTC)
    except MomentError as error:
        raise RequestError(f"the column {name!r} of the entity rows: {error}") from error


def with_moments(rows: EntityRows, names: Sequence[str]) -> EntityRows:
    """The rows with these columns read as their timestamp is."""
    table = rows.table
    for name in names:
        table = _with_utc(table, name)
    return EntityRows(table, rows.time)


def _with_utc(table: pa.Table, name: str) -> pa.Table:
    zoned = _moments_of(pl.Series(name, table[name])).to_arrow()
    return table.set_column(table.column_names.index(name), name, zoned)
