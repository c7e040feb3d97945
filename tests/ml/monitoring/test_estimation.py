"""Estimates without labels meet the truth where scores are calibrated, and the method is said to fail where they are not."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops_assets.ml.judging.metrics import evaluate
from mlops_assets.ml.monitoring.estimation import (
    ESTIMATED,
    LEAST_HISTORY,
    Curve,
    Estimate,
    estimates,
    fitted_curve,
    interval,
    past_error,
    verdict,
)

SEEDS = st.integers(0, 2**32 - 1)
ROWS = 1500


def drawn(seed: int, rows: int = ROWS, curve: Curve | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Scores, rounded so that some are equal, and labels whose chances are those of a curve."""
    random = np.random.default_rng(seed)
    score = np.round(random.beta(*random.uniform(0.5, 3, 2), rows), 3)
    return score, (random.random(rows) < (curve or Curve()).chances(score)).astype(np.float64)


@settings(max_examples=40)
@given(SEEDS)
def test_of_calibrated_scores_the_truth_is_where_the_luck_of_the_labels_puts_it(seed):
    score, label = drawn(seed)
    truth = evaluate(label, score, "classification")
    for metric, one in estimates(score, Curve()).items():
        assert one.value is not None and one.luck is not None and truth[metric] is not None
        assert abs(one.value - truth[metric]) <= 5.5 * one.luck + 1e-9, metric


@settings(max_examples=20)
@given(SEEDS, st.floats(0.4, 2.0), st.floats(-1.0, 1.0))
def test_a_curve_finds_how_scores_were_bent_and_estimates_by_it_meet_the_truth(seed, slope, shift):
    bent = Curve(slope, shift)
    score, label = drawn(seed, 6000, bent)
    found = fitted_curve(label, score)
    assert found is not None and found.rows == 6000
    assert np.abs(found.chances(score) - bent.chances(score)).mean() < 0.04
    score, label = drawn(seed + 1, curve=bent)
    truth, told = evaluate(label, score, "classification"), estimates(score, found)
    assert told["brier"].value == pytest.approx(truth["brier"], abs=6 * told["brier"].luck + 0.02)  # type: ignore[operator]


@settings(max_examples=40)
@given(st.lists(st.integers(0, 6).map(lambda k: (k + 0.5) / 7), min_size=2, max_size=9))
def test_the_expected_auc_is_that_of_all_labels_weighted_by_their_chance(score):
    score = np.array(score)
    chance, pairs, ordered = Curve().chances(score), 0.0, 0.0
    for i, one in enumerate(score):
        for j, other in enumerate(score):
            if i != j:
                weight = chance[i] * (1 - chance[j])
                pairs += weight
                ordered += weight * ((one > other) + 0.5 * (one == other))
    assert estimates(score, Curve())["auc"].value == pytest.approx(ordered / pairs)


@pytest.mark.parametrize(("ones", "rows"), [(100, 150), (5, 1000), (0, 500)])
def test_of_too_few_rows_or_hardly_any_of_a_kind_there_is_no_curve(ones, rows):
    label = np.arange(rows) < ones
    assert fitted_curve(label, np.linspace(0.01, 0.99, rows)) is None


def test_labels_that_a_score_tells_apart_perfectly_still_give_a_curve():
    score = np.repeat([0.2, 0.8], 300)
    found = fitted_curve(score > 0.5, score)
    assert found is not None and np.isfinite([found.slope, found.shift]).all()
    assert 0 <= found.chances(np.array([0.0, 1.0]))[0] < 0.01


def test_where_the_world_changes_the_method_is_said_to_fail_with_its_error():
    told, truths = [], []
    for seed in range(LEAST_HISTORY):
        score, label = drawn(seed, curve=Curve(1.0, 1.5))
        told.append(estimates(score, Curve())["log_loss"])
        truths.append(evaluate(label, score, "classification")["log_loss"])
    past = past_error(told, truths)
    assert past is not None and past.fails
    assert verdict({"log_loss": past}).startswith("the method fails: log_loss was off by ")
    low, high = interval(told[0], past)  # type: ignore[misc]
    assert high - low == pytest.approx(2 * 1.959964 * past.error)


def test_where_nothing_changes_the_past_error_is_told_and_the_method_stands():
    pairs = [(drawn(seed), seed) for seed in range(6)]
    told = {m: [estimates(score, Curve())[m] for (score, _), _ in pairs] for m in ESTIMATED}
    truth = [evaluate(label, score, "classification") for (score, label), _ in pairs]
    past = {m: past_error(told[m], [one[m] for one in truth]) for m in ESTIMATED}
    assert verdict(past).startswith("past error: auc ")


def test_of_too_short_a_history_nothing_is_said_of_the_error():
    past = past_error([Estimate(0.4, 0.01)], [0.9])
    assert past is not None and not past.fails
    assert (
        verdict({"auc": past})
        == "its error is not known yet: 1 of 4 partitions with an estimate have their labels"
    )
    assert past_error([Estimate(None, None)], [0.5]) is None


def test_of_no_row_nothing_is_estimated():
    assert set(estimates(np.array([]), Curve()).values()) == {Estimate(None, None)}
