"""Pairs of equal models: their errors share each day's luck, and neither is better than the other."""

import numpy as np
from scipy import stats

from mlops_assets.ml.paired import compare
from mlops_assets.spec_gate import METRICS


def two_models(
    dice: np.random.Generator, days: int = 14, rows: int = 60, task: str = "classification", luck: float = 0.5
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Labels, the scores of two equal models and days of unlike sizes, [rows] each.

    Each model misjudges each day as a whole by a draw of its own, of standard deviation `luck`: so they are equal in
    the long run, and on every single day they are not.
    """
    sizes = np.maximum(8, (rows * np.exp(0.4 * dice.normal(size=days))).astype(int))
    day = np.repeat(np.arange(days), sizes)
    signal = dice.normal(size=len(day)) + 0.7 * dice.normal(size=days)[day] - 0.5
    seen = [signal + luck * dice.normal(size=days)[day] + 0.2 * dice.normal(size=len(day)) for _ in range(2)]
    if task == "regression":
        return (signal + dice.normal(size=len(day)), *seen, day)
    y = (dice.random(len(day)) < _rate(signal)).astype(float)
    y[:2] = (0, 1)
    return (y, _rate(seen[0]), _rate(seen[1]), day)


def false_promotions(metric: str, trials: int, alpha: float, rows: int = 60, by_row: bool = False) -> int:
    """How many of so many comparisons of equal models show the first to be better; `by_row` forgets the days."""
    task = next(task for task, metrics in METRICS.items() if metric in metrics)
    dice = np.random.default_rng(2013)
    shown = 0
    for _ in range(trials):
        y, ours, theirs, day = two_models(dice, rows=rows, task=task)
        groups = np.arange(len(y)) if by_row else day
        shown += compare(y, ours, theirs, groups, metric).p_above(0) <= alpha
    return shown


def between(count: int, trials: int, rate: float) -> bool:
    """Whether a count is what a rate gives in all but one of a thousand such experiments."""
    low, high = stats.binom.ppf((0.0005, 0.9995), trials, rate)
    return bool(low <= count <= high)


def _rate(logit: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-logit))
