"""Where training rows lie: in memory, or in parquet files of which every worker reads its own share.

Of files, the process that starts a fit reads only what cannot be learnt elsewhere: time, label and categories.
"""

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property
from itertools import pairwise
from typing import Any, Protocol

import polars as pl

from mlops_assets.ml.dataset import Encoding, between, labelled, refuse_too_large, require, split_moment
from mlops_assets.ml.training.checkpoints import Checkpoints
from mlops_assets.ml.values import SINGLE
from mlops_assets.spec.columns import LABEL
from mlops_assets.spec.model import ModelSpec

ROWS = "rows.parquet"
ROWS_AT_ONCE = 500_000
GROUPS_A_WORKER = 8
"""With fewer row groups than this for each worker, every group is cut, so that the shares are alike."""


@dataclass(frozen=True)
class Survey:
    """What must be known of all rows before a worker sees its share."""

    rows: int
    encoding: Encoding
    cut: datetime | None


class Source(Protocol):
    """Labelled rows that can be surveyed and shared out."""

    def survey(self, spec: ModelSpec, features: Sequence[str], stops: bool) -> Survey: ...

    def part(self, spec: ModelSpec, rank: int, size: int) -> pl.DataFrame: ...


@dataclass(frozen=True)
class Held:
    """Rows in this process, labelled already (`dataset.labelled`) and in order."""

    frame: pl.DataFrame

    @classmethod
    def of(cls, frame: pl.DataFrame, spec: ModelSpec) -> "Held":
        """Rows in any order; raises DatasetError where label or time is missing."""
        require(frame, [LABEL, spec.prediction.time], "training")
        return cls(in_order(frame, spec))

    def survey(self, spec: ModelSpec, features: Sequence[str], stops: bool) -> Survey:
        encoding = Encoding.fit(self.frame, features, spec.trainer.categories)
        refuse_too_large(self.frame, numbers_of(spec, encoding), spec.prediction.key, "training")
        return Survey(self.frame.height, encoding, _cut(self.frame, spec) if stops else None)

    def part(self, spec: ModelSpec, rank: int, size: int) -> pl.DataFrame:
        return self.frame if size == 1 else self.frame.gather_every(size, rank)


@dataclass(frozen=True)
class Files:
    """A training set's parquet files, with the moment by which a label must have been known, and the window's start and end."""

    paths: tuple[str, ...]
    known_by: datetime
    since: datetime | None = None
    until: datetime | None = None

    def survey(self, spec: ModelSpec, features: Sequence[str], stops: bool) -> Survey:
        empty = pl.concat(
            [pl.read_parquet(p, n_rows=0, glob=False) for p in self.paths], how="vertical_relaxed"
        )
        encoding = Encoding.fit(empty, features, spec.trainer.categories)
        few = [*self._label_columns(spec), *spec.trainer.categories]
        rows = self.read(spec, [*dict.fromkeys(few)])
        seen = Encoding.fit(rows, [], spec.trainer.categories)
        self._refuse_too_large(spec, [c for c in numbers_of(spec, encoding) if c in empty.columns])
        cut = _cut(rows.sort(spec.prediction.time), spec) if stops else None
        return Survey(rows.height, replace(encoding, categories=seen.categories, kinds=seen.kinds), cut)

    def _refuse_too_large(self, spec: ModelSpec, columns: Sequence[str]) -> None:
        """Read only columns of which the files' footers do not say that all is well."""
        suspects = _perhaps_too_large(self.paths, columns)
        if suspects:
            keys = [*spec.prediction.key, spec.prediction.time]
            refuse_too_large(
                self.read(spec, [*dict.fromkeys([*suspects, *keys])]), suspects, keys, "training"
            )

    def part(self, spec: ModelSpec, rank: int, size: int) -> pl.DataFrame:
        stripes = self._stripes(size)[rank::size]
        read = (
            pl.scan_parquet(path, glob=False).slice(first, rows).collect() for path, first, rows in stripes
        )
        return in_order(self._labelled(spec, read), spec)

    def read(self, spec: ModelSpec, columns: Sequence[str] | None = None) -> pl.DataFrame:
        """All rows in the order of the files, with all columns or these."""
        names = list(dict.fromkeys([*self._label_columns(spec), *columns])) if columns else None
        rows = self._labelled(spec, (pl.read_parquet(path, columns=names, glob=False) for path in self.paths))
        return rows.select(columns) if columns else rows

    def sample(self, spec: ModelSpec, columns: Sequence[str], most: int) -> pl.DataFrame:
        """Labelled rows with these columns and LABEL, of every file each n-th, so that at most about `most` are read."""
        names = list(dict.fromkeys([*self._label_columns(spec), *columns]))
        every = max(1, -(-self.rows // most))
        read = (pl.read_parquet(path, columns=names).gather_every(every) for path in self.paths)
        return self._labelled(spec, read)

    def head(self, spec: ModelSpec, rows: int) -> pl.DataFrame:
        """A few of the rows, as an example of the columns."""
        return self._labelled(spec, (pl.read_parquet(path, glob=False) for path in self.paths[:1])).head(rows)

    @cached_property
    def rows(self) -> int:
        """Rows in the files, labelled or not, from their footers alone."""
        return sum(rows for path in self.paths for rows in _row_groups(path))

    def _labelled(self, spec: ModelSpec, frames: Iterator[pl.DataFrame]) -> pl.DataFrame:
        """Rows are cut down before more are read; small files are taken several at once."""
        parts = [
            between(labelled(f, spec, self.known_by), spec.prediction.time, self.since, self.until)
            for f in _gathered(frames)
        ]
        return pl.concat(parts, how="vertical_relaxed")

    def _label_columns(self, spec: ModelSpec) -> list[str]:
        return [spec.prediction.time, *spec.label.facts]

    def _stripes(self, size: int) -> list[tuple[str, int, int]]:
        """File, first row and number of rows of each stretch; worker k of n reads every n-th from the k-th on."""
        groups = [(path, rows) for path in self.paths for rows in _row_groups(path)]
        cuts = 1 if len(groups) >= GROUPS_A_WORKER * size else size
        stripes, first, last = [], 0, ""
        for path, rows in groups:
            first = first if path == last else 0
            edges = [first + rows * i // cuts for i in range(cuts + 1)]
            stripes += [(path, a, b - a) for a, b in pairwise(edges)]
            first, last = first + rows, path
        return stripes


def _gathered(frames: Iterator[pl.DataFrame]) -> Iterator[pl.DataFrame]:
    """Frames of the same columns that follow each other as one, up to ROWS_AT_ONCE rows; one alone may have more."""
    some, rows = list[pl.DataFrame](), 0
    for frame in frames:
        if some and (frame.schema != some[0].schema or rows + frame.height > ROWS_AT_ONCE):
            yield pl.concat(some)
            some, rows = [], 0
        some.append(frame)
        rows += frame.height
    if some:
        yield pl.concat(some)


def numbers_of(spec: ModelSpec, encoding: Encoding) -> list[str]:
    """The label and the features that a model is given as numbers."""
    return [spec.label.column, *(c for c in encoding.features if c not in encoding.categories)]


def in_order(rows: pl.DataFrame, spec: ModelSpec) -> pl.DataFrame:
    """Rows by time and key, so that the model does not depend on the order in which they were read."""
    return rows.sort([spec.prediction.time, *(k for k in spec.prediction.key if k in rows.columns)])


def written(frame: pl.DataFrame, checkpoints: Checkpoints, known_by: datetime) -> Files:
    """Rows of this process as a file that workers can read; one that is being read is replaced whole."""
    buffer = io.BytesIO()
    frame.drop(LABEL, strict=False).write_parquet(buffer, row_group_size=100_000)
    checkpoints.write(ROWS, buffer.getvalue())
    return Files((checkpoints.at(ROWS),), known_by)


def _cut(rows: pl.DataFrame, spec: ModelSpec) -> datetime:
    return split_moment(rows[spec.prediction.time], spec.trainer.validation_share)


def _perhaps_too_large(paths: Sequence[str], columns: Sequence[str]) -> list[str]:
    """Columns whose least or largest value in some row group is not known, or is no finite number of single precision."""
    from pyarrow.parquet import read_metadata

    suspects = set()
    for path in paths:
        footer = read_metadata(path)
        for i in range(footer.num_row_groups):
            group = footer.row_group(i)
            chunks = [group.column(j) for j in range(group.num_columns)]
            suspects |= {c.path_in_schema for c in chunks if not _fits(c)}
    return [c for c in columns if c in suspects]


def _fits(chunk: Any) -> bool:
    """Whether a column chunk's footer says that it holds no large number; whole numbers and texts hold none."""
    if chunk.physical_type in ("BOOLEAN", "INT32", "INT64", "INT96", "BYTE_ARRAY"):
        return True
    statistics = chunk.statistics if chunk.physical_type in ("FLOAT", "DOUBLE") else None
    if statistics is not None and statistics.null_count == chunk.num_values:
        return True
    return (
        statistics is not None
        and statistics.has_min_max
        and -SINGLE <= statistics.min <= statistics.max <= SINGLE
    )


def _row_groups(path: str) -> list[int]:
    from pyarrow.parquet import read_metadata

    footer = read_metadata(path)
    return [footer.row_group(i).num_rows for i in range(footer.num_row_groups)]
