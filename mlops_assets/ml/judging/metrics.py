"""How good scores are: metrics, metrics by slice, calibration.

Plain numpy, because sklearn costs more to import than a partition's evaluation takes. Undefined metrics (the AUC of
rows that are all positive) are None, which never passes a gate. Scores that are not finite are refused.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import polars as pl

from mlops_assets.ml.dataset import LABEL, DatasetError, require
from mlops_assets.ml.scores import defined, finite
from mlops_assets.ml.values import groups, kind_of, numbers
from mlops_assets.spec.columns import SCORE, SLICE
from mlops_assets.spec.gate import HIGHER_IS_BETTER, METRICS

SMALLEST_SLICE = 50
MOST_VALUES = 30


def evaluate(y: np.ndarray, score: np.ndarray, task: str) -> dict[str, float | None]:
    """The task's metrics on rows [n], plus `rows` and the label's `base_rate` (classification) or `mean`.

    A metric that is not defined is None; of no rows none is. Raises ScoreError where a score is not finite.
    """
    y, score = np.asarray(y, np.float64), finite(score, "the model")
    if len(y) != len(score):
        raise DatasetError(f"{len(y)} labels and {len(score)} scores cannot be evaluated: give equally many")
    average = "base_rate" if task == "classification" else "mean"
    if not len(y):
        return {**dict.fromkeys(METRICS[task]), "rows": 0.0, average: None}
    values = _classified(y, score) if task == "classification" else _measured(y, score)
    metrics = dict(zip(METRICS[task], map(defined, values), strict=True))
    return {**metrics, "rows": float(len(y)), average: defined(y.mean())}


def _classified(y: np.ndarray, score: np.ndarray) -> tuple[float | None, ...]:
    brier = float(np.mean((score - y) ** 2))
    return auc(y, score), log_loss(y, score), brier, calibration_error(y, score)


def _measured(y: np.ndarray, score: np.ndarray) -> tuple[float | None, ...]:
    with np.errstate(over="ignore", invalid="ignore"):
        error = score - y
        return np.abs(error).mean(), np.sqrt((error**2).mean()), error.mean()


def auc(y: np.ndarray, score: np.ndarray) -> float | None:
    """Chance that a positive row scores above a negative one, ties counting half; None where one kind is missing.

    Mann and Whitney's rank sum (1947) over mid-ranks.
    """
    positive = y > 0.5
    ones, zeros = int(positive.sum()), int((~positive).sum())
    if not ones or not zeros:
        return None
    _, inverse, counts = np.unique(score, return_inverse=True, return_counts=True)
    mid_ranks = np.cumsum(counts) - (counts - 1) / 2
    return float((mid_ranks[inverse][positive].sum() - ones * (ones + 1) / 2) / (ones * zeros))


def log_loss(y: np.ndarray, score: np.ndarray) -> float:
    """Mean negative log likelihood, in nats; scores are kept 1e-15 away from 0 and 1."""
    return float(np.mean(_log_losses(y, score)))


def row_losses(y: np.ndarray, score: np.ndarray, metric: str) -> np.ndarray:
    """What each row adds to a metric that is a mean (for rmse: to its square), [rows]; raises KeyError for any other."""
    return ROW_LOSSES[metric](y, score)


def goodness(metric: str, value: Any) -> Any:
    """A number or array that grows with quality: AUC as it is, errors negated, the bias by its distance from zero."""
    if metric in HIGHER_IS_BETTER:
        return value
    return -abs(value) if metric == "bias" else -value


def calibration_error(y: np.ndarray, score: np.ndarray, bins: int = 10) -> float:
    """Mean distance of predicted from observed rate over bins of equally many rows, weighted by rows."""
    table = reliability(y, score, bins)
    gap = np.abs(table["predicted"].to_numpy() - table["observed"].to_numpy())
    return float(np.average(gap, weights=table["rows"].to_numpy()))


def reliability(y: np.ndarray, score: np.ndarray, bins: int = 10) -> pl.DataFrame:
    """Bins of equally many rows by score: bin, rows, predicted and observed rate, and its 95% interval (Wilson 1927).

    Equal scores share a bin, so there may be fewer bins than asked.
    """
    y, score = np.asarray(y, np.float64), np.asarray(score, np.float64)
    index = score_bins(score, bins)
    rows = np.bincount(index)
    used = rows > 0
    n = rows[used]
    predicted, observed = (np.bincount(index, v, len(rows))[used] / n for v in (score, y))
    low, high = _wilson(observed, n)
    return pl.DataFrame(
        {
            "bin": np.arange(len(n)),
            "rows": n,
            "predicted": predicted,
            "observed": observed,
            "low": low,
            "high": high,
        }
    )


def score_bins(score: np.ndarray, bins: int = 10) -> np.ndarray:
    """The number of each row's bin [rows]: bins of equally many rows by score, equal scores sharing one."""
    edges = np.unique(np.quantile(score, np.linspace(0, 1, bins + 1)[1:-1]))
    return np.searchsorted(edges, score, side="right")


def by_slice(frame: pl.DataFrame, slices: Sequence[str], task: str) -> list[dict[str, Any]]:
    """Metrics by each slice column's values, for a frame with LABEL, SCORE and those columns.

    A number with over 30 values is cut at its quintiles. Slices under 50 rows are left out.
    """
    require(frame, [LABEL, SCORE, *slices], "evaluation by slice")
    out = []
    for column in slices:
        for value, rows in slice_parts(frame, column, [LABEL, SCORE]):
            if rows.height >= SMALLEST_SLICE:
                metrics = evaluate(rows[LABEL].to_numpy(), rows[SCORE].to_numpy(), task)
                out.append({"slice": column, "value": value, **metrics, "rows": rows.height})
    return out


def _log_losses(y: np.ndarray, score: np.ndarray) -> np.ndarray:
    p = np.clip(score, 1e-15, 1 - 1e-15)
    return -np.where(y > 0.5, np.log(p), np.log1p(-p))


ROW_LOSSES = {
    "log_loss": _log_losses,
    "brier": lambda y, score: (score - y) ** 2,
    "mae": lambda y, score: np.abs(score - y),
    "rmse": lambda y, score: (score - y) ** 2,
    "bias": lambda y, score: score - y,
}


def slice_parts(frame: pl.DataFrame, column: str, columns: Sequence[str]) -> list[tuple[str, pl.DataFrame]]:
    """The values of a slice column in order, each with its rows of the columns `columns`; a number may be cut into fifths.

    Values are told by their canonical text (`ml/values.py`); rows without one come last, as "(none)".
    """
    names, codes = _slices(frame[column])
    keyed = frame.select(*columns, codes.alias(SLICE))
    ordered = keyed.sort(SLICE, nulls_last=True, maintain_order=True)
    parts = ordered.partition_by(SLICE, as_dict=True, include_key=False, maintain_order=True)
    return [(_missing(names) if code is None else names[code], part) for (code,), part in parts.items()]


def _slices(column: pl.Series) -> tuple[list[str], pl.Series]:
    """Names of the slices in order, and each row's place among them, null for none."""
    names, codes = groups(column)
    if kind_of(column.dtype) != "number" or len(names) + bool(codes.null_count()) <= MOST_VALUES:
        return names, codes
    values = numbers(column)
    edges = np.unique(np.quantile(values.filter(values.is_finite()).to_numpy(), (0.2, 0.4, 0.6, 0.8)))
    places = pl.Series(np.searchsorted(edges, values.fill_null(0).to_numpy(), side="right"), dtype=pl.Int64)
    return _bin_names(edges), places.set(values.is_null(), None)


def _missing(names: Sequence[str]) -> str:
    """What rows without a value are called: "(none)", unless a value is called that."""
    return "(none)" if "(none)" not in names else "(null)"


def _bin_names(edges: np.ndarray) -> list[str]:
    inner = [f"{low:.6g} to {high:.6g}" for low, high in pairwise(edges)]
    return [f"below {edges[0]:.6g}", *inner, f"from {edges[-1]:.6g}"]


def _wilson(rate: np.ndarray, n: np.ndarray, z: float = 1.96) -> tuple[np.ndarray, np.ndarray]:
    centre = (rate + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * np.sqrt(rate * (1 - rate) / n + z * z / (4 * n * n))
    return np.clip(centre - half, 0, 1), np.clip(centre + half, 0, 1)
