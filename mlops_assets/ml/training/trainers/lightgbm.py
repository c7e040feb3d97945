"""Gradient boosting by LightGBM, stored as its own text with one more line for the encoding.

LightGBM counts its random draws from the start of a fit and cannot store them, so a fit with checkpoints is made of
stretches, each with a seed of its own: one that was broken off and one that was not go through the same stretches.
"""

import json
import os
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from pydantic import Field

from mlops_assets.ml.dataset import DatasetError, Encoding
from mlops_assets.ml.training.trainers.base import (
    Contributions,
    ExplainingKind,
    Job,
    Link,
    Outcome,
    TrainedModel,
    Worker,
    library_names,
    pack,
    refuse_reserved,
    shares,
    unpack,
)
from mlops_assets.spec.base import ForALibrary
from mlops_assets.spec.dimensions import Range
from mlops_assets.spec.model import ModelSpec
from mlops_assets.spec.trainers import AnyTrainer

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
"""Before LightGBM's first import: its threads spin while they wait, which was measured to cost sixteen times the CPU."""

OBJECTIVES = {
    "classification": {"objective": "binary", "metric": "binary_logloss"},
    "regression": {"objective": "regression", "metric": "l1"},
}
SET_BY_THE_SPEC = {
    "seed": "trainer.seed",
    "random_state": "trainer.seed",
    "num_threads": "trainer.threads",
    "nthread": "trainer.threads",
    "n_jobs": "trainer.threads",
    "device_type": "trainer.gpu",
    "device": "trainer.gpu",
    "num_iterations": "trainer.rounds",
    "num_boost_round": "trainer.rounds",
    "early_stopping_rounds": "trainer.early_stopping_rounds",
    "early_stopping_round": "trainer.early_stopping_rounds",
}
VALIDATION = "validation"
OURS = "mlops:"


class LightGBM(AnyTrainer):
    """Gradient boosting by LightGBM; stored as its text."""

    kind: Literal["lightgbm"]
    parameters: ForALibrary = Field(default_factory=dict, description="Passed to LightGBM as they are.")


def recognises(model: bytes) -> bool:
    return model.startswith(b"tree\n")


def check(spec: ModelSpec) -> None:
    refuse_reserved(_trainer(spec).parameters, SET_BY_THE_SPEC)


def ray_trainer(spec: ModelSpec) -> Any:
    from ray.train.lightgbm import LightGBMTrainer

    return LightGBMTrainer


def parameters(spec: ModelSpec, worker: Worker) -> dict[str, Any]:
    """LightGBM's parameters: ours for the task, the spec's over them, then seed, threads, device and network."""
    trainer = _trainer(spec)
    pinned = {
        "seed": trainer.seed,
        "num_threads": trainer.threads,
        "device_type": "cuda" if trainer.gpu else "cpu",
        "deterministic": True,
        "force_row_wise": True,
        "verbosity": -1,
    }
    return {**OBJECTIVES[spec.task], **trainer.parameters, **pinned, **_network(worker)}


def train(job: Job, worker: Worker) -> Outcome:
    started = time.perf_counter()
    data, validation = _datasets(job, worker)
    built = time.perf_counter()
    text, stops, done = _boost(job, worker, data, validation)
    boosted = time.perf_counter()
    outcome = _outcome(text, stops.best_round() if validation else job.rounds, job, stops.scores)
    outcome.phases = {"matrix": built - started, "boost": boosted - built}
    outcome.speed = {
        "samples a second": data.num_data() * done / (boosted - built),
        "share of time waiting for input": (built - started) / (boosted - started),
    }
    return outcome


class Model(TrainedModel):
    """A booster that scores, and the encoding it carries."""

    def __init__(self, model: bytes, threads: int, code: Collection[str] = ()) -> None:
        import lightgbm

        text, mark, ours = model.decode().rpartition(OURS)
        if not mark:
            raise DatasetError(
                "the model carries no encoding: it was not written by mlops_assets.ml.training.fit.fit"
            )
        header = json.loads(ours)
        self._booster = lightgbm.Booster(model_str=text)
        self._threads = threads
        self.encoding = Encoding.from_json(header["encoding"])
        self.task: str = header["task"]

    def predict_matrix(self, matrix: np.ndarray) -> np.ndarray:
        return np.asarray(self._booster.predict(matrix, num_threads=self._threads), np.float64)


def _trainer(spec: ModelSpec) -> LightGBM:
    assert isinstance(spec.trainer, LightGBM)
    return spec.trainer


def _network(worker: Worker) -> dict[str, Any]:
    """Where the other workers listen."""
    if worker.size == 1:
        return {}
    from ray.train.lightgbm import get_network_params

    return {"tree_learner": "data", **get_network_params()}


def _datasets(job: Job, worker: Worker) -> tuple[Any, Any]:
    from lightgbm import Dataset

    options = {
        "feature_name": library_names(job.features),
        "categorical_feature": [i for i, f in enumerate(job.features) if f in job.encoding.categories],
        "params": {**parameters(job.spec, worker), "pre_partition": True},
        "free_raw_data": job.checkpoint_every is None,
    }
    (x, y), validation = job.arrays(worker)
    data = Dataset(x, y, **options).construct()
    if validation is None:
        return data, None
    x, y = validation
    return data, Dataset(x, y, reference=data, **options).construct()


def _boost(job: Job, worker: Worker, data: Any, validation: Any) -> tuple[str, "Stops", int]:
    """The model as text, the scores of its rounds, and how many rounds were made."""
    stops, text = _resumed(job, worker.resume())
    done = _rounds(text) if text else 0
    while done < job.rounds and not stops.now:
        stretch = min(job.checkpoint_every or job.rounds, job.rounds - done)
        text = _stretch(job, worker, data, validation, text, done, stretch, stops)
        done += stretch
        if job.checkpoint_every and not stops.now and done < job.rounds:
            state = pack({"scores": stops.scores, "higher": stops.higher}, text.encode())
            worker.save(lambda state=state: state)
    return text, stops, _rounds(text)


def _stretch(
    job: Job, worker: Worker, data: Any, validation: Any, text: str, done: int, rounds: int, stops: "Stops"
) -> str:
    import lightgbm

    chosen = parameters(job.spec, worker)
    booster = lightgbm.train(
        {**chosen, "seed": chosen["seed"] + done},
        data,
        rounds,
        valid_sets=[validation] if validation else None,
        valid_names=[VALIDATION] if validation else None,
        init_model=lightgbm.Booster(model_str=text) if text else None,
        callbacks=[stops.after_round, _telling(job, worker)] if validation else [],
    )
    return booster.model_to_string(num_iteration=-1)


def _telling(job: Job, worker: Worker) -> Callable[[Any], None]:
    def after_round(env: Any) -> None:
        text = env.model.model_to_string
        rounds = env.model.current_iteration()
        worker.reached(rounds, lambda: _outcome(text(num_iteration=-1), rounds, job, {}).model)

    return after_round


@dataclass
class Stops:
    """Early stopping that can be broken off: it knows no more than the scores so far."""

    patience: int
    scores: dict[str, list[float]]
    higher: bool = False
    now: bool = False

    def after_round(self, env: Any) -> None:
        """LightGBM's callback: add the round's scores, end the fit where the last metric gained nothing for long."""
        from lightgbm.callback import EarlyStopException

        for _, metric, value, higher_is_better, *_ in env.evaluation_result_list:
            self.scores.setdefault(metric, []).append(float(value))
            self.higher = bool(higher_is_better)
        rounds = len(next(iter(self.scores.values())))
        self.now = rounds - self.best_round() >= self.patience
        if self.now:
            raise EarlyStopException(env.iteration, env.evaluation_result_list)

    def best_round(self) -> int:
        """The first round, counted from 1, with the best score of the last metric."""
        last = list(self.scores.values())[-1]
        return int(np.argmax(last) if self.higher else np.argmin(last)) + 1


def _resumed(job: Job, checkpoint: bytes | None) -> tuple[Stops, str]:
    patience = job.spec.trainer.early_stopping_rounds
    if checkpoint is None:
        return Stops(patience, {}), ""
    header, body = unpack(checkpoint)
    return Stops(patience, header["scores"], header["higher"]), body.decode()


def _rounds(text: str) -> int:
    import lightgbm

    return lightgbm.Booster(model_str=text).current_iteration()


def _outcome(text: str, rounds: int, job: Job, scores: dict[str, list[float]]) -> Outcome:
    import lightgbm

    booster = lightgbm.Booster(model_str=text)
    gains = booster.feature_importance("gain", iteration=rounds)
    cut = _without_parameters(booster.model_to_string(num_iteration=rounds))
    ours = json.dumps({"encoding": job.encoding.to_json(), "task": job.spec.task}, sort_keys=True)
    return Outcome(
        model=f"{cut}{OURS}{ours}\n".encode(),
        rounds=rounds,
        history={f"{VALIDATION}_{name}": values for name, values in scores.items()},
        importance=shares(dict(zip(job.features, map(float, gains), strict=True)), job.features),
    )


def _without_parameters(text: str) -> str:
    """The trees alone: scoring needs no more, and the parameters name the machines that took part."""
    trees, _, rest = text.partition("\nparameters:\n")
    return trees + rest.partition("end of parameters\n")[2]


LINKS: dict[str, Link] = {
    **dict.fromkeys(("binary", "cross_entropy"), "logit"),
    **dict.fromkeys(("poisson", "gamma", "tweedie"), "log"),
    **dict.fromkeys(
        ("regression", "regression_l1", "huber", "fair", "quantile", "mape"),
        "identity",
    ),
}
"""What stands between the sum of the trees and the score, by objective."""


def contributions(model: Model, matrix: np.ndarray) -> Contributions:
    """The trees' own: Shapley values along their paths, exact (Lundberg et al. 2018, https://arxiv.org/abs/1802.03888)."""
    objective, *settings = (
        model._booster.model_to_string().partition("\nobjective=")[2].split("\n")[0].split()
    )
    if objective not in LINKS or "sqrt" in settings:
        words = " ".join([objective, *settings])
        raise DatasetError(f"objective {words} has no link by which its contributions could be read")
    steep = next((float(one.partition(":")[2]) for one in settings if one.startswith("sigmoid:")), 1.0)
    by_feature = model._booster.predict(matrix, pred_contrib=True, num_threads=model._threads)
    values = np.asarray(by_feature, np.float64) * steep
    return Contributions(LINKS[objective], values[:, -1], values[:, :-1])


TRAINER = ExplainingKind(
    spec=LightGBM,
    space={
        "learning_rate": Range(low=0.02, high=0.3, log=True),
        "num_leaves": Range(low=8, high=256, log=True, integer=True),
        "min_data_in_leaf": Range(low=5, high=200, log=True, integer=True),
        "feature_fraction": Range(low=0.3, high=1),
        "lambda_l2": Range(low=0.01, high=100, log=True),
    },
    aliases={
        "learning_rate": "eta",
        "min_data_in_leaf": "min_child_samples",
        "feature_fraction": "colsample_bytree",
        "lambda_l2": "reg_lambda",
    },
    file="model.lgb",
    scorer=Model,
    recognises=recognises,
    train=train,
    check=check,
    ray_trainer=ray_trainer,
    distributed=True,
    gpu=True,
    icon="lightgbm",
    libraries={"lightgbm": ("lightgbm",)},
    packages=("lightgbm", "numpy", "polars"),
    ahead=("lightgbm",),
    contributions=contributions,
)
