"""Pairs of models with known truth: equal ones, whose errors share each day's luck, and one that leads by a planted gain."""

from collections.abc import Callable

import numpy as np

from mlops_assets.ml.judging.anchor import anchor_criterion, shown_better
from mlops_assets.ml.judging.gate import evidence_criterion
from mlops_assets.ml.judging.paired import Effect, compare, shows
from mlops_assets.spec.gate import METRICS, Gate

Arrays = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]
SHAPES: dict[str, Callable[[np.random.Generator, int], np.ndarray]] = {
    "normal": lambda dice, days: dice.normal(size=days),
    "heavy tails": lambda dice, days: dice.standard_t(3, size=days) / 3**0.5,
    "rare good days": lambda dice, days: dice.exponential(size=days) - 1,
    "rare bad days": lambda dice, days: 1 - dice.exponential(size=days),
    "autocorrelation 0.08": lambda dice, days: _autoregressive(dice.normal(size=days), 0.08),
    "autocorrelation 0.3": lambda dice, days: _autoregressive(dice.normal(size=days), 0.3),
}
"""How much a day favours a model: mean 0 and variance 1 in the long run."""


def two_models(
    dice: np.random.Generator,
    days: int = 14,
    rows: int = 60,
    task: str = "classification",
    luck: float = 0.5,
    unlike: float = 0.4,
) -> Arrays:
    """Labels, the scores of two equal models and days [rows each]; `rows` a day on average, sizes lognormal by `unlike`.

    Each model misjudges each day as a whole by a draw of its own, of standard deviation `luck`: so they are equal in
    the long run, and on every single day they are not.
    """
    day = _days(dice, days, rows, unlike)
    signal = dice.normal(size=len(day)) + 0.7 * dice.normal(size=days)[day] - 0.5
    seen = [signal + luck * dice.normal(size=days)[day] + 0.2 * dice.normal(size=len(day)) for _ in range(2)]
    if task == "regression":
        return signal + dice.normal(size=len(day)), seen[0], seen[1], day
    y = (dice.random(len(day)) < _rate(signal)).astype(float)
    y[:2] = (0, 1)
    return y, _rate(seen[0]), _rate(seen[1]), day


def leading(
    dice: np.random.Generator, gain: float, days: int = 14, rows: int = 60, shape: str = "normal"
) -> Arrays:
    """A challenger whose mean absolute error is better by `gain` in the long run; day by day it varies by 0.3."""
    day = _days(dice, days, rows, unlike=0.0)
    lead = gain + 0.3 * SHAPES[shape](dice, days)[day] + dice.normal(size=len(day))
    return np.zeros(len(day)), 20 - lead, np.full(len(day), 20.0), day


def lead_error(days: int = 14, rows: int = 60) -> float:
    """The true standard error of what `leading` plants."""
    return float(np.sqrt((0.3**2 + 1 / rows) / days))


def false_promotions(metric: str, trials: int, alpha: float, by_row: bool = False, **sizes: float) -> int:
    """How many of so many comparisons of equal models show the first to be better; `by_row` forgets the days."""
    task = next(task for task, metrics in METRICS.items() if metric in metrics)
    dice = np.random.default_rng(2013)
    shown = 0
    for _ in range(trials):
        y, ours, theirs, day = two_models(dice, task=task, **sizes)  # type: ignore[arg-type]
        groups = np.arange(len(y)) if by_row else day
        shown += shows(compare(y, ours, theirs, groups, metric).p_above(0), alpha)
    return shown


def lived(
    dice: np.random.Generator, gate: Gate, worse: float, error: float, anchored: bool, challengers: int = 13
) -> tuple[float, int]:
    """What a year of challengers loses against the first champion, and how many of them are promoted.

    Each is truly `worse` than the champion that it meets, on the fortnight before; `error` is the standard error of a
    comparison. Every model has luck of its own on each day. `anchored` False leaves the anchor out, which is how it was.
    """
    champion = anchor = 0.0
    is_champion, promoted = True, 0
    for _ in range(challengers):
        ours, theirs, firsts = error * np.sqrt(7) * dice.normal(size=(3, 14))
        ours, theirs = champion + worse + ours, champion + theirs
        effect = _by_day(ours, theirs)
        passes = evidence_criterion(effect, gate).passes
        if anchored and not is_champion:
            passes &= anchor_criterion("", _by_day(ours, anchor + firsts), effect, gate).passes
        if passes:
            champion, promoted = champion + worse, promoted + 1
            is_champion = shown_better(effect, gate)
            anchor = champion if is_champion else anchor
    return champion, promoted


def _by_day(ours: np.ndarray, theirs: np.ndarray) -> Effect:
    """The effect on days of one row, whose absolute errors these are, but for a thousand that all share."""
    return compare(np.zeros(len(ours)), 1e3 + ours, 1e3 + theirs, np.arange(len(ours)), "mae")


def _days(dice: np.random.Generator, days: int, rows: int, unlike: float) -> np.ndarray:
    sizes = np.maximum(8, (rows * np.exp(unlike * dice.normal(size=days))).astype(int))
    return np.repeat(np.arange(days), sizes)


def _autoregressive(draws: np.ndarray, share: float) -> np.ndarray:
    values = draws.copy()
    for i in range(1, len(values)):
        values[i] = share * values[i - 1] + (1 - share**2) ** 0.5 * draws[i]
    return values


def _rate(logit: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-logit))
