"""Rows to be scored in batches, from a lake table or from files, read a part at a time."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from mlops_assets.ml.provenance.digest import digest
from mlops_assets.spec.batch import Batch
from mlops_assets.spec.sources import ParquetSource
from mlops_assets.stages.errors import NotReadyError
from mlops_assets.stages.source_files import ROW, located, opened, problem_of
from resources.lake.lake import Lake
from resources.lake.names import WHOLE
from resources.storage.files import ForeignFile


@dataclass(frozen=True)
class BatchRows:
    """So many rows, what they come from with a hash of each, and the rows themselves in parts of at most so many."""

    height: int
    made_of: dict[str, str]
    parts: Callable[[int], Iterator[pl.DataFrame]]


def batch_rows(batch: Batch, lake: Lake, folder: Path, partition: str | None) -> BatchRows:
    """The rows of one partition, or all there are; relative paths of files are of `folder`.

    Raises NotReadyError for a table that has no such partition, NotYetThereError for a path with no file, and SourceError for
    a file that is no parquet.
    """
    return _of_table(batch.table, lake, partition) if batch.table else _of_files(batch, folder)


def _of_table(table: str, lake: Lake, partition: str | None) -> BatchRows:
    there = lake.partitions(table)
    names = there if partition is None else [partition]
    if not names or set(names) - set(there):
        raise NotReadyError(
            f"table {table!r} has no partition {partition or '(any)'}, of which batch.table says that its rows are scored: "
            f"materialize the asset {table!r} for it first" + _cut_otherwise(there)
        )
    manifests = [lake.manifest(table, name) for name in names]

    def parts(most: int) -> Iterator[pl.DataFrame]:
        for name in names:
            yield from lake.read(table, [name]).iter_slices(most)

    made_of = {f"{table}@{one.partition}": one.sha256 for one in manifests}
    return BatchRows(sum(one.rows for one in manifests), made_of, parts)


def _cut_otherwise(there: list[str]) -> str:
    return "; it is written whole, so say batch.whole: true" if there == [WHOLE] else ""


def _of_files(batch: Batch, folder: Path) -> BatchRows:
    source = ParquetSource(kind="parquet", path=batch.path or "")
    files = located(source, folder)
    heights = {file.address: _height(file, source) for file in files}

    def parts(most: int) -> Iterator[pl.DataFrame]:
        for file in files:
            for first in range(0, heights[file.address], most):
                yield _read(file, source, lambda rows, first=first: rows.slice(first, most)).drop(ROW)

    return BatchRows(sum(heights.values()), {file.address: digest(list(file.state)) for file in files}, parts)


def _height(file: ForeignFile, source: ParquetSource) -> int:
    return int(_read(file, source, lambda rows: rows.select(pl.len())).item())


def _read(
    file: ForeignFile, source: ParquetSource, choose: Callable[[pl.LazyFrame], pl.LazyFrame]
) -> pl.DataFrame:
    rows = opened(file, source)
    try:
        return choose(rows).collect(engine="in-memory")
    except (pl.exceptions.PolarsError, OSError) as error:
        raise problem_of(file, source, error) from error
