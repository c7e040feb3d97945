"""A training loop of one's own, by import path: it returns bytes, and a class by import path reads them.

The loop runs inside Ray Train on every worker as the built-in ones do: `loop(job, worker)` may call `job.arrays`,
`worker.save` and all of `ray.train`, and returns the model's bytes or an `Outcome`. The file says which class it was
made for. That name is data: the class is imported only if the spec names it, too, and must be a `ByteScorer`.
"""

import time
from collections.abc import Callable, Collection
from importlib import import_module
from typing import Any, Literal

import numpy as np
import polars as pl
from pydantic import Field

from mlops_assets.ml.dataset import DatasetError, Encoding
from mlops_assets.ml.training.trainers.base import (
    ByteScorer,
    Job,
    Outcome,
    TrainedModel,
    TrainerKind,
    Worker,
    pack,
    plain_workers,
    unpack,
)
from mlops_assets.spec.base import FreeForm, ImportPath
from mlops_assets.spec.model import ModelSpec
from mlops_assets.spec.trainers import AnyTrainer

MAGIC = b"mlops function model\n"


class Function(AnyTrainer):
    """A training loop of one's own: a function by import path, which returns bytes, and the class that reads them."""

    kind: Literal["function"]
    loop: ImportPath = Field(description="Function (job, worker) -> bytes or Outcome, run on every worker.")
    scorer: ImportPath = Field(
        description="Subclass of `mlops_assets.ml.training.trainers.base:ByteScorer` that reads those bytes."
    )
    framework: Literal["plain", "torch", "xgboost", "lightgbm"] = Field(
        default="plain", description="Whose process group Ray Train sets up around the loop."
    )
    parameters: FreeForm = Field(
        default_factory=dict, description="For the loop, as `job.spec.trainer.parameters`."
    )

    @property
    def code(self) -> tuple[str, ...]:
        return self.loop, self.scorer

    @property
    def scoring_code(self) -> tuple[str, ...]:
        return (self.scorer,)


def recognises(model: bytes) -> bool:
    return model.startswith(MAGIC)


def check(spec: ModelSpec) -> None:
    imported(_trainer(spec).loop, "loop")
    scorer_class(_trainer(spec).scorer)


def ray_trainer(spec: ModelSpec) -> Any:
    framework = _trainer(spec).framework
    if framework == "plain":
        return plain_workers(spec)
    names = {"torch": "TorchTrainer", "xgboost": "XGBoostTrainer", "lightgbm": "LightGBMTrainer"}
    return getattr(import_module(f"ray.train.{framework}"), names[framework])


def train(job: Job, worker: Worker) -> Outcome:
    started = time.perf_counter()
    trainer = _trainer(job.spec)
    returned = imported(trainer.loop, "loop")(job, Telling(job, worker))
    outcome = returned if isinstance(returned, Outcome) else Outcome(returned, job.rounds)
    if not isinstance(outcome.model, bytes):
        raise DatasetError(
            f"trainer.loop {trainer.loop} returned a {type(outcome.model).__name__}: return the model's bytes, "
            f"or an Outcome that has them"
        )
    outcome.model = _packed(job, outcome.model)
    outcome.phases.setdefault("loop", time.perf_counter() - started)
    return outcome


class Model(TrainedModel):
    """The user's scorer, and the encoding that training used."""

    def __init__(self, model: bytes, threads: int, code: Collection[str]) -> None:
        header, body = unpack(model.removeprefix(MAGIC))
        named, self.task = str(header["scorer"]), str(header["task"])
        if named not in code:
            raise DatasetError(
                f"the model file names {named!r} as its reader, which the spec does not: only what the spec names is "
                f"imported. If it is right, set trainer.scorer to it or list it under earlier_code"
            )
        reader = scorer_class(named)
        self.encoding = Encoding.from_json(header["encoding"])
        self._scorer = reader(body)

    def predict(self, frame: pl.DataFrame) -> np.ndarray:
        return np.asarray(self._scorer.predict(frame), np.float64)

    def predict_matrix(self, matrix: np.ndarray) -> np.ndarray:
        return self.predict(pl.DataFrame(matrix, schema=list(self.encoding.features)))


class Telling:
    """The worker as the loop sees it: a model that it tells of is packed as the finished one will be."""

    def __init__(self, job: Job, worker: Worker) -> None:
        self.rank, self.size = worker.rank, worker.size
        self.resume, self.save = worker.resume, worker.save
        self._job, self._worker = job, worker

    def reached(self, rounds: int, model: Callable[[], bytes]) -> None:
        self._worker.reached(rounds, lambda: _packed(self._job, model()))


def imported(path: str, field: str) -> Any:
    """What `package.module:name` names; an error says which field of the spec is wrong."""
    module, _, name = path.partition(":")
    try:
        return getattr(import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise DatasetError(f"trainer.{field}={path!r} cannot be imported: {error}") from error


def scorer_class(path: str) -> type[ByteScorer]:
    """The class that a spec names to read its bytes; anything that is no ByteScorer is refused and not called."""
    kind = imported(path, "scorer")
    if not (isinstance(kind, type) and issubclass(kind, ByteScorer)):
        raise DatasetError(
            f"trainer.scorer={path!r} is no subclass of mlops_assets.ml.training.trainers.base:ByteScorer: derive it from that class"
        )
    return kind


def _packed(job: Job, model: bytes) -> bytes:
    header = {
        "scorer": _trainer(job.spec).scorer,
        "encoding": job.encoding.to_json(),
        "task": job.spec.task,
    }
    return MAGIC + pack(header, model)


def _trainer(spec: ModelSpec) -> Function:
    assert isinstance(spec.trainer, Function)
    return spec.trainer


TRAINER = TrainerKind(
    spec=Function,
    file="model.bin",
    scorer=Model,
    recognises=recognises,
    train=train,
    check=check,
    ray_trainer=ray_trainer,
    distributed=True,
    gpu=True,
)
