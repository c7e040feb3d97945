"""One fit: a frame in, the bytes of a self-contained XGBoost model out.

The same rows, spec and threads give the same bytes: nothing of time, path or machine is in them. The encoding of
the columns travels inside the model as a booster attribute, so that the file alone can score a frame.
"""

import logging
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl

from mlops_assets.ml.dataset import LABEL, DatasetError, Encoding, require, split_newest
from mlops_assets.spec import ModelSpec

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
    "device": "trainer.device",
    "num_boost_round": "trainer.rounds",
    "early_stopping_rounds": "trainer.early_stopping_rounds",
}
ENCODING_ATTRIBUTE, TASK_ATTRIBUTE = "encoding", "task"


@dataclass
class Fit:
    """A trained model and how it came about; `seconds` is wall time and is kept out of the model."""

    model: bytes
    rounds: int
    history: dict[str, list[float]]
    importance: dict[str, float]
    rows: int
    seconds: float
    phases: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Job:
    """What a training worker needs: arrays and plain values only, so that it can travel to another process."""

    train: tuple[np.ndarray, np.ndarray]
    validation: tuple[np.ndarray, np.ndarray] | None
    parameters: dict[str, Any]
    names: list[str]
    rounds: int
    patience: int
    attributes: dict[str, str]


def fit(train: pl.DataFrame, spec: ModelSpec, features: Sequence[str], *, rounds: int | None = None) -> Fit:
    """Fit one model on labelled rows (`dataset.labelled`) through Ray Train.

    `rounds` None: the newest `trainer.validation_share` of the rows decides when to stop and the model is cut at
    its best round. `rounds` given: exactly so many on all rows, which is how a challenger that passed is refitted.
    """
    started = time.perf_counter()
    require(train, [LABEL, spec.prediction.time], "training")
    rows = _in_order(train, spec)
    encoding = Encoding.fit(rows, features, spec.trainer.categories)
    job = _job(rows, spec, encoding, rounds)
    prepared = time.perf_counter()
    outcome = _run(job, spec.trainer.workers, use_gpu=spec.trainer.device == "cuda")
    finished = time.perf_counter()
    phases = {"prepare": prepared - started, **outcome.pop("phases"), "train": finished - prepared}
    return Fit(**outcome, rows=rows.height, seconds=finished - started, phases=phases)


def parameters(spec: ModelSpec) -> dict[str, Any]:
    """XGBoost's parameters: ours for the task, the spec's over them, then seed, threads and device."""
    given = spec.trainer.parameters
    for name in given.keys() & SET_BY_THE_SPEC.keys():
        raise DatasetError(
            f"trainer.parameters.{name}={given[name]!r} is not passed on: set {SET_BY_THE_SPEC[name]} instead"
        )
    trainer = spec.trainer
    pinned = {"seed": trainer.seed, "nthread": trainer.threads, "device": trainer.device}
    return {"tree_method": "hist", "max_bin": 256, **OBJECTIVES[spec.task], **given, **pinned}


class Scorer:
    """A model ready to score frames, read from its bytes alone.

    Threads are pinned to one by default: a second one makes a single row slower, not faster.
    """

    def __init__(self, model: bytes, threads: int = 1) -> None:
        import xgboost

        self._booster = xgboost.Booster({"nthread": threads}, model_file=bytearray(model))
        encoding = self._booster.attr(ENCODING_ATTRIBUTE)
        if encoding is None:
            raise DatasetError(
                "the model carries no encoding: it was not written by mlops_assets.ml.training.fit"
            )
        self.encoding = Encoding.from_json(encoding)
        self.task = self._booster.attr(TASK_ATTRIBUTE) or ""

    @property
    def features(self) -> tuple[str, ...]:
        return self.encoding.features

    @property
    def categories(self) -> dict[str, tuple[str, ...]]:
        return self.encoding.categories

    def predict(self, frame: pl.DataFrame) -> np.ndarray:
        """Float64 array [rows]: the probability of the positive class, or the predicted value."""
        if not frame.height:
            return np.empty(0)
        return self.predict_matrix(self.encoding.matrix(frame))

    def predict_matrix(self, matrix: np.ndarray) -> np.ndarray:
        """The same for a matrix that `encoding.matrix` made."""
        return self._booster.inplace_predict(matrix, validate_features=False).astype(np.float64)


def _in_order(train: pl.DataFrame, spec: ModelSpec) -> pl.DataFrame:
    """Rows by time and key, so that the model does not depend on the order in which they were read."""
    return train.sort([spec.prediction.time, *(k for k in spec.prediction.key if k in train.columns)])


def _job(rows: pl.DataFrame, spec: ModelSpec, encoding: Encoding, rounds: int | None) -> Job:
    older, newest = (rows, None) if rounds else _validation(rows, spec)
    return Job(
        train=_arrays(older, encoding),
        validation=None if newest is None else _arrays(newest, encoding),
        parameters=parameters(spec),
        names=list(encoding.features),
        rounds=rounds or spec.trainer.rounds,
        patience=spec.trainer.early_stopping_rounds,
        attributes={ENCODING_ATTRIBUTE: encoding.to_json(), TASK_ATTRIBUTE: spec.task},
    )


def _validation(rows: pl.DataFrame, spec: ModelSpec) -> tuple[pl.DataFrame, pl.DataFrame]:
    older, newest = split_newest(rows, spec.prediction.time, spec.trainer.validation_share)
    if not older.height or not newest.height:
        raise DatasetError(
            f"{rows.height} rows cannot be split in time into {1 - spec.trainer.validation_share:.0%} to train on and "
            f"{spec.trainer.validation_share:.0%} to validate on: give more rows, or rows of more than one moment"
        )
    return older, newest


def _arrays(rows: pl.DataFrame, encoding: Encoding) -> tuple[np.ndarray, np.ndarray]:
    return encoding.matrix(rows), rows[LABEL].to_numpy()


def _run(job: Job, workers: int, *, use_gpu: bool) -> dict[str, Any]:
    """Run the job by Ray Train; no workers means its local mode: in this process, and no Ray is started."""
    os.environ.setdefault("RAY_TRAIN_V2_ENABLED", "1")
    from ray.train import RunConfig, ScalingConfig
    from ray.train.xgboost import XGBoostTrainer

    logging.getLogger("ray.train").setLevel(logging.WARNING)
    trainer = XGBoostTrainer(
        lambda: train_on_worker(job),
        scaling_config=ScalingConfig(num_workers=workers, use_gpu=use_gpu and workers > 0),
        run_config=RunConfig(name="fit"),
    )
    outcome = trainer.fit().return_value
    assert outcome is not None
    return outcome


def train_on_worker(job: Job) -> dict[str, Any]:
    """The loop that Ray Train runs on each worker: this worker's share of the rows, the whole model back."""
    import ray.train
    import xgboost
    from xgboost.callback import EarlyStopping

    context = ray.train.get_context()
    share = slice(context.get_world_rank(), None, context.get_world_size())
    started = time.perf_counter()
    train, validation = _matrices(job, share)
    built = time.perf_counter()
    history: dict[str, dict[str, list[float]]] = {}
    stop = [EarlyStopping(rounds=job.patience)] if validation else []
    booster = xgboost.train(
        job.parameters,
        train,
        job.rounds,
        evals=[(validation, "validation")] if validation else [],
        evals_result=history,
        callbacks=stop,
        verbose_eval=False,
    )
    rounds = booster.best_iteration + 1 if validation else job.rounds
    outcome = _outcome(booster[:rounds] if validation else booster, rounds, job, history)
    return {**outcome, "phases": {"matrix": built - started, "boost": time.perf_counter() - built}}


def _matrices(job: Job, share: slice) -> tuple[Any, Any]:
    from xgboost import QuantileDMatrix

    options = {"nthread": job.parameters["nthread"], "max_bin": job.parameters["max_bin"]}
    x, y = job.train
    train = QuantileDMatrix(x[share], y[share], feature_names=job.names, **options)
    if job.validation is None:
        return train, None
    x, y = job.validation
    return train, QuantileDMatrix(x[share], y[share], feature_names=job.names, ref=train, **options)


def _outcome(
    booster: Any, rounds: int, job: Job, history: dict[str, dict[str, list[float]]]
) -> dict[str, Any]:
    booster.set_attr(best_iteration=None, best_score=None, **job.attributes)
    gains = booster.get_score(importance_type="total_gain")
    total = sum(gains.values()) or 1.0
    return {
        "model": bytes(booster.save_raw("ubj")),
        "rounds": rounds,
        "history": {f"{data}_{name}": values for data, by in history.items() for name, values in by.items()},
        "importance": {name: gains.get(name, 0.0) / total for name in job.names},
    }
