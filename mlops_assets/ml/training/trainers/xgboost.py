"""Gradient boosting by XGBoost, stored as ubj with its encoding as an attribute, so that the file alone scores a frame.

XGBoost cannot store its random state, so a fit with checkpoints is made of stretches, each with a seed of its own:
one that was broken off and one that was not go through the same stretches.
"""

import json
import os
import time
from collections.abc import Collection, Mapping
from typing import Any, Literal

import numpy as np
import polars as pl
from pydantic import Field

from mlops_assets.ml.column_encoding import RowBuffer
from mlops_assets.ml.dataset import DatasetError, Encoding
from mlops_assets.ml.training.trainers.base import (
    Contributions,
    ExplainingKind,
    Flavor,
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
from mlops_assets.ml.training.trainers.xgboost_dense import Dense
from mlops_assets.ml.training.trainers.xgboost_lean import LeanBooster
from mlops_assets.spec.base import ForALibrary
from mlops_assets.spec.dimensions import Range
from mlops_assets.spec.model import ModelSpec
from mlops_assets.spec.trainers import AnyTrainer

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
"""Read by OpenMP when XGBoost is first imported: waiting threads sleep. By default they spin, and a fit that shares
its cores with other work was measured to cost four to eight times the CPU."""

OBJECTIVES = {
    "classification": {"objective": "binary:logistic", "eval_metric": "logloss"},
    "regression": {"objective": "reg:squarederror", "eval_metric": "mae"},
}
SET_BY_THE_SPEC = {
    "seed": "trainer.seed",
    "random_state": "trainer.seed",
    "nthread": "trainer.threads",
    "n_jobs": "trainer.threads",
    "device": "trainer.gpu",
    "num_boost_round": "trainer.rounds",
    "early_stopping_rounds": "trainer.early_stopping_rounds",
}
ENCODING, TASK = "encoding", "task"
START = b"{L\0\0\0\0\0\0\0\7learner"
VALIDATION = "validation"
MOST_PLAIN_CELLS = 50_000_000
"""Rows times features up to which a plain matrix is built: 8 bytes a cell."""


class XGBoost(AnyTrainer):
    """Gradient boosting by XGBoost; stored in its own format (ubj)."""

    kind: Literal["xgboost"] = "xgboost"
    parameters: ForALibrary = Field(default_factory=dict, description="Passed to XGBoost as they are.")


def recognises(model: bytes) -> bool:
    """An object of UBJSON, of which the first name is `learner`."""
    return model.startswith(START)


def check(spec: ModelSpec) -> None:
    refuse_reserved(_trainer(spec).parameters, SET_BY_THE_SPEC)


def ray_trainer(spec: ModelSpec) -> Any:
    from ray.train.xgboost import XGBoostTrainer

    return XGBoostTrainer


def parameters(spec: ModelSpec) -> dict[str, Any]:
    """XGBoost's parameters: ours for the task, the spec's over them, then seed, threads and device."""
    trainer = _trainer(spec)
    pinned = {
        "seed": trainer.seed,
        "nthread": trainer.threads,
        "device": "cuda" if trainer.gpu else "cpu",
    }
    return {"tree_method": "hist", "max_bin": 256, **OBJECTIVES[spec.task], **trainer.parameters, **pinned}


def train(job: Job, worker: Worker) -> Outcome:
    started = time.perf_counter()
    _refuse_to_fall_back(job.spec)
    train_data, validation = _matrices(job, worker)
    built = time.perf_counter()
    booster, scores = _boost(job, worker, train_data, validation)
    boosted = time.perf_counter()
    rounds = booster.best_iteration + 1 if validation else job.rounds
    outcome = _outcome(booster[:rounds] if validation else booster, rounds, job, scores)
    outcome.phases = {"matrix": built - started, "boost": boosted - built}
    seen = train_data.num_row() * booster.num_boosted_rounds()
    outcome.speed = {
        "samples a second": seen / (boosted - built),
        "share of time waiting for input": (built - started) / (boosted - started),
    }
    return outcome


class Model(TrainedModel):
    """A booster that scores, and the encoding it carries."""

    def __init__(self, model: bytes, threads: int, code: Collection[str] = ()) -> None:
        lean = LeanBooster(model, threads)
        encoding = lean.attr(ENCODING)
        if encoding is None:
            raise DatasetError(
                "the model carries no encoding: it was not written by mlops_assets.ml.training.fit.fit"
            )
        self.encoding = Encoding.from_json(encoding)
        self.task = lean.attr(TASK) or ""
        self._lean, self._dense = lean, Dense(lean)

    @property
    def _booster(self) -> Any:
        """The booster as XGBoost's package has it, which is imported for it."""
        return self._lean.whole

    def predict_matrix(self, matrix: np.ndarray) -> np.ndarray:
        return self._dense(matrix).astype(np.float64)

    def predict_row(self, row: RowBuffer) -> float:
        score = self._dense.row(row)
        return super().predict_row(row) if score is None else score


def _trainer(spec: ModelSpec) -> XGBoost:
    assert isinstance(spec.trainer, XGBoost)
    return spec.trainer


def _refuse_to_fall_back(spec: ModelSpec) -> None:
    """Stop where XGBoost would train on the CPU although a GPU was asked for."""
    import xgboost

    if spec.trainer.gpu and not xgboost.build_info()["USE_CUDA"]:
        raise DatasetError(
            "trainer.gpu=true, and this XGBoost is built without CUDA: pip uninstall xgboost-cpu, pip install xgboost"
        )


def _matrices(job: Job, worker: Worker) -> tuple[Any, Any]:
    """The rows to train on and those that decide when to stop (None: nothing decides).

    A QuantileDMatrix takes an eighth of the memory of a plain one, which gives the same trees for a third less CPU.
    """
    from xgboost import DMatrix, QuantileDMatrix

    chosen = parameters(job.spec)
    named = {"nthread": chosen["nthread"], "feature_names": library_names(job.features)}
    (x, y), validation = job.arrays(worker)
    if worker.size == 1 and not job.spec.trainer.gpu and x.size <= MOST_PLAIN_CELLS:
        return DMatrix(x, y, **named), validation and DMatrix(*validation, **named)
    options = {**named, "max_bin": chosen["max_bin"]}
    train_data = QuantileDMatrix(x, y, **options)
    return train_data, validation and QuantileDMatrix(*validation, ref=train_data, **options)


def _boost(job: Job, worker: Worker, train_data: Any, validation: Any) -> tuple[Any, dict[str, list[float]]]:
    """XGBoost's own loop, begun where the last checkpoint ends: `xgboost.train` would count the rounds from 0 again."""
    from xgboost.callback import EarlyStopping

    scores, state = _resumed(worker.resume())
    data = [part for part in (train_data, validation) if part]
    booster = _booster(job.spec, data, state)
    stop = EarlyStopping(rounds=job.spec.trainer.early_stopping_rounds)
    done = booster.num_boosted_rounds()
    for i in range(done if validation else 0):
        _stops(stop, booster, i, scores)
    for i in range(done, job.rounds):
        booster.update(train_data, iteration=i)
        if validation:
            _append(scores, booster.eval_set([(validation, VALIDATION)], i))
            if _stops(stop, booster, i, scores):
                break
            worker.reached(i + 1, lambda now=booster: _outcome(now[:], job.rounds, job, {}).model)
        if job.checkpoint_every and (i + 1) % job.checkpoint_every == 0:
            state = bytes(booster.save_raw("ubj"))
            worker.save(lambda state=state: pack({"scores": scores}, state))
            booster = _booster(job.spec, data, state)
    return booster.reset(), {f"{VALIDATION}_{name}": values for name, values in scores.items()}


def _booster(spec: ModelSpec, data: list[Any], state: bytes | None) -> Any:
    """A new booster, or one that goes on from a state under the seed of its stretch."""
    import xgboost

    chosen = parameters(spec)
    if state is None:
        return xgboost.Booster(chosen, data)
    done = xgboost.Booster(model_file=bytearray(state)).num_boosted_rounds()
    return xgboost.Booster(chosen | {"seed": chosen["seed"] + done}, data, bytearray(state))


def _resumed(checkpoint: bytes | None) -> tuple[dict[str, list[float]], bytes | None]:
    """The scores of the rounds done, and the booster so far."""
    if checkpoint is None:
        return {}, None
    header, body = unpack(checkpoint)
    return header["scores"], body


def _stops(stop: Any, booster: Any, i: int, scores: Mapping[str, list[float]]) -> bool:
    """Whether early stopping ends the fit after round `i`; told of each round, it knows the best one."""
    return stop.after_iteration(booster, i, {VALIDATION: {name: v[: i + 1] for name, v in scores.items()}})


def _append(scores: dict[str, list[float]], line: str) -> None:
    """Add a round's scores, which XGBoost gives as text: `[3]\tvalidation-logloss:0.41`."""
    for pair in line.split()[1:]:
        name, _, value = pair.rpartition(":")
        scores.setdefault(name.removeprefix(f"{VALIDATION}-"), []).append(float(value))


def _outcome(booster: Any, rounds: int, job: Job, scores: dict[str, list[float]]) -> Outcome:
    booster.set_attr(
        best_iteration=None, best_score=None, encoding=job.encoding.to_json(), task=job.spec.task
    )
    by_library = booster.get_score(importance_type="total_gain")
    named = zip(job.features, library_names(job.features), strict=True)
    gains = {feature: by_library[name] for feature, name in named if name in by_library}
    return Outcome(bytes(booster.save_raw("ubj")), rounds, scores, shares(gains, job.features))


LINKS: dict[str, Link] = {
    "binary:logistic": "logit",
    "reg:logistic": "logit",
    "count:poisson": "log",
    "reg:gamma": "log",
    "reg:tweedie": "log",
    **dict.fromkeys(("binary:logitraw", "reg:squarederror", "reg:squaredlogerror"), "identity"),
    **dict.fromkeys(("reg:absoluteerror", "reg:pseudohubererror", "reg:quantileerror"), "identity"),
}
"""What stands between the sum of the trees and the score, by objective."""


def contributions(model: Model, matrix: np.ndarray) -> Contributions:
    """The trees' own: Shapley values along their paths, exact (Lundberg et al. 2018, https://arxiv.org/abs/1802.03888)."""
    from xgboost import DMatrix

    booster = model._booster
    objective = json.loads(booster.save_config())["learner"]["objective"]["name"]
    if objective not in LINKS:
        raise DatasetError(f"objective {objective} has no link by which its contributions could be read")
    rows = DMatrix(matrix, feature_names=booster.feature_names, nthread=1)
    values = booster.predict(rows, pred_contribs=True).astype(np.float64)
    return Contributions(LINKS[objective], values[:, -1], values[:, :-1])


def opened(model: bytes) -> Any:
    """The model as XGBoost's own object."""
    import xgboost

    return xgboost.Booster({"nthread": 1}, model_file=bytearray(model))


def example_frame(model: Any, example: pl.DataFrame) -> Any:
    """The example's rows as the model file itself takes them: its columns in order, categories that are text as codes.

    Any other column holds numbers or codes already: which code a number has only the encoding's owner knows.
    """
    encoding = json.loads(model.attr(ENCODING) or "{}")
    codes = {c: {v: float(i) for i, v in enumerate(vs)} for c, vs in encoding.get("categories", {}).items()}
    features = encoding.get("features") or example.columns
    names = model.feature_names or features
    columns = [
        pl.col(c)
        .cast(pl.String)
        .replace_strict(codes[c] or {"": None}, default=None, return_dtype=pl.Float64)
        if c in codes and example.schema[c] in (pl.String, pl.Categorical, pl.Enum)
        else pl.col(c).cast(pl.Float64)
        for c in features
    ]
    return example.select(columns).rename(dict(zip(features, names, strict=True))).to_pandas()


TRAINER = ExplainingKind(
    spec=XGBoost,
    default=True,
    space={
        "eta": Range(low=0.02, high=0.3, log=True),
        "max_depth": Range(low=3, high=10, integer=True),
        "min_child_weight": Range(low=1, high=100, log=True),
        "subsample": Range(low=0.5, high=1),
        "colsample_bytree": Range(low=0.3, high=1),
        "lambda": Range(low=0.1, high=100, log=True),
    },
    aliases={"eta": "learning_rate", "lambda": "reg_lambda"},
    file="model.ubj",
    scorer=Model,
    recognises=recognises,
    train=train,
    check=check,
    ray_trainer=ray_trainer,
    distributed=True,
    gpu=True,
    icon="xgboost",
    libraries={"xgboost": ("xgboost-cpu", "xgboost")},
    packages=("xgboost-cpu", "xgboost", "numpy", "scipy", "pandas"),
    contributions=contributions,
    flavor=Flavor("xgboost", opened, example_frame),
)
