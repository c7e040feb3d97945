"""The serving log: every vector a model was asked with, in append-only parquet, to be replayed later.

Columns are named as in Feast's own feature logging (`<view>__<feature>` with `__timestamp` and `__status`,
`__log_timestamp`, `__log_date`, `__request_id`), with what Feast leaves out beside them: the moment asked for, the
model's version, the hash of the feature definitions and the score. `serving_log_writer` writes it.
"""

import contextlib
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from resources.features.column_vectors import ColumnVectors, FewOrigins, joined
from resources.features.service import DescribedService, described
from resources.features.vectors import OnlineVectors
from resources.resource import Resource
from resources.storage.addresses import storage_at
from resources.storage.errors import AbsentError
from resources.storage.storage import Storage

INSTANT = pl.Datetime("us", "UTC")
REQUEST = "__request_id"
REQUESTED_AT = "__requested_at"
SERVED_AT = "__log_timestamp"
SERVED_ON = "__log_date"
MODEL = "__model"
VERSION = "__model_version"
SERVICE = "__feature_service"
DEFINITION = "__definition"
SCORE = "__score"
DEFINITIONS = "definitions"
READS = 10


@dataclass(eq=False, slots=True)
class ServedBatch:
    """One batch of answers as it is handed over, whole: nothing is computed while the caller waits.

    `vectors` is what `FeatureStoreResource.online_vectors` gave, one row a request; event times and statuses are
    worked out when the log asks for them. `requested_at` is the moment the features were asked for, `served_at` the wall clock just before they were read.
    """

    model: str
    version: str
    service: DescribedService
    requested_at: datetime
    served_at: datetime
    request_ids: Sequence[str]
    vectors: OnlineVectors
    scores: np.ndarray

    @property
    def rows(self) -> int:
        return len(self.request_ids)


def as_frame(batches: Sequence[ServedBatch]) -> pl.DataFrame:
    """Batches of one model and one definition as rows of the log, in their order."""
    service = batches[0].service
    columns = {feature: f"{view}__{feature}" for feature, view in service.features.items()}
    return pl.concat(
        [
            _facts(batches),
            _vectors(batches, [*service.inputs, *columns]).rename(columns),
            pl.DataFrame(_origins(batches, columns)),
        ],
        how="horizontal",
    )


def _vectors(batches: Sequence[ServedBatch], names: Sequence[str]) -> pl.DataFrame:
    """Some columns of all batches; of those that follow one another and have no frame yet, one frame is made."""
    runs = itertools.groupby((batch.vectors for batch in batches), lambda one: isinstance(one, ColumnVectors))
    frames = [frame for plain, run in runs for frame in _frames(plain, list(run), names)]
    return pl.concat(frames, how="vertical_relaxed", rechunk=True) if len(frames) > 1 else frames[0]


def _frames(plain: bool, run: Sequence[Any], names: Sequence[str]) -> list[pl.DataFrame]:
    if not plain:
        return [vectors.frame.select(names) for vectors in run]
    types = run[0].types
    if any(vectors.types != types for vectors in run):
        return [vectors.frame.select(names) for vectors in run]
    return [pl.DataFrame([pl.Series(name, joined(run, name), types[name]) for name in names])]


def _origins(batches: Sequence[ServedBatch], columns: Mapping[str, str]) -> list[pl.Series]:
    """Event timestamps and statuses of each feature; a list that features share becomes a column once."""
    vectors = [batch.vectors for batch in batches]
    few = FewOrigins(vectors) if FewOrigins.fits(vectors) else None  # type: ignore[arg-type]
    made: dict[tuple[int, Any], tuple[list, pl.Series]] = {}

    def column(name: str, values: list, kind: Any) -> pl.Series:
        if (id(values), kind) not in made:
            made[id(values), kind] = values, pl.Series(values, dtype=kind)
        return made[id(values), kind][1].alias(name)

    found = []
    for feature, name in columns.items():
        times, codes = few.of(feature) if few else _joined(vectors, feature)
        found += [column(f"{name}__timestamp", times, INSTANT), column(f"{name}__status", codes, pl.Int32)]
    return found


def _joined(vectors: Sequence[OnlineVectors], feature: str) -> tuple[list, list]:
    """The same of answers of any kind, put together as lists, which for single requests is cheaper."""
    times = [moment for one in vectors for moment in one.times(feature)]
    return times, [code for one in vectors for code in one.status_codes(feature)]


def _facts(batches: Sequence[ServedBatch]) -> pl.DataFrame:
    counts = [batch.rows for batch in batches]

    def repeated(values: list, kind: pl.DataType | type[pl.DataType]) -> pl.Series:
        return pl.Series(values, dtype=kind).gather(np.repeat(np.arange(len(counts)), counts))

    served = repeated([batch.served_at for batch in batches], INSTANT)
    return pl.DataFrame(
        {
            REQUEST: [name for batch in batches for name in batch.request_ids],
            REQUESTED_AT: repeated([batch.requested_at for batch in batches], INSTANT),
            SERVED_AT: served,
            SERVED_ON: served.dt.date(),
            MODEL: repeated([batch.model for batch in batches], pl.String),
            VERSION: repeated([batch.version for batch in batches], pl.String),
            SERVICE: repeated([batch.service.name for batch in batches], pl.String),
            DEFINITION: repeated([batch.service.definition for batch in batches], pl.String),
            SCORE: np.concatenate([np.asarray(batch.scores, np.float64) for batch in batches]),
        }
    )


class ServingLogResource(Resource):
    """The logged requests of every model, for reading; a request that two files hold is taken once.

    `folder` is one of this machine, or an address of storage that the endpoints of all machines bring their files to.
    """

    folder: str

    def read(self, model: str, newest: int) -> pl.DataFrame:
        """The newest logged requests of a model, oldest first; no rows and no columns where none was logged.

        Columns that some files lack, because the feature service changed, are null there.
        """
        frames, rows = [], 0
        for day in self._days(model):
            frame = _once(self._read_day(day))
            frames.append(frame)
            rows += frame.height
            if rows >= newest:
                break
        return _once(pl.concat(frames, how="diagonal_relaxed")).tail(newest) if frames else pl.DataFrame()

    def definitions(self, model: str) -> dict[str, DescribedService]:
        """The feature services that the requests were served with, by the hash that stands in the log."""
        names = self._storage.names(f"{model}/{DEFINITIONS}", ".json")
        return {Path(name).stem: described(self._storage.read(name).decode()) for name in names}

    @property
    def _storage(self) -> Storage:
        return storage_at(self.folder)

    def _days(self, model: str) -> list[str]:
        """Folders of the days that hold files, newest first."""
        files = self._storage.names(model, ".parquet", deep=True)
        return sorted({str(Path(name).parent) for name in files}, reverse=True)

    def _read_day(self, day: str) -> pl.DataFrame:
        """All rows of a day; files that are merged into another one meanwhile are looked for again."""
        for _ in range(READS):
            with contextlib.suppress(AbsentError):
                files = self._storage.names(day, ".parquet")
                return pl.concat(
                    [pl.read_parquet(self._storage.read(name)) for name in files], how="diagonal_relaxed"
                )
        raise OSError(
            f"{day} of {self.folder}: its files went away {READS} times while they were read; read it again"
        )


def _once(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.unique(REQUEST, keep="first", maintain_order=True).sort(SERVED_AT, maintain_order=True)
