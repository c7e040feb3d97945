"""A recalibration fitted on scores whose labels are known: the likeliest numbers, found without any chance.

A shift is one number that is added to all log odds: the likeliest one makes the mean chance that of the labels, so it is the
regression of Cox (1958) with a slope of 1. Platt's curve (1999) is that regression with a slope of its own. Which of them it takes
is shown by the test of `ml/monitoring/calibration.py`, whose variance is clustered by day.
"""

from typing import Literal

import numpy as np

from mlops_assets.ml.dataset import DatasetError
from mlops_assets.ml.monitoring.calibration import Calibration, calibration, corrected, evening_shift
from mlops_assets.ml.monitoring.estimation import fitted_line, log_odds
from mlops_assets.ml.training.recalibrated import Recalibration

Curve = Literal["shift", "platt"]

LEAST_ROWS = 200
"""Labelled rows without which nothing is fitted, a tenth of them of either kind."""

LEAST_DAYS = 5
"""Rows of a day share its luck: of fewer days, nobody can tell it from a change."""


class CurveError(DatasetError):
    """No recalibration is made of these scores, and why."""


def needed_curve(label: np.ndarray, score: np.ndarray, day: np.ndarray, alpha: float) -> Curve:
    """What the labels [rows] show scores [rows] to need, at the level `alpha` corrected for both questions; `day` [rows] are codes.

    Raises CurveError where nothing is shown, or too little is known.
    """
    (one,) = corrected([_tested(label, score, day)])
    remedy = one.remedy(alpha)
    if remedy == "none":
        raise CurveError(
            f"the scores are calibrated as far as {one.rows:,} rows of {one.days} days can tell (mean label less mean score "
            f"{one.large.value:.3g}, p {one.large.p:.2g}; slope {one.slope.value:.3g}, p {one.slope.p:.2g}; level {alpha:g}): there is "
            "nothing to recalibrate"
        )
    return remedy


def recalibration(label: np.ndarray, score: np.ndarray, day: np.ndarray, curve: Curve) -> Recalibration:
    """The likeliest recalibration of scores [rows] from 0 to 1 by labels [rows] (0 or 1); the same rows give the same numbers.

    Raises CurveError for too few rows or days, one class, or scores that order the rows the wrong way.
    """
    _tested(label, score, day)
    odds, target = log_odds(score), (np.asarray(label) > 0.5).astype(np.float64)
    if curve == "shift":
        return Recalibration(1.0, evening_shift(odds, target))
    slope, intercept = (float(one) for one in fitted_line(odds, target))
    if slope <= 0:
        raise CurveError(
            f"the likeliest slope is {slope:.3g}: rows with higher scores have the label less often, and no curve mends an order. "
            "Train again"
        )
    return Recalibration(slope, intercept)


def in_words(one: Recalibration) -> str:
    """What is done to the scores, in a few words."""
    shift = f"{one.intercept:+.3g} on the log odds of every score"
    return shift if one.slope == 1 else f"log odds times {one.slope:.3g}, then {shift}"


def _tested(label: np.ndarray, score: np.ndarray, day: np.ndarray) -> Calibration:
    """The test of the scores, where there is enough to test and to fit."""
    rows, ones, days = len(label), int((np.asarray(label) > 0.5).sum()), len(np.unique(day))
    least = min(ones, rows - ones)
    if rows < LEAST_ROWS or days < LEAST_DAYS or least < LEAST_ROWS // 10:
        raise CurveError(
            f"{rows:,} labelled rows of {days} days, {ones:,} of them positive, are too few to recalibrate by: it takes {LEAST_ROWS} rows "
            f"of {LEAST_DAYS} days, at least {LEAST_ROWS // 10} of either kind; wait for more labels"
        )
    one = calibration(label, score, day)
    if one is None:
        raise CurveError(
            "the scores part the labels without overlap, or hang on one day alone, so that no curve has a slope: nothing to recalibrate by"
        )
    return one
