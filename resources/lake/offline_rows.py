"""The offline rows of a feature view for some keys, with the time at which each got into its table."""

import io
from collections.abc import Sequence
from datetime import datetime

import polars as pl

from resources.lake.lake import while_folding
from resources.lake.names import PUSHED
from resources.storage.storage import Storage

EVENT, CREATED, WRITTEN = "event_timestamp", "created", "_written"
INSTANT = pl.Datetime("us", "UTC")


def offline_rows(
    folder: Storage, keys: Sequence[str], questions: pl.DataFrame, until: datetime
) -> pl.DataFrame:
    """Rows of a table's parquet files whose keys are among `questions` and whose event timestamp is not after `until`.

    Returns the keys, `event_timestamp`, `created` (null where a file does not have it) and `_written`: when the row was
    created, or else when its file was last written. In the order of the files' names, rows in file order.
    """

    def frames() -> list[pl.DataFrame]:
        return pl.collect_all([_rows(folder, name, keys, questions, until) for name in _files(folder)])

    kinds = dict.fromkeys((EVENT, CREATED, WRITTEN), INSTANT)
    nothing = (
        questions.select(keys).clear().with_columns(pl.lit(None, kind).alias(n) for n, kind in kinds.items())
    )
    return pl.concat([nothing, *while_folding(frames)], how="vertical_relaxed")


def _rows(
    folder: Storage, name: str, keys: Sequence[str], questions: pl.DataFrame, until: datetime
) -> pl.LazyFrame:
    changed = pl.lit(folder.changed(name), INSTANT)
    file = pl.scan_parquet(io.BytesIO(folder.read(name)))
    kinds = file.collect_schema()
    created = pl.col(CREATED) if CREATED in kinds else pl.lit(None)
    named = [_as(name, kinds[name], questions.schema[name]) for name in keys]
    return (
        file.filter(pl.col(EVENT) <= pl.lit(until))
        .select(*named, pl.col(EVENT).cast(INSTANT), created.cast(INSTANT).alias(CREATED))
        .with_columns(pl.coalesce(CREATED, changed).alias(WRITTEN))
        .with_row_index("_order")
        .join(questions.select(keys).lazy().unique(), on=list(keys), how="semi")
        .sort("_order")
        .drop("_order")
    )


def _as(name: str, kind: pl.DataType, dtype: pl.DataType) -> pl.Expr:
    """A key in the type in which it is asked for, null where that does not hold the same value: 1.5 is not 1."""
    key = pl.col(name)
    if kind == dtype:
        return key
    cast = key.cast(dtype, strict=False)
    return pl.when(cast.cast(kind, strict=False) == key).then(cast).alias(name)


def newest_event(folder: Storage) -> datetime | None:
    """The newest event timestamp that was ingested into a table, None where there is none; pushed rows do not count."""

    def frames() -> list[pl.DataFrame]:
        newest = pl.col(EVENT).cast(INSTANT).max()
        ingested = [name for name in _files(folder) if not name.startswith(PUSHED)]
        files = [io.BytesIO(folder.read(name)) for name in ingested]
        return pl.collect_all([pl.scan_parquet(file).select(newest) for file in files])

    return max((moment for frame in while_folding(frames) if (moment := frame.item())), default=None)


def _files(folder: Storage) -> list[str]:
    return folder.names(ending=".parquet")
