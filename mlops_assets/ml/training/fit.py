"""One fit: labelled rows in, the bytes of a self-contained model out, whatever the trainer and wherever it runs.

The same rows, spec, threads and number of workers give the same bytes: nothing of time, path or machine is in them.
"""

import hashlib
import math
import secrets
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from mlops_assets.ml.column_encoding import ColumnEncoder, RowBuffer
from mlops_assets.ml.cost import Cost, measured
from mlops_assets.ml.dataset import DatasetError, Encoding
from mlops_assets.ml.labels import usable_from
from mlops_assets.ml.scores import finite
from mlops_assets.ml.training.distributed import run
from mlops_assets.ml.training.kinds import kind_of, refuse_untrainable, trainer_kind
from mlops_assets.ml.training.ladder import Reach, Rung, checkpoint_every, choose
from mlops_assets.ml.training.layout import layout
from mlops_assets.ml.training.recalibrated import parts, recalibrated
from mlops_assets.ml.training.shards import Files, Held, Source, Survey, written
from mlops_assets.ml.training.trainers.base import Job, TrainedModel
from mlops_assets.spec.model import ModelSpec


@dataclass
class Fit:
    """A trained model and how it came about; all but `model`, `rounds`, `history` and `importance` may differ from run to run.

    `recalibration` is empty unless the model is another version's own bytes, recalibrated: then it says whose, by which numbers.
    """

    model: bytes
    rounds: int
    history: dict[str, list[float]]
    importance: dict[str, float]
    rows: int
    seconds: float
    compute: str = ""
    phases: dict[str, float] = field(default_factory=dict)
    speed: dict[str, float | str] = field(default_factory=dict)
    cost: Cost = field(default_factory=Cost)
    layout: dict[str, Any] = field(default_factory=dict)
    recalibration: dict[str, Any] = field(default_factory=dict)


def fit(
    rows: pl.DataFrame | Files,
    spec: ModelSpec,
    features: Sequence[str],
    *,
    rounds: int | None = None,
    reach: Reach | None = None,
    identity: str = "",
) -> Fit:
    """Fit one model on labelled rows (`dataset.labelled`) or on a training set's files, through Ray Train.

    `rounds` None: the newest `trainer.validation_share` of the rows decides when to stop and the model is cut at
    its best round. `rounds` given: exactly so many on all rows, which is how a challenger that passed is refitted.
    `reach` None: in this process. `identity` names the fit, so that a killed one goes on where it was.
    Raises DatasetError for rows or a spec that cannot be trained, ComputeError for hardware that is not there.
    """
    started = time.perf_counter()
    refuse_untrainable(spec)
    with measured() as cost:
        name = identity or secrets.token_hex(8)
        rung = choose(spec.trainer, _cells(rows, spec, features), reach, identity=name)
        source = _placed(rows, spec, rung, reach, name)
        survey = source.survey(spec, features, stops=rounds is None)
        job = _job(source, spec, survey, rung, rounds)
        prepared = time.perf_counter()
        outcome, beside = run(job, rung, reach, name)
    finished = time.perf_counter()
    if rung.step == "in process" and spec.trainer.gpu:
        cost.gpu_seconds = finished - prepared
    return Fit(
        *(outcome.model, outcome.rounds, outcome.history, outcome.importance),
        rows=survey.rows,
        seconds=finished - started,
        compute=str(rung),
        phases={"prepare": prepared - started, **outcome.phases, "train": finished - prepared},
        speed=outcome.speed,
        cost=cost.beside(beside),
        layout=layout(spec.trainer, rung, job.checkpoint_every),
    )


def _cells(rows: pl.DataFrame | Files, spec: ModelSpec, features: Sequence[str]) -> int:
    """Rows times features, before anything is read."""
    height = rows.rows if isinstance(rows, Files) else rows.height
    return height * len({*features, *spec.row_columns})


def _placed(
    rows: pl.DataFrame | Files, spec: ModelSpec, rung: Rung, reach: Reach | None, name: str
) -> Source:
    """The rows where the workers of this step can read them: in memory here, else as files."""
    if rung.step == "in process" or reach is None:
        return Held(rows.part(spec, 0, 1)) if isinstance(rows, Files) else Held.of(rows, spec)
    if isinstance(rows, Files):
        return rows
    known_by = Held.of(rows, spec).frame.select(usable_from(spec).max()).item()
    assert isinstance(known_by, datetime)
    return written(rows, reach.storage.below(name), known_by)


def _job(source: Source, spec: ModelSpec, survey: Survey, rung: Rung, rounds: int | None) -> Job:
    return Job(
        spec=spec,
        encoding=survey.encoding,
        rows=source,
        cut=survey.cut,
        rounds=rounds or spec.trainer.rounds,
        checkpoint_every=checkpoint_every(spec.trainer, rung),
    )


class Scorer:
    """A model ready to score frames, read from its bytes alone; a score that is no finite number is refused in its `name`.

    Threads are pinned to one by default: a second one makes a single row slower, not faster. The bytes are data: of
    what they name only the import paths in `code` are imported (`spec.code`), and `kind` is the trainer that the
    registry says made them, where it is known. Raises DatasetError for anything else.
    """

    def __init__(
        self,
        model: bytes,
        threads: int = 1,
        *,
        code: Collection[str] = (),
        kind: str | None = None,
        name: str = "",
    ) -> None:
        trainer = kind_of(model, code)
        if kind not in (None, trainer):
            raise DatasetError(
                f"the version was made by trainer {kind}, and its file is one of trainer {trainer}: the file or the "
                f"registry was changed; restore it from a copy, or roll back to another version"
            )
        self.name = name or f"the model of SHA-256 {hashlib.sha256(model).hexdigest()[:12]}"
        self._model: TrainedModel = _loaded(trainer, model, threads, code)
        self.encoding: Encoding = self._model.encoding
        self.task: str = self._model.task

    @property
    def features(self) -> tuple[str, ...]:
        return self.encoding.features

    @property
    def categories(self) -> dict[str, tuple[str, ...]]:
        return self.encoding.categories

    def predict(self, frame: pl.DataFrame) -> np.ndarray:
        """Float64 array [rows]: the probability of the positive class, or the predicted value.

        Raises ScoreError where one is NaN or infinite.
        """
        return finite(self._model.predict(frame), self.name) if frame.height else np.empty(0)

    @cached_property
    def by_columns(self) -> "ByColumns | None":
        """The same for columns of Python values; None for a model that makes something of its own of a frame."""
        plain = type(self._model).predict is TrainedModel.predict
        return ByColumns(ColumnEncoder(self.encoding), self.predict_matrix, self._model) if plain else None

    def unseen(self, frame: pl.DataFrame) -> dict[int, dict[str, str]]:
        """By row, the categories whose value was not in the training rows."""
        return self.encoding.unseen(frame)

    def predict_matrix(self, matrix: np.ndarray) -> np.ndarray:
        """The same for a matrix that `encoding.matrix` made."""
        return finite(self._model.predict_matrix(matrix), self.name)


@dataclass(frozen=True)
class ByColumns:
    """A scorer of columns: Float64 array [rows], and by row the categories whose value was not in the training rows."""

    encoder: ColumnEncoder
    score: Callable[[np.ndarray], np.ndarray]
    model: TrainedModel

    def one(self, row: Mapping[str, Any]) -> tuple[np.ndarray, dict[int, dict[str, str]]]:
        """The same for one row, a value a column."""
        numbers, unseen = self.encoder.row(row)
        buffer = self._buffer
        if not buffer.fill(numbers):
            return self.predict({name: [value] for name, value in row.items()}, 1)
        score = self.model.predict_row(buffer)
        return np.array([score]) if math.isfinite(score) else self.score(buffer.matrix), unseen

    @property
    def _buffer(self) -> RowBuffer:
        """The row that this thread fills."""
        own = self._own.__dict__
        if "buffer" not in own:
            own["buffer"] = RowBuffer(len(self.encoder.names))
        return own["buffer"]

    @cached_property
    def _own(self) -> threading.local:
        return threading.local()

    def predict(
        self, columns: Mapping[str, Sequence[Any]], height: int
    ) -> tuple[np.ndarray, dict[int, dict[str, str]]]:
        matrix, unseen = self.encoder.matrix(columns, height)
        return self.score(matrix), unseen


def _loaded(kind: str, model: bytes, threads: int, code: Collection[str]) -> TrainedModel:
    inner, recalibration = parts(model)
    try:
        read = trainer_kind(kind).scorer(inner, threads, code)
        return recalibrated(read, recalibration) if recalibration else read
    except DatasetError:
        raise
    except Exception as error:
        said = str(error).strip().splitlines()
        raise DatasetError(
            f"the model file, of trainer {kind}, is damaged: {type(error).__name__}: {said[-1] if said else ''}; "
            f"restore it from a copy"
        ) from error


def _load_pyfunc(path: str) -> "PyFunc":
    """What MLflow calls to load a model without a flavor of its own; code outside of this repository only if that declares it."""
    from mlops_assets.spec.files import declared_code

    return PyFunc(Scorer(Path(path).read_bytes(), code=declared_code()))


class PyFunc:
    """A scorer as MLflow's pyfunc wants it: a pandas frame with the features in, one number a row out."""

    def __init__(self, scorer: Scorer):
        self._scorer = scorer

    def predict(self, model_input: Any, params: dict[str, Any] | None = None) -> np.ndarray:
        return self._scorer.predict(pl.from_pandas(model_input))
