"""Entity rows from whatever they came as, with their timestamp in UTC."""

from typing import Any

import pandas as pd
import polars as pl
import pyarrow as pa
from feast.errors import EntityTimestampInferenceException
from feast.infra.offline_stores.offline_utils import DEFAULT_ENTITY_DF_EVENT_TIMESTAMP_COL as TIME

from .asking import EntityRows
from .moments import is_moment, utc
from .requests import RequestError


def entity_rows(given: Any) -> EntityRows:
    """Entity rows from a pandas or polars frame or an Arrow table.

    The timestamp is the column `event_timestamp`, else the only one that holds moments. Raises RequestError for
    anything else, and Feast's EntityTimestampInferenceException where there is no such column.
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
        given = given.assign(**{TIME: pd.to_datetime(given[TIME], utc=True)})
    try:
        return pa.Table.from_pandas(given, preserve_index=False).replace_schema_metadata(None)
    except pa.ArrowException as error:
        raise RequestError(
            f"the entity rows have a column of mixed types: {'; '.join(map(str, error.args))}"
        ) from error


def _with_utc(table: pa.Table, time: str) -> pa.Table:
    moments = pl.Series(time, table[time])
    if moments.dtype == pl.Null:
        moments = moments.cast(pl.Datetime("us"))
    if moments.dtype == pl.String:
        moments = moments.str.to_datetime(time_zone="UTC")
    if not is_moment(moments.dtype):
        raise RequestError(f"the column {time!r} of the entity rows is {moments.dtype}, not a timestamp")
    zoned = utc(moments).dt.replace_time_zone("UTC").to_arrow()
    return table.set_column(table.column_names.index(time), time, zoned)
