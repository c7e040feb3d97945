"""Scores that are off get two numbers that mend them, and keep their order; where nothing is shown or known, none are made."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops_assets.ml.dataset import DatasetError
from mlops_assets.ml.judging.metrics import auc
from mlops_assets.ml.monitoring.estimation import log_odds
from mlops_assets.ml.monitoring.recalibration import (
    CurveError,
    in_words,
    needed_curve,
    recalibration,
)
from mlops_assets.ml.training.recalibrated import FIRST_LINE, Recalibration, parts, wrapped

ALPHA = 0.05
NUMBERS = {"slope": st.floats(0.2, 5), "intercept": st.floats(-5, 5)}


def rows_of(seed: int, rows: int = 4000, days: int = 20, slope: float = 1.0, shift: float = 0.0):
    """Labels, scores and days: the log odds of a label are `slope` times the score's and `shift`."""
    draw = np.random.default_rng(seed)
    odds = draw.normal(-0.5, 1.2, rows)
    chance = 1 / (1 + np.exp(-(slope * odds + shift)))
    return (draw.random(rows) < chance).astype(np.float64), 1 / (1 + np.exp(-odds)), np.arange(rows) % days


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.floats(-1.5, 1.5))
def test_a_planted_shift_is_found_within_four_of_its_standard_errors(seed, shift):
    label, score, day = rows_of(seed, shift=shift)
    one = recalibration(label, score, day, "shift")
    mended = one.scores(score)
    deviation = 1 / np.sqrt((mended * (1 - mended)).sum())
    assert one.slope == 1 and abs(one.intercept - shift) < 4 * deviation
    assert mended.mean() == pytest.approx(label.mean(), abs=1e-9)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10**6), st.floats(0.4, 2.5), st.floats(-1, 1))
def test_platts_curve_is_the_regression_that_another_library_fits(seed, slope, shift):
    from sklearn.linear_model import LogisticRegression

    label, score, day = rows_of(seed, slope=slope, shift=shift)
    one = recalibration(label, score, day, "platt")
    theirs = LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000).fit(log_odds(score)[:, None], label)
    assert (one.slope, one.intercept) == pytest.approx((theirs.coef_[0, 0], theirs.intercept_[0]), abs=1e-4)
    assert one.slope == pytest.approx(slope, abs=0.35)


@settings(max_examples=60, deadline=None)
@given(st.builds(Recalibration, **NUMBERS), st.lists(st.floats(0.001, 0.999), min_size=2, max_size=40))
def test_the_order_of_scores_stays_and_so_does_their_auc(one, scores):
    score = np.unique(np.round(scores, 6))
    mended = one.scores(score)
    assert (np.diff(mended) > 0).all() and (mended > 0).all() and (mended < 1).all()
    label = (np.arange(len(score)) % 2).astype(np.float64)
    assert len(score) < 2 or auc(label, mended) == auc(label, score)


@settings(max_examples=40, deadline=None)
@given(st.builds(Recalibration, **NUMBERS), st.builds(Recalibration, **NUMBERS))
def test_two_in_a_row_are_one(first, second):
    score = np.linspace(0.05, 0.95, 7)
    assert second.after(first).scores(score) == pytest.approx(second.scores(first.scores(score)), abs=1e-9)
    inner, both = parts(wrapped(wrapped(b"tree\nxyz", first), second))
    assert inner == b"tree\nxyz" and both == second.after(first)


def test_the_same_rows_give_the_same_numbers_and_one_row_the_score_it_has_among_many():
    label, score, day = rows_of(5, slope=0.6, shift=0.3)
    one = recalibration(label, score, day, "platt")
    assert one == recalibration(label, score, day, "platt")
    assert (
        np.concatenate([one.scores(score[i : i + 1]) for i in range(200)]).tobytes()
        == one.scores(score[:200]).tobytes()
    )
    assert Recalibration().scores(score) is score


def test_what_is_needed_is_what_the_clustered_test_shows():
    assert needed_curve(*rows_of(1, shift=0.5), ALPHA) == "shift"
    assert needed_curve(*rows_of(1, slope=0.5), ALPHA) == "platt"
    with pytest.raises(CurveError, match="there is nothing to recalibrate"):
        needed_curve(*rows_of(3), ALPHA)


def test_calibrated_scores_stay_what_they_are_within_the_luck_of_their_labels():
    label, score, day = rows_of(8, rows=20000)
    assert np.abs(recalibration(label, score, day, "shift").scores(score) - score).max() < 0.02


@pytest.mark.parametrize(
    ("label", "score", "day", "said"),
    [
        (np.ones(900), np.linspace(0.1, 0.9, 900), np.arange(900) % 9, "900 of them positive"),
        (np.arange(100) % 2, np.linspace(0.1, 0.9, 100), np.arange(100) % 9, "100 labelled rows"),
        (np.arange(900) % 2, np.linspace(0.1, 0.9, 900), np.arange(900) % 3, "of 3 days"),
        (np.arange(900) >= 450, np.linspace(0.1, 0.9, 900), np.arange(900) % 9, "without overlap"),
    ],
)
def test_too_few_rows_or_days_one_class_and_labels_without_overlap_are_refused(label, score, day, said):
    with pytest.raises(CurveError, match=said):
        recalibration(label, score, day, "shift")


def test_scores_that_order_the_rows_the_wrong_way_are_refused():
    label, score, day = rows_of(2, slope=-1.0)
    with pytest.raises(CurveError, match="no curve mends an order"):
        recalibration(label, score, day, "platt")


def test_a_damaged_recalibration_and_one_that_turns_the_order_are_refused():
    for line in (
        b"{",
        b"[1]",
        b'{"slope": 1}x',
        b'{"slope": NaN}',
        b'{"slope": -1.0}',
        b'{"code": "os:system"}',
    ):
        with pytest.raises(DatasetError):
            parts(FIRST_LINE + line + b"\ntree\n")


def test_it_is_told_in_words():
    assert in_words(Recalibration(1.0, 0.25)) == "+0.25 on the log odds of every score"
    assert in_words(Recalibration(0.5, -0.25)).startswith("log odds times 0.5, then -0.25")
