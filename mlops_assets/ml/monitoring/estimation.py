"""How good a classifier's scores will turn out to be, estimated before a single label is known.

Confidence-based performance estimation: where scores are calibrated, each row's score says how likely either label is,
and so what it will add to a metric (J. Białek, W. Kuberski, N. Perrakis, Estimating Model Performance Under Covariate
Shift Without Labels, 2024, https://arxiv.org/abs/2401.08348). Scores are calibrated by Platt's logistic curve (1999) with
the targets of Lin, Lin & Weng (2007, https://doi.org/10.1007/s10994-007-5018-6), on rows whose labels were known by then.

It sees other rows, and not another world: where the same row now has another chance of the label, calibration is off and the
estimate with it. How far it was off before is therefore part of it. The calibration error is not estimated: of calibrated
scores it would be none.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mlops_assets.ml.dataset import DatasetError
from mlops_assets.ml.scores import finite

ESTIMATED = ("auc", "log_loss", "brier")
LEAST_ROWS = 200
"""Labelled rows, at least a tenth of them of either kind, without which a curve is not fitted."""
LEAST_HISTORY = 4
"""Past partitions of which estimate and truth are known, under which nothing is said of the method's error."""
FAILS = 2.0
"""The method fails where its past error is more than so many times what the luck of the labels makes."""
DRAWS, CLIP, STEPS, NORMAL = 40, 1e-15, 50, 1.959964


@dataclass(frozen=True)
class Curve:
    """The chance of a positive label by the log odds of a score: `1 / (1 + exp(-(slope * odds + shift)))`; as it is by default."""

    slope: float = 1.0
    shift: float = 0.0
    rows: int = 0

    def chances(self, score: np.ndarray) -> np.ndarray:
        """The calibrated chances [rows] of scores [rows] from 0 to 1."""
        return 0.5 * (1 + np.tanh((self.slope * log_odds(score) + self.shift) / 2))


@dataclass(frozen=True)
class Estimate:
    """One metric: what is expected of it, and the standard deviation that the luck of the labels gives it; None if undefined."""

    value: float | None
    luck: float | None


@dataclass(frozen=True)
class PastError:
    """How far estimates were from the truth: root mean square, mean (above zero: estimated too high), and luck's part, over partitions."""

    partitions: int
    error: float
    bias: float
    luck: float

    @property
    def fails(self) -> bool:
        """Whether the method is off by more than the luck of the labels explains."""
        return self.partitions >= LEAST_HISTORY and self.error > FAILS * self.luck


def log_odds(score: np.ndarray) -> np.ndarray:
    """Log odds of scores [rows], kept 1e-15 away from 0 and 1."""
    kept_in = np.clip(finite(score, "the model"), CLIP, 1 - CLIP)
    return np.log(kept_in) - np.log1p(-kept_in)


def fitted_curve(label: np.ndarray, score: np.ndarray) -> Curve | None:
    """Platt's curve of labels [rows] (0 or 1) and scores [rows]; None of under LEAST_ROWS rows, or where one kind hardly occurs."""
    positive = np.asarray(label) > 0.5
    ones, zeros = int(positive.sum()), int((~positive).sum())
    if len(score) != len(label):
        raise DatasetError(f"{len(label)} labels and {len(score)} scores are no rows: give equally many")
    if ones + zeros < LEAST_ROWS or min(ones, zeros) < LEAST_ROWS / 10:
        return None
    odds, target = log_odds(score), np.where(positive, (ones + 1) / (ones + 2), 1 / (zeros + 2))
    values = fitted_line(odds, target)
    return Curve(float(values[0]), float(values[1]), ones + zeros)


def fitted_line(odds: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Slope and shift [2] of the logistic regression of targets [rows] (0 to 1) on log odds [rows], by Newton's method with halved steps."""
    design, values = np.column_stack([odds, np.ones(len(odds))]), np.array([1.0, 0.0])
    for _ in range(STEPS):
        chance = 0.5 * (1 + np.tanh(design @ values / 2))
        weight = np.maximum(chance * (1 - chance), 1e-12)
        slopes, bend = design.T @ (target - chance), design.T @ (design * weight[:, None])
        step = np.linalg.lstsq(bend, slopes, rcond=None)[0]
        while (
            _misfit(design, values + step, target) > _misfit(design, values, target)
            and np.abs(step).max() > 1e-9
        ):
            step = step / 2
        values = values + step
        if np.abs(step).max() < 1e-8:
            break
    return values


def _misfit(design: np.ndarray, values: np.ndarray, target: np.ndarray) -> float:
    """The mean log loss of a curve against its targets."""
    odds = design @ values
    return float((np.logaddexp(0.0, odds) - target * odds).mean())


def estimates(score: np.ndarray, curve: Curve, seed: int = 0) -> dict[str, Estimate]:
    """What is expected of each metric of scores [rows] whose labels are not known, by the chances that a curve gives them."""
    score, chance = finite(score, "the model"), curve.chances(score)
    if not len(score):
        return {name: Estimate(None, None) for name in ESTIMATED}
    kept_in, spread = np.clip(score, CLIP, 1 - CLIP), chance * (1 - chance)
    loss = -(chance * np.log(kept_in) + (1 - chance) * np.log1p(-kept_in))
    square = chance * (1 - score) ** 2 + (1 - chance) * score**2
    by_luck = {"log_loss": log_odds(score), "brier": 1 - 2 * score}
    luck = {name: float(np.sqrt((spread * part**2).sum()) / len(score)) for name, part in by_luck.items()}
    return {
        "auc": _auc(score, chance, seed),
        "log_loss": Estimate(float(loss.mean()), luck["log_loss"]),
        "brier": Estimate(float(square.mean()), luck["brier"]),
    }


def past_error(estimated: Sequence[Estimate], measured: Sequence[float | None]) -> PastError | None:
    """How far past estimates of a metric were from what was measured; None where no pair is known."""
    pairs = [
        (one.value - truth, one.luck)
        for one, truth in zip(estimated, measured, strict=True)
        if one.value is not None and one.luck is not None and truth is not None
    ]
    if not pairs:
        return None
    errors, luck = (np.array(each) for each in zip(*pairs, strict=True))
    return PastError(
        len(pairs), float(np.sqrt((errors**2).mean())), float(errors.mean()), float(np.sqrt((luck**2).mean()))
    )


def interval(one: Estimate, past: PastError | None) -> tuple[float, float] | None:
    """Where the metric will lie in 95 of 100 cases, by the luck of the labels or the past error, whichever is larger."""
    if one.value is None or one.luck is None:
        return None
    wide = past.error if past and past.partitions >= LEAST_HISTORY else 0.0
    half = NORMAL * max(one.luck, wide)
    return one.value - half, one.value + half


def verdict(past: Mapping[str, PastError | None]) -> str:
    """Whether to believe the estimates, by their past errors, in words."""
    known = {name: one for name, one in past.items() if one and one.partitions >= LEAST_HISTORY}
    if not known:
        partitions = max((one.partitions for one in past.values() if one), default=0)
        return f"its error is not known yet: {partitions} of {LEAST_HISTORY} partitions with an estimate have their labels"
    wrong = [
        f"{name} was off by {one.error:.4f} over {one.partitions} partitions, {one.error / max(one.luck, 1e-12):.1f} times the luck of the labels"
        for name, one in known.items()
        if one.fails
    ]
    if wrong:
        return f"the method fails: {'; '.join(wrong)} (limit {FAILS:g})"
    parts = ", ".join(f"{name} {one.error:.4f}" for name, one in known.items())
    return f"past error: {parts}, within {FAILS:g} times the luck of the labels"


def _auc(score: np.ndarray, chance: np.ndarray, seed: int) -> Estimate:
    """The expected share of pairs in order, and its deviation over drawn labels; undefined where one kind is not expected at all."""
    _, place = np.unique(score, return_inverse=True)
    whole = _in_order(place, chance, 1 - chance, chance * (1 - chance))
    random = np.random.default_rng(seed)
    drawn = [(random.random(len(chance)) < chance).astype(np.float64) for _ in range(DRAWS)]
    shares = [_in_order(place, label, 1 - label, np.zeros(len(label))) for label in drawn]
    known = [share for share in shares if share is not None]
    return Estimate(whole, float(np.std(known, ddof=1)) if len(known) > 1 else None)


def _in_order(place: np.ndarray, ones: np.ndarray, zeros: np.ndarray, itself: np.ndarray) -> float | None:
    """The share of weighted pairs of a one and a zero whose scores' places are in order, ties counting half, no row with itself."""
    positive, negative = (np.bincount(place, weights) for weights in (ones, zeros))
    pairs = float(ones.sum() * zeros.sum() - itself.sum())
    below = np.cumsum(negative) - negative
    return (
        float((positive * (below + negative / 2)).sum() - itself.sum() / 2) / pairs if pairs > 1e-9 else None
    )
