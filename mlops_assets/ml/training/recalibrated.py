"""A model whose scores are brought back to the chances that they claim to be: its own bytes, and two numbers in front of them.

What is added to the log odds of every score, and what they are multiplied by before (Platt 1999). The order of the scores stays.
The two numbers are read as JSON, and nothing is ever executed from bytes.
"""

import json
import math
from dataclasses import asdict, dataclass
from typing import Self

import numpy as np
import polars as pl

from mlops_assets.ml.column_encoding import RowBuffer
from mlops_assets.ml.dataset import DatasetError
from mlops_assets.ml.training.trainers.base import Contributions, TrainedModel

FIRST_LINE = b"mlops recalibrated 1\n"
FILE_PREFIX = "recalibrated-"
"""In front of the name that the inner model's file has."""

CLIP = 1e-15
"""Scores of exactly 0 and 1 have no log odds: they are taken as so far from it."""


@dataclass(frozen=True)
class Recalibration:
    """`slope * log odds + intercept` are the new log odds of a score; as it is by default."""

    slope: float = 1.0
    intercept: float = 0.0

    def __post_init__(self) -> None:
        numbers = [self.slope, self.intercept]
        if not all(isinstance(one, int | float) and math.isfinite(one) for one in numbers) or self.slope <= 0:
            raise DatasetError(
                f"slope={self.slope!r}, intercept={self.intercept!r} recalibrate no score: both are finite numbers and the slope "
                "is over 0, so that the order of the scores stays; restore the file from a copy"
            )

    @property
    def stays(self) -> bool:
        """Whether every score stays what it is."""
        return (self.slope, self.intercept) == (1.0, 0.0)

    def scores(self, scores: np.ndarray) -> np.ndarray:
        """Float64 array [rows] of chances for scores [rows] from 0 to 1; NaN of NaN."""
        if self.stays:
            return scores
        near = np.clip(scores, CLIP, 1 - CLIP)
        odds = self.slope * (np.log(near) - np.log1p(-near)) + self.intercept
        return 0.5 * (1 + np.tanh(odds / 2))

    def contributions(self, inner: Contributions) -> Contributions:
        """The same by feature: stretched by the slope, the intercept added to the base; DatasetError where they add up to no log odds."""
        if inner.link != "logit":
            raise DatasetError(
                f"the model's contributions add up to a raw score with link {inner.link}, and a recalibration moves log odds: "
                "nothing is explained"
            )
        return Contributions("logit", self.slope * inner.base + self.intercept, self.slope * inner.values)

    def after(self, before: Self) -> "Recalibration":
        """Both as one: this one of scores that another one made."""
        return Recalibration(self.slope * before.slope, self.slope * before.intercept + self.intercept)


def wrapped(model: bytes, recalibration: Recalibration) -> bytes:
    """A model's bytes with a recalibration in front; of one that has a recalibration already, both become one."""
    inner, before = parts(model)
    both = recalibration.after(before) if before else recalibration
    return FIRST_LINE + json.dumps(asdict(both), sort_keys=True).encode() + b"\n" + inner


def parts(model: bytes) -> tuple[bytes, Recalibration | None]:
    """The bytes as the trainer wrote them, and the recalibration in front of them, if there is one."""
    if not model.startswith(FIRST_LINE):
        return model, None
    line, _, inner = model.removeprefix(FIRST_LINE).partition(b"\n")
    try:
        return inner, Recalibration(**json.loads(line))
    except (ValueError, TypeError) as error:
        raise DatasetError(
            f"the recalibration in front of a model is {line[:80]!r}, expected is a slope and an intercept as JSON: the file is "
            "damaged; restore it from a copy"
        ) from error


def recalibrated(inner: TrainedModel, recalibration: Recalibration) -> TrainedModel:
    """A model that was read, scoring through a recalibration; DatasetError where it is no classifier."""
    if inner.task != "classification":
        raise DatasetError(
            f"a recalibration lies in front of a model of task {inner.task}, and only a classifier's scores are chances: "
            "restore the file from a copy"
        )
    plain = type(inner).predict is TrainedModel.predict
    return (RecalibratedModel if plain else RecalibratedByFrames)(inner, recalibration)


class RecalibratedModel(TrainedModel):
    """A model and the recalibration that its scores go through, of a matrix, a row and so of a frame."""

    def __init__(self, inner: TrainedModel, recalibration: Recalibration) -> None:
        self.inner, self.recalibration = inner, recalibration
        self.encoding, self.task = inner.encoding, inner.task

    def predict_matrix(self, matrix: np.ndarray) -> np.ndarray:
        return self.recalibration.scores(self.inner.predict_matrix(matrix))

    def predict_row(self, row: RowBuffer) -> float:
        return float(self.recalibration.scores(np.array([self.inner.predict_row(row)]))[0])


class RecalibratedByFrames(RecalibratedModel):
    """The same of a model that makes something of its own of a frame."""

    def predict(self, frame: pl.DataFrame) -> np.ndarray:
        return self.recalibration.scores(self.inner.predict(frame))
