"""The offline rows of a feature view for some keys, with the time at which each got into its table."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import polars as pl

from resources.lake.lake import PUSHED, while_folding

EVENT, CREATED, WRITTEN = "event_timestamp", "created", "_written"
INSTANT = pl.Datetime("us", "UTC")


def offline_rows(folder: Path, keys: Sequence[str], wanted: pl.DataFrame, until: datetime) -> pl.DataFrame:
    """Rows of a table's parquet files whose keys are among `wanted` and whose event timestamp is not after `until`.

    Returns the keys, `event_timestamp`, `created` (null where a file does not have it) and `_written`: when the row was
    created, or else when its file was last written. In the order of the files' names, rows in file order.
    """

    def found() -> list[pl.DataFrame]:
        return pl.collect_all([_rows(path, keys, wanted, until) for path in _files(folder)])

    kinds = dict.fromkeys((EVENT, CREATED, WRITTEN), INSTANT)
    nothing = (
        wanted.select(keys).clear().with_columns(pl.lit(None, kind).alias(n) for n, kind in kinds.items())
    )
    return pl.concat([nothing, *while_folding(found)], how="vertical_relaxed")


def _rows(path: Path, keys: Sequence[str], wanted: pl.DataFrame, until: datetime) -> pl.LazyFrame:
    file = pl.scan_parquet(path, glob=False)
    kinds = file.collect_schema()
    created = pl.col(CREATED) if CREATED in kinds else pl.lit(None)
    named = [_as(name, kinds[name], wanted.schema[name]) for name in keys]
    changed = pl.lit(datetime.fromtimestamp(path.stat().st_mtime, UTC), INSTANT)
    return (
        file.filter(pl.col(EVENT) <= pl.lit(until))
        .select(*named, pl.col(EVENT).cast(INSTANT), created.cast(INSTANT).alias(CREATED))
        .with_columns(pl.coalesce(CREATED, changed).alias(WRITTEN))
        .with_row_index("_order")
        .join(wanted.select(keys).lazy().unique(), on=list(keys), how="semi")
        .sort("_order")
        .drop("_order")
    )


def _as(name: str, kind: pl.DataType, wanted: pl.DataType) -> pl.Expr:
    """A key in the type in which it is asked for, null where that does not hold the same value: 1.5 is not 1."""
    key = pl.col(name)
    if kind == wanted:
        return key
    cast = key.cast(wanted, strict=False)
    return pl.when(cast.cast(kind, strict=False) == key).then(cast).alias(name)


def newest_event(folder: Path) -> datetime | None:
    """The newest event timestamp that was ingested into a table, None where there is none; pushed rows do not count."""

    def found() -> list[pl.DataFrame]:
        newest = pl.col(EVENT).cast(INSTANT).max()
        ingested = [path for path in _files(folder) if not path.name.startswith(PUSHED)]
        return pl.collect_all([pl.scan_parquet(path, glob=False).select(newest) for path in ingested])

    return max((moment for frame in while_folding(found) if (moment := frame.item())), default=None)


def _files(folder: Path) -> list[Path]:
    return sorted(folder.glob("[!.]*.parquet"))
