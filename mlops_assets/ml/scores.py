"""The door that scores go through: finite numbers, or an error that says whose are not."""

import math
from typing import Any

import numpy as np

from mlops_assets.ml.dataset import DatasetError


class ScoreError(DatasetError):
    """A model gave something that is no finite number."""


def finite(scores: Any, model: str) -> np.ndarray:
    """The scores as float64 [rows]; raises ScoreError where one is NaN, infinite or missing."""
    numbers = np.asarray(scores, np.float64)
    wrong = np.flatnonzero(~np.isfinite(numbers))
    if len(wrong):
        raise ScoreError(
            f"{model} gives no finite number for {len(wrong)} of {len(numbers)} rows, the first is row {wrong[0]} "
            f"({numbers[wrong[0]]}): nothing is concluded from it; mend its trainer so that every row is answered, also "
            "where features are missing"
        )
    return numbers


def defined(value: float | None) -> float | None:
    """The number as a record holds it: None where it is NaN or infinite, which means that it is not defined."""
    return None if value is None or not math.isfinite(value) else float(value)


def undefined(metric: str, rows: float = 1) -> str:
    """Why a metric of finite scores has no value, in words."""
    if not rows:
        return "undefined, no labelled row"
    return "undefined, one class" if metric == "auc" else "undefined, too large for a number"


def in_words(metric: str, value: float | None) -> str:
    """A metric to four digits, or why there is none."""
    if value is None:
        return undefined(metric)
    return f"{value:.4f}" if abs(value) < 100 else f"{value:.1f}"
