"""How well each feature alone tells the label: one that does so nearly perfectly was hardly known at the prediction.

As H2O's Driverless AI detects leakage: a simple model on each feature, judged by AUC or R2
(docs.h2o.ai/driverless-ai/1-10-lts/docs/userguide/leakage-shift-detection.html). The simple model is here the label's
mean by value, taken on other rows (five folds), which finds a leak of any shape; beside it counts the bare order.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from mlops_assets.ml.dataset import DatasetError, require
from mlops_assets.ml.judging.metrics import auc
from mlops_assets.ml.scores import defined
from mlops_assets.ml.training.shards import Files
from mlops_assets.spec.columns import LABEL
from mlops_assets.spec.model import ModelSpec

MOST_ROWS = 20_000
FOLDS = 5
BINS = 64
"""Values of a number; of one that has more, bins of equally many rows."""
FEWEST = 20
"""Rows of the rarer class (regression: rows), below which nothing is said: a few rows are told apart by chance."""
MISSING = 0


class LeakError(DatasetError):
    """A feature alone tells the label nearly perfectly, and nobody said that this is right."""


@dataclass(frozen=True)
class SingleFeature:
    """What one feature alone tells: the AUC, or the correlation with the label's ranks; from 0.5 or 0 up to 1."""

    feature: str
    figure: float
    where: str = "all rows"


def strongest(rows: pl.DataFrame | Files, spec: ModelSpec, features: Sequence[str]) -> list[SingleFeature]:
    """The features of labelled rows by how much each alone tells, the most telling first; undefined ones are left out.

    Of many rows an even sample is taken, so that the same rows give the same figures.
    """
    frame = rows if isinstance(rows, pl.DataFrame) else rows.sample(spec, features, MOST_ROWS)
    require(frame, [*features, LABEL], "the check for leaks")
    frame = frame.gather_every(max(1, -(-frame.height // MOST_ROWS)))
    label = frame[LABEL].to_numpy().astype(np.float64)
    categories = set(spec.trainer.categories)
    strengths = [_tell(frame[name], label, spec.task, name in categories) for name in features]
    return sorted((one for one in strengths if one is not None), key=lambda one: (-one.figure, one.feature))


def refuse_leaks(tells: Sequence[SingleFeature], spec: ModelSpec) -> None:
    """Raise LeakError for features over `leaks.above` that `leaks.allowed` does not name, with their figures."""
    rule, allowed = spec.leaks, set(spec.leaks.allowed)
    leaking = [one for one in tells if one.figure > rule.above and one.feature not in allowed]
    if leaking:
        names = ", ".join(f"{one.feature} ({_figure(one, spec.task)})" for one in leaking)
        raise LeakError(
            f"{spec.name}: what a single feature tells of the label is over leaks.above={rule.above:g}: {names}. Such a "
            "feature was hardly known at the prediction: take it out of the feature service, or, if it was known, say so "
            f"with leaks: {{allowed: [{', '.join(one.feature for one in leaking)}]}}"
        )


def _figure(one: SingleFeature, task: str) -> str:
    kind = "AUC" if task == "classification" else "correlation of ranks"
    return f"{kind} {one.figure:.4f} on {one.where}"


def _tell(values: pl.Series, label: np.ndarray, task: str, category: bool) -> SingleFeature | None:
    """On all rows, with what is missing as a value of its own, or where the feature is known, whichever tells more."""
    order, codes = _order_and_codes(values, category)
    known = codes != MISSING
    places = {"all rows": slice(None)} | ({} if known.all() else {"the rows that have it": known})
    strengths: list[SingleFeature] = []
    for where, rows in places.items():
        figure = _on(codes[rows], None if order is None else order[rows], label[rows], task)
        strengths += [] if figure is None else [SingleFeature(values.name, figure, where)]
    return max(strengths, key=lambda one: one.figure, default=None)


def _on(codes: np.ndarray, order: np.ndarray | None, label: np.ndarray, task: str) -> float | None:
    if task == "classification":
        target, score = label, auc
        enough = min(label.sum(), len(label) - label.sum()) >= FEWEST
    else:
        target, score = _ranks(label), _correlation
        enough = len(label) >= FEWEST and target.std() > 0
    if not enough:
        return None
    figures: list[float | None] = [score(target, _mean_elsewhere(codes, target))]
    figures += [] if order is None else _both_ways(order, target, score, task)
    return max((figure for figure in map(defined, figures) if figure is not None), default=None)


def _both_ways(
    order: np.ndarray, target: np.ndarray, score: Callable[[np.ndarray, np.ndarray], float | None], task: str
) -> list[float | None]:
    """The bare order, rising or falling, what is missing first or last."""
    figures: list[float | None] = []
    for end in (-1.0, 1.0) if np.isnan(order).any() else (1.0,):
        ranked = np.where(np.isnan(order), end * np.inf, order)
        figure = score(target, ranked if task == "classification" else _ranks(ranked))
        if figure is not None:
            figures += [figure, 1 - figure if task == "classification" else -figure]
    return figures


def _order_and_codes(values: pl.Series, category: bool) -> tuple[np.ndarray | None, np.ndarray]:
    """A number's values (NaN where missing; None for a category), and each row's value or bin, 0 where missing."""
    if category or not (values.dtype.is_numeric() or values.dtype == pl.Boolean):
        codes = values.cast(pl.String).rank("dense").fill_null(MISSING).cast(pl.Int64).to_numpy()
        return None, codes
    order = values.cast(pl.Float64).fill_null(np.nan).to_numpy()
    known = np.sort(order[~np.isnan(order)])
    edges = np.unique(known)
    if len(edges) > BINS:
        edges = np.unique(known[(np.arange(1, BINS) * len(known)) // BINS])
    return order, np.where(np.isnan(order), MISSING, np.searchsorted(edges, order, side="right") + 1)


def _mean_elsewhere(codes: np.ndarray, target: np.ndarray) -> np.ndarray:
    """For each row the mean target of the rows of its value in the other folds, drawn a little to the mean of all."""
    fold = np.random.default_rng(0).permutation(len(codes)) % FOLDS
    size, cell = int(codes.max()) + 1, codes * FOLDS + fold
    rows = np.bincount(cell, minlength=size * FOLDS).reshape(size, FOLDS)
    sums = np.bincount(cell, target, minlength=size * FOLDS).reshape(size, FOLDS)
    others = rows.sum(axis=1, keepdims=True) - rows
    mean = (sums.sum(axis=1, keepdims=True) - sums + target.mean()) / (others + 1)
    return mean[codes, fold]


def _ranks(values: np.ndarray) -> np.ndarray:
    """Mid-ranks, as Spearman's correlation takes them."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2)[inverse]


def _correlation(first: np.ndarray, second: np.ndarray) -> float:
    a, b = first - first.mean(), second - second.mean()
    size = float(np.sqrt((a * a).sum() * (b * b).sum()))
    return float((a * b).sum() / size) if size else float("nan")
