"""The serving log: every vector a model was asked with, in append-only parquet, to be replayed later.

Columns are named as in Feast's own feature logging (`<view>__<feature>` with `__timestamp` and `__status`,
`__log_timestamp`, `__log_date`, `__request_id`), with what Feast leaves out beside them: the moment asked for, the
model's version, the hash of the feature definitions and the score. `serving_log_writer` writes it. A file in which some
request belongs to a trace has `__trace_id`, null for the others; files without have no such column.

What another version scored in shadow lies apart, in the folder `shadow` of its model: it was served to nobody, and
has the name of the request whose copy it scored.
"""

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
import polars as pl

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
SHADOW = "__shadow"
TRACE = "__trace_id"
DEFINITIONS, SHADOWS = "definitions", "shadow"
READS = 10


@dataclass(eq=False, slots=True)
class ServedBatch:
    """One batch of answers as it is handed over, whole: nothing is computed while the caller waits.

    `vectors` is what `FeatureStoreResource.online_vectors` gave, one row a request; event times and statuses are
    worked out when the log asks for them. `requested_at` is the moment the features were asked for, `served_at` the wall clock just before they were read.
    Of a `shadow`, which another version has answered, all but the vectors is logged. `traces` has the trace of each
    request, empty where it has none, or nothing where none has one.
    """

    model: str
    version: str
    service: DescribedService
    requested_at: datetime
    served_at: datetime
    request_ids: Sequence[str]
    vectors: OnlineVectors
    scores: np.ndarray
    shadow: bool = False
    traces: Sequence[str] = ()

    @property
    def rows(self) -> int:
        return len(self.request_ids)


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

    def since(self, model: str, moment: datetime, shadows: bool = False) -> pl.DataFrame:
        """What was served from a moment of the wall clock on, oldest first; or, with `shadows`, what was scored in shadow."""
        folder = f"{model}/{SHADOWS}" if shadows else model
        files = self.storage.names(folder, ".parquet", deep=True)
        days = sorted({Path(name).parent for name in files})
        chosen = [
            day
            for day in days
            if (day.parent.name == SHADOWS) == shadows and day.name >= f"{moment:%Y-%m-%d}"
        ]
        frames = [self._read_day(str(day)) for day in chosen]
        if not frames:
            return pl.DataFrame()
        whole = pl.concat(frames, how="diagonal_relaxed").filter(pl.col(SERVED_AT) >= moment)
        return whole if shadows else _once(whole)

    def count_since(self, model: str, moment: datetime) -> int:
        """How many requests were served from a moment of the wall clock on; one that two files hold counts once."""
        days = [day for day in self._days(model) if Path(day).name >= f"{moment:%Y-%m-%d}"]
        frames = [
            self._read_day(day, [REQUEST, SERVED_AT]).filter(pl.col(SERVED_AT) >= moment) for day in days
        ]
        return pl.concat(frames)[REQUEST].n_unique() if frames else 0

    def definitions(self, model: str) -> dict[str, DescribedService]:
        """The feature services that the requests were served with, by the hash that stands in the log."""
        names = self.storage.names(f"{model}/{DEFINITIONS}", ".json")
        return {Path(name).stem: described(self.storage.read(name).decode()) for name in names}

    @property
    def storage(self) -> Storage:
        """Where the files lie."""
        return storage_at(self.folder)

    def _days(self, model: str) -> list[str]:
        """Folders of the days that hold files, newest first."""
        files = self.storage.names(model, ".parquet", deep=True)
        days = {Path(name).parent for name in files}
        return sorted((str(day) for day in days if day.parent.name != SHADOWS), reverse=True)

    def _read_day(self, day: str, columns: list[str] | None = None) -> pl.DataFrame:
        """All rows of a day, of all columns or some; files that are merged into another one meanwhile are looked for again."""
        for _ in range(READS):
            with contextlib.suppress(AbsentError):
                files = self.storage.names(day, ".parquet")
                return pl.concat(
                    [pl.read_parquet(self.storage.read(name), columns=columns) for name in files],
                    how="diagonal_relaxed",
                )
        raise OSError(
            f"{day} of {self.folder}: its files went away {READS} times while they were read; read it again"
        )


def _once(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.unique(REQUEST, keep="first", maintain_order=True).sort(SERVED_AT, maintain_order=True)
