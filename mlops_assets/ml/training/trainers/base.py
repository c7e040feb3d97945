"""What trainers share: the job they are given, the worker they run on, the outcome they return."""

import json
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from importlib.util import find_spec
from typing import Any, Literal, Protocol, TypeVar

import numpy as np
import polars as pl

from mlops_assets.ml.column_encoding import RowBuffer
from mlops_assets.ml.dataset import DatasetError, Encoding
from mlops_assets.spec.columns import LABEL
from mlops_assets.spec.model import ModelSpec
from mlops_assets.spec.trainers import SpecKind

T = TypeVar("T")
Arrays = tuple[np.ndarray, np.ndarray]
"""A matrix, float32 [rows, features], and its labels, float32 [rows]."""


class Rows(Protocol):
    """Labelled rows, wherever they lie."""

    def part(self, spec: ModelSpec, rank: int, size: int) -> pl.DataFrame:
        """The share of one of `size` workers in time order; all shares together are all rows, each once."""
        ...


class Worker(Protocol):
    """The process that a trainer runs on: which one of how many, and where its checkpoints go."""

    rank: int
    size: int

    def resume(self) -> bytes | None:
        """The last checkpoint, or None where the fit begins."""
        ...

    def save(self, state: Callable[[], bytes]) -> None:
        """Keep a checkpoint. Every worker calls it after the same round; only the first one's state is asked for."""
        ...

    def reached(self, rounds: int, model: Callable[[], bytes]) -> None:
        """Told after each round that is validated; a hyperparameter search asks for the model so far and may end the fit.

        Who asks does so `aside`.
        """
        ...


@dataclass(frozen=True)
class Job:
    """One fit as a worker sees it: plain values and paths, so that it travels to another process."""

    spec: ModelSpec
    encoding: Encoding
    rows: Rows
    cut: datetime | None
    rounds: int
    checkpoint_every: int | None = None

    @property
    def features(self) -> tuple[str, ...]:
        return self.encoding.features

    def arrays(self, worker: Worker) -> tuple[Arrays, Arrays | None]:
        """This worker's rows to train on, and those that decide when to stop (None: nothing decides)."""
        time = self.spec.prediction.time
        rows = self.rows.part(self.spec, worker.rank, worker.size)
        if self.cut is None:
            return self._arrays(rows), None
        cut = int(rows[time].search_sorted(self.cut, side="left"))
        return self._arrays(rows[:cut]), self._arrays(rows[cut:])

    def _arrays(self, rows: pl.DataFrame) -> Arrays:
        return self.encoding.matrix(rows), rows[LABEL].to_numpy()


@dataclass
class Outcome:
    """What a fit gives back; `phases` are wall seconds by name, `speed` says how well the hardware was used."""

    model: bytes
    rounds: int
    history: dict[str, list[float]] = field(default_factory=dict)
    importance: dict[str, float] = field(default_factory=dict)
    phases: dict[str, float] = field(default_factory=dict)
    speed: dict[str, float | str] = field(default_factory=dict)


class TrainedModel(ABC):
    """A model read from its bytes, which are data: a class that they name is taken only if it is among `code`."""

    encoding: Encoding
    task: str

    @abstractmethod
    def __init__(self, model: bytes, threads: int, code: Collection[str]) -> None: ...

    @abstractmethod
    def predict_matrix(self, matrix: np.ndarray) -> np.ndarray:
        """Float64 array [rows] for a matrix that `encoding.matrix` made."""

    def predict_row(self, row: RowBuffer) -> float:
        """The same for a matrix of one row."""
        return float(self.predict_matrix(row.matrix)[0])

    def predict(self, frame: pl.DataFrame) -> np.ndarray:
        """Float64 array [rows] for a frame that has the features."""
        return self.predict_matrix(self.encoding.matrix(frame))


@dataclass(frozen=True)
class Flavor:
    """MLflow's own flavor of a kind, `mlflow.<name>`: how its library opens the bytes, and the example's rows as it takes them."""

    name: str
    open: Callable[[bytes], Any]
    example: Callable[[Any, pl.DataFrame], Any]


def any_spec(spec: ModelSpec) -> None:
    """The check of a kind that can train every spec."""


def plain_workers(spec: ModelSpec) -> Any:
    """The Ray Train class of a kind whose workers need no library's process group."""
    from ray.train.v2.api.data_parallel_trainer import DataParallelTrainer

    return DataParallelTrainer


@dataclass(frozen=True, kw_only=True)
class TrainerKind(SpecKind):
    """A kind of trainer as it describes itself: what a spec says of it, how it is fitted, stored and read again.

    Args:
        scorer: class that reads a model's bytes; it comes from here and never from the bytes.
        file: name of the model's file, which no other kind has.
        recognises: whether bytes are a model of this kind; told before anything else is done with them.
        train: the loop that runs on each worker: its share of the rows in, the whole model out.
        check: refuses a spec that cannot be trained, before any row is read.
        ray_trainer: the Ray Train class that sets up the workers' communication.
        needs: modules without which nothing is trained, and `install`, how to get them.
        packages: what a model needs to be read, by the names it is installed under.
        ahead: modules that scoring imports, and that the endpoint imports before the first request.
        flavor: MLflow's own of this kind; without one a model is a pyfunc that this project reads.
    """

    scorer: type[TrainedModel]
    file: str
    recognises: Callable[[bytes], bool]
    train: Callable[[Job, Worker], Outcome]
    check: Callable[[ModelSpec], None] = any_spec
    ray_trainer: Callable[[ModelSpec], Any] = plain_workers
    needs: tuple[str, ...] = ()
    install: str = ""
    packages: tuple[str, ...] = ("mlops-assets", "numpy", "polars")
    ahead: tuple[str, ...] = ()
    flavor: Flavor | None = None

    def __post_init__(self) -> None:
        if not (isinstance(self.scorer, type) and issubclass(self.scorer, TrainedModel)):
            raise TypeError(f"scorer={self.scorer!r} is no subclass of {__name__}:TrainedModel: derive it")
        for name in ("recognises", "train", "check", "ray_trainer"):
            if "<" in _path(getattr(self, name)):
                raise TypeError(
                    f"{name}={getattr(self, name)!r} is no function of a module, so its code has no digest: define it with def"
                )

    @property
    def fit_code(self) -> tuple[str, ...]:
        """Import paths of all that fits: what its digest covers, with all that it uses."""
        return tuple(
            _path(part) for part in (self.spec, self.check, self.train, self.ray_trainer, self.scorer)
        )

    @property
    def scoring_code(self) -> tuple[str, ...]:
        """Import paths of what tells a model of this kind and reads it."""
        return _path(self.recognises), self.reader

    def refuse_missing(self) -> None:
        """Raise DatasetError where a module is missing without which nothing is trained."""
        if missing := [name for name in self.needs if find_spec(name) is None]:
            raise DatasetError(f"trainer kind {self.name} needs {' and '.join(missing)}: {self.install}")


Link = Literal["identity", "logit", "log"]


@dataclass(frozen=True, eq=False)
class Contributions:
    """What each feature adds to a row's raw score: `base` [rows] plus all of the row's `values` [rows, features], both float64.

    The score is what the inverse of the link makes of the raw score: 1 / (1 + exp(-raw)) of a logit, exp(raw) of a log.
    """

    link: Link
    base: np.ndarray
    values: np.ndarray


@dataclass(frozen=True, kw_only=True)
class ExplainingKind(TrainerKind):
    """A kind that also says what each feature adds to a score; apart from what decides scores, and so in no digest of it.

    Args:
        contributions: those of a model that `scorer` has read, for a matrix of its encoding.
    """

    contributions: Callable[[Any, np.ndarray], Contributions]


def _path(part: Any) -> str:
    return f"{part.__module__}:{part.__qualname__}" if hasattr(part, "__qualname__") else f"<{part!r}>"


class ByteScorer(ABC):
    """What reads the bytes that a loop of one's own returned; a spec names it, and nothing else is ever called with them."""

    @abstractmethod
    def __init__(self, model: bytes) -> None: ...

    @abstractmethod
    def predict(self, frame: pl.DataFrame) -> np.ndarray:
        """One number a row [rows], for a frame that has the features."""


def aside(work: Callable[[], T]) -> T:
    """Do something in the middle of a fit, in a thread of its own: XGBoost's random numbers belong to the thread.

    A booster that is copied or loaded seeds them anew, and the rounds that follow would draw others.
    """
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(work).result()


def refuse_reserved(given: dict[str, Any], reserved: dict[str, str]) -> None:
    """Refuse a library parameter that a field of the spec sets."""
    for name in given.keys() & reserved.keys():
        raise DatasetError(
            f"trainer.parameters.{name}={given[name]!r} is not passed on: set {reserved[name]} instead"
        )


def shares(gains: dict[str, float], names: Sequence[str]) -> dict[str, float]:
    """Gains as shares of their sum, 0 for a feature that was never used."""
    total = sum(gains.values()) or 1.0
    return {name: gains.get(name, 0.0) / total for name in names}


def library_names(features: Sequence[str]) -> list[str]:
    """What a library calls the features: their names, or numbers where one of them is more than letters, digits and _.

    XGBoost and LightGBM refuse brackets, quotes, commas and more. The encoding beside the trees has the real names.
    """
    if all(re.fullmatch(r"\w+", name, re.ASCII) for name in features):
        return list(features)
    return [f"f{number}" for number in range(len(features))]


def pack(header: dict[str, Any], body: bytes) -> bytes:
    """A line of JSON and the bytes it describes; the same content gives the same bytes."""
    return json.dumps(header, sort_keys=True).encode() + b"\n" + body


def unpack(content: bytes) -> tuple[dict[str, Any], bytes]:
    """What `pack` put together."""
    header, _, body = content.partition(b"\n")
    return json.loads(header), body
