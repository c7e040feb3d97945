"""Whether a classifier's scores are still the chances that they claim to be, on rows whose labels are known.

Two questions, which have different answers (Cox 1958, Two Further Applications of a Model for Binary Regression,
https://doi.org/10.1093/biomet/45.3-4.562; Van Calster et al. 2019, https://doi.org/10.1186/s12916-019-1466-7):

- in the large: the mean label less the mean score, 0 where scores are right on average;
- slope and intercept of the logistic regression of the labels on the log odds of the scores, 1 and 0 where scores are calibrated.
  A slope under 1 says that scores are too extreme, over 1 that they are not extreme enough.

Rows of a day share its luck, so the day is what is counted. The variance is clustered by day, in the jackknife's form (CV3, which
with few days keeps its size better than the usual sandwich): in the large exactly, of the regression by one Newton step from the
fit of all days, CV3L of MacKinnon, Nielsen & Webb (https://arxiv.org/abs/2406.00650). It is compared with Student's t as in
`ml/judging/paired.py`. Of many slices the p values are corrected (Holm 1979).
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np
import polars as pl

from mlops_assets.ml.dataset import DatasetError, require
from mlops_assets.ml.judging.metrics import SMALLEST_SLICE, slice_parts
from mlops_assets.ml.judging.paired import holm, two_sided
from mlops_assets.ml.monitoring.estimation import STEPS, fitted_line, log_odds
from mlops_assets.spec.columns import CLUSTER, LABEL, SCORE

Remedy = Literal["none", "shift", "platt"]
"""What would mend scores: nothing, to add one number to their log odds, or to stretch those as well (Platt 1999)."""

SINGULAR = 1e-9


@dataclass(frozen=True)
class Figure:
    """A number, its 95% interval, and the p value that it is what calibrated scores have."""

    value: float
    low: float
    high: float
    p: float


@dataclass(frozen=True)
class Calibration:
    """Scores against labels: the mean label less the mean score, slope and intercept of Cox, and the shift of the log odds that evens the means."""

    large: Figure
    slope: Figure
    intercept: Figure
    shift: float
    rows: int
    days: int

    def remedy(self, alpha: float) -> Remedy:
        """What is shown to be needed: a slope that is off asks for Platt's curve, scores that are off only on average for a shift.

        The p values of both questions are taken as they are: correct them first (`corrected`).
        """
        return remedy_of(self.large.p, self.slope.p, alpha)

    def row(self) -> dict[str, float]:
        """The figures by the names of their columns in a performance report."""
        figures = {"in_the_large": self.large, "slope": self.slope, "intercept": self.intercept}
        return {
            f"calibration_{name}{'' if part == 'value' else f'_{part}'}": number
            for name, figure in figures.items()
            for part, number in asdict(figure).items()
        }


CALIBRATION_COLUMNS = tuple(
    f"calibration_{name}{part}"
    for name in ("in_the_large", "slope", "intercept")
    for part in ("", "_low", "_high", "_p")
)
"""The columns of `Calibration.row`."""


def calibration(label: np.ndarray, score: np.ndarray, day: np.ndarray) -> Calibration | None:
    """How scores [rows] from 0 to 1 stand to labels [rows] (0 or 1) whose days [rows] are given by any codes.

    None where it is not defined: of one class, a constant score, fewer than two days, labels that a score parts without
    overlap (Albert & Anderson 1984), or where it hangs on one day alone. Raises DatasetError for unequal lengths, ScoreError for a
    score that is not finite.
    """
    if len({len(label), len(score), len(day)}) > 1:
        raise DatasetError(
            f"{len(label)} labels, {len(score)} scores and {len(day)} days are no rows: give equally many"
        )
    positive, odds = np.asarray(label, np.float64) > 0.5, log_odds(score)
    _, codes, sizes = np.unique(day, return_inverse=True, return_counts=True)
    if len(sizes) < 2 or not _overlap(odds, positive):
        return None
    target = positive.astype(np.float64)
    slope, intercept = _without_each_day(odds, target, codes, len(sizes))
    means = _means(target - np.asarray(score, np.float64), codes, sizes)
    figures = [_figure(*both, sizes) for both in ((means, 0.0), (slope, 1.0), (intercept, 0.0))]
    large, steep, level = figures
    if large is None or steep is None or level is None:
        return None
    return Calibration(large, steep, level, evening_shift(odds, target), len(label), len(sizes))


def remedy_in(report: Mapping[str, Any], alpha: float) -> Remedy | None:
    """What a report's columns (`Calibration.row`) show to be needed at the level `alpha`; None where the test is not defined."""
    large, slope = (report.get(f"calibration_{name}_p") for name in ("in_the_large", "slope"))
    if large is None or slope is None:
        return None
    large, slope = holm([large, slope])
    return remedy_of(large, slope, alpha)


def remedy_of(large: float, slope: float, alpha: float) -> Remedy:
    """By the corrected p values of both questions: a slope that is off asks for Platt's curve, an average alone for a shift."""
    if slope <= alpha:
        return "platt"
    return "shift" if large <= alpha else "none"


def corrected(parts: Sequence[Calibration]) -> list[Calibration]:
    """The same with the p values of both questions corrected for the number of all of them by Holm; intervals stay those of each alone."""
    adjusted = holm([p for one in parts for p in (one.large.p, one.slope.p)])
    return [
        replace(one, large=replace(one.large, p=large), slope=replace(one.slope, p=slope))
        for one, large, slope in zip(parts, adjusted[::2], adjusted[1::2], strict=True)
    ]


def by_slice(frame: pl.DataFrame, slices: Sequence[str], alpha: float) -> list[dict[str, Any]]:
    """Calibration by each slice column's values, for a frame with LABEL, SCORE, CLUSTER (the day) and those columns.

    A row for each: `slice`, `value`, `rows`, `days`, both figures with interval and corrected p, and in words what is shown. Slices
    under 50 rows, and those of which it is not defined, are left out.
    """
    require(frame, [LABEL, SCORE, CLUSTER, *slices], "calibration by slice")
    named = [
        ((column, value), calibration(*(rows[c].to_numpy() for c in (LABEL, SCORE, CLUSTER))))
        for column in slices
        for value, rows in slice_parts(frame, column, [LABEL, SCORE, CLUSTER])
        if rows.height >= SMALLEST_SLICE
    ]
    known = [(at, one) for at, one in named if one is not None]
    adjusted = corrected([one for _, one in known])
    return [
        {"slice": column, "value": value, **_line(one, alpha)}
        for ((column, value), _), one in zip(known, adjusted, strict=True)
    ]


def evening_shift(odds: np.ndarray, target: np.ndarray) -> float:
    """What added to all log odds [rows] makes the mean chance that of the targets [rows], by bisection: the mean rises with it."""
    low, high, mean = -80.0, 80.0, float(target.mean())
    for _ in range(2 * STEPS):
        middle = (low + high) / 2
        under = float((0.5 * (1 + np.tanh((odds + middle) / 2))).mean()) < mean
        low, high = (middle, high) if under else (low, middle)
    return (low + high) / 2


def verdict(one: Calibration, alpha: float, model: str = "MODEL") -> str:
    """What is shown of all rows of a model's scores at the level `alpha`, and what to do about it, in words."""
    (tested,) = corrected([one])
    numbers = f"mean label less mean score {_text(one.large)}, slope {_text(one.slope)}, {one.rows:,} rows of {one.days} days"
    remedy, said = tested.remedy(alpha), shown(tested, alpha)
    if remedy == "none":
        return f"calibrated as far as can be told: {numbers}; nothing to do"
    even = f"adding {one.shift:.2g} to the log odds of every score"
    if remedy == "shift":
        return f"{said}: {numbers}; the order of the rows is not touched, {even} would mend the average: `mlops recalibrate {model}`, and until then mend thresholds and sums of scores so; or retrain"
    return (
        f"{said}: {numbers}; no one number mends it, 1 / (1 + exp(-({one.slope.value:.2g} * log odds {one.intercept.value:+.2g}))) would: "
        f"`mlops recalibrate {model}` or retrain, and until then read scores as an order and not as chances"
    )


def shown(one: Calibration, alpha: float) -> str:
    """What the p values show at the level `alpha`, in words."""
    parts = []
    if one.large.p <= alpha:
        parts.append(
            f"scores are too {'low' if one.large.value > 0 else 'high'} by {abs(one.large.value):.2g} on average"
        )
    if one.slope.p <= alpha:
        parts.append(
            f"scores are {'too' if one.slope.value < 1 else 'not'} extreme{'' if one.slope.value < 1 else ' enough'}"
        )
    return " and ".join(parts) or "nothing shown"


def _line(one: Calibration, alpha: float) -> dict[str, Any]:
    large, slope = one.large, one.slope
    return {
        "rows": one.rows,
        "days": one.days,
        "label less score": large.value,
        "low": large.low,
        "high": large.high,
        "p": large.p,
        "slope": slope.value,
        "slope low": slope.low,
        "slope high": slope.high,
        "slope p": slope.p,
        "shown": shown(one, alpha),
    }


def _text(figure: Figure) -> str:
    return f"{figure.value:.3f} (95% {figure.low:.3f} to {figure.high:.3f})"


def _overlap(odds: np.ndarray, positive: np.ndarray) -> bool:
    """Whether the regression has a solution: both classes are there, and their scores lie partly in each other's range."""
    ones, zeros = odds[positive], odds[~positive]
    return bool(len(ones) and len(zeros) and ones.min() < zeros.max() and zeros.min() < ones.max())


def _without_each_day(
    odds: np.ndarray, target: np.ndarray, codes: np.ndarray, days: int
) -> tuple[np.ndarray, np.ndarray]:
    """Slope and intercept of all rows, then one Newton step away without each day: [1 + days] each, NaN where a day decides alone."""
    slope, intercept = fitted_line(odds, target)
    chance = 0.5 * (1 + np.tanh((slope * odds + intercept) / 2))
    weight, off = chance * (1 - chance), target - chance
    sums = [np.bincount(codes, v, days) for v in (off * odds, off, weight * odds**2, weight * odds, weight)]
    steep, level = sums[0], sums[1]
    squares, cross, plain = (part.sum() - part for part in sums[2:])
    determinant = squares * plain - cross**2
    clear = determinant > SINGULAR * np.maximum(squares * plain, SINGULAR)
    determinant = np.where(clear, determinant, np.nan)
    slopes = slope - (plain * steep - cross * level) / determinant
    intercepts = intercept - (squares * level - cross * steep) / determinant
    return np.concatenate([[slope], slopes]), np.concatenate([[intercept], intercepts])


def _means(values: np.ndarray, codes: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """The mean of values [rows], then without each day: [1 + days]."""
    sums = np.bincount(codes, values, len(sizes))
    return np.concatenate([[values.mean()], (sums.sum() - sums) / (len(values) - sizes)])


def _figure(jackknife: np.ndarray, null: float, sizes: np.ndarray) -> Figure | None:
    span = two_sided(jackknife, sizes, null)
    return Figure(float(jackknife[0]), *span) if span else None
