"""The paired test counts days, not rows; it errs as often as it says, and finds what it says it would find."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from benchmarks.simulated import false_promotions, lead_error, leading, two_models
from mlops_assets.ml.dataset import DatasetError
from mlops_assets.ml.judging.paired import Effect, compare, estimate, gain_by_cluster, holm, whole
from mlops_assets.spec.gate import METRICS
from tests.ml.conftest import MANY, between

TASK_OF = {metric: task for task, metrics in METRICS.items() for metric in metrics}
METRIC = st.sampled_from(sorted(TASK_OF))


def drawn(metric: str, seed: int) -> tuple[np.ndarray, ...]:
    """Labels, two models' scores and seven days of unlike sizes."""
    return two_models(np.random.default_rng(seed), days=7, rows=40, task=TASK_OF[metric])


def test_gain_error_and_freedom_are_those_worked_out_by_hand():
    day = np.array([0, 0, 1, 2, 2, 2])
    champion, challenger = np.array([3.0, 5, 4, 6, 2, 1]), np.array([1.0, 4, 4, 3, 3, 0])
    effect = compare(np.zeros(6), challenger, champion, day, "mae")
    assert effect.gain == pytest.approx(1)
    assert effect.error**2 == pytest.approx(2 / 3 * (0.25**2 + 0.2**2 + 0))
    assert effect.freedom == pytest.approx(36 / 14 - 1)
    assert (effect.clusters, effect.rows) == (3, 6)
    assert gain_by_cluster(np.zeros(6), challenger, champion, day, "mae") == [(2, 1.5), (1, 0), (3, 1)]


def test_days_of_equal_size_are_tested_as_their_means_would_be():
    dice = np.random.default_rng(0)
    ours, theirs, day = dice.random(300), dice.random(300), np.repeat(np.arange(10), 30)
    effect = compare(np.zeros(300), ours, theirs, day, "mae")
    means = (theirs - ours).reshape(10, 30).mean(axis=1)
    expected = stats.ttest_1samp(means, 0.0, alternative="greater")
    assert effect.p_above(0) == pytest.approx(expected.pvalue)
    assert effect.interval(0.05) == pytest.approx(stats.ttest_1samp(means, 0).confidence_interval(0.9))


def test_the_auc_of_single_rows_has_the_error_of_delong():
    dice = np.random.default_rng(3)
    y = (dice.random(600) < 0.4).astype(float)
    ours, theirs = y + dice.normal(size=600), y + 1.5 * dice.normal(size=600)
    effect = compare(y, ours, theirs, np.arange(600), "auc")
    one, zero = y > 0.5, y < 0.5
    above = [np.mean(s[one][:, None] > s[zero][None, :], axis=1) for s in (ours, theirs)]
    below = [np.mean(s[one][:, None] > s[zero][None, :], axis=0) for s in (ours, theirs)]
    variance = (above[0] - above[1]).var(ddof=1) / one.sum() + (below[0] - below[1]).var(ddof=1) / zero.sum()
    assert effect.error == pytest.approx(math.sqrt(variance), rel=0.01)


@given(METRIC, st.integers(0, 10**6))
def test_swapping_the_models_negates_the_gain_and_turns_the_interval_round(metric, seed):
    y, ours, theirs, day = drawn(metric, seed)
    forth, back = compare(y, ours, theirs, day, metric), compare(y, theirs, ours, day, metric)
    assert back.gain == pytest.approx(-forth.gain)
    assert back.error == pytest.approx(forth.error)
    low, high = forth.interval(0.05)
    assert back.interval(0.05) == pytest.approx((-high, -low))
    assert back.p_above(0) == pytest.approx(forth.p_below(0))


@given(METRIC, st.integers(0, 10**6))
def test_neither_the_order_of_rows_nor_the_names_of_days_matter(metric, seed):
    y, ours, theirs, day = drawn(metric, seed)
    order = np.random.default_rng(seed).permutation(len(y))
    first = compare(y, ours, theirs, day, metric)
    again = compare(y[order], ours[order], theirs[order], -3 * day[order], metric)
    assert (again.gain, again.error, again.freedom) == pytest.approx((first.gain, first.error, first.freedom))


@given(METRIC.filter(lambda metric: metric != "calibration_error"), st.integers(0, 10**6))
def test_every_row_twice_is_no_more_evidence(metric, seed):
    values = drawn(metric, seed)
    once, twice = compare(*values, metric), compare(*(np.repeat(v, 2) for v in values), metric)
    assert (twice.gain, twice.error, twice.freedom) == pytest.approx((once.gain, once.error, once.freedom))


@given(st.sampled_from(["log_loss", "brier", "mae"]), st.integers(0, 10**6), st.integers(1, 3))
def test_rows_on_which_both_agree_dilute_the_gain(metric, seed, times):
    y, ours, theirs, day = drawn(metric, seed)
    more = [np.concatenate([v, *[w] * times]) for v, w in ((y, y), (ours, ours), (theirs, ours), (day, day))]
    assert compare(*more, metric).gain == pytest.approx(
        compare(y, ours, theirs, day, metric).gain / (1 + times)
    )


@given(METRIC, st.integers(0, 10**6), st.floats(-0.2, 0.2), st.floats(0.01, 0.4))
def test_the_interval_lies_above_a_limit_where_the_test_says_that_the_gain_does(metric, seed, limit, alpha):
    effect = compare(*drawn(metric, seed), metric)
    low, high = effect.interval(alpha)
    assert (low > limit) == (effect.p_above(limit) < alpha)
    assert (high < limit) == (effect.p_below(limit) < alpha)


@given(METRIC, st.integers(0, 10**6))
def test_a_model_draws_with_itself_without_any_uncertainty(metric, seed):
    y, ours, _, day = drawn(metric, seed)
    effect = compare(y, ours, ours, day, metric)
    assert (effect.gain, effect.error, effect.interval(0.05)) == (0, 0, (0, 0))
    assert (effect.p_above(0), effect.p_below(0)) == (0.5, 0.5)
    assert effect.p_above(-0.001) == 0


def test_one_day_alone_shows_nothing():
    effect = compare(np.zeros(5), np.zeros(5), np.ones(5), np.zeros(5), "mae")
    assert (effect.gain, effect.clusters) == (1, 1)
    assert effect.error is effect.p_above(0) is effect.p_below(0) is None
    assert effect.interval(0.05) == (None, None) and effect.detectable(0.05, 0.8) is None


def test_an_auc_that_one_day_decides_is_undefined_without_it():
    y, day = np.array([1.0, 0, 0, 0]), np.array([0, 0, 1, 1])
    effect = compare(y, np.array([0.9, 0.1, 0.2, 0.3]), np.array([0.1, 0.9, 0.2, 0.3]), day, "auc")
    assert effect.gain == 1
    assert effect.p_above(0) is None


def test_values_of_unlike_length_are_refused():
    with pytest.raises(DatasetError, match=r"equally many .* got 2, 3, 3 and 3"):
        compare(np.zeros(2), np.zeros(3), np.zeros(3), np.zeros(3), "mae")
    with pytest.raises(DatasetError, match="at least one"):
        compare(*[np.empty(0)] * 4, "mae")


@given(METRIC, st.integers(0, 10**6))
def test_the_whole_is_what_the_evaluation_says(metric, seed):
    from mlops_assets.ml.judging.metrics import evaluate

    y, ours, theirs, day = drawn(metric, seed)
    assert whole(y, ours, metric) == pytest.approx(evaluate(y, ours, TASK_OF[metric])[metric])
    assert compare(y, ours, theirs, day, metric).champion == pytest.approx(whole(y, theirs, metric))


@pytest.mark.parametrize("metric", ["log_loss", "brier", "auc", "mae", "rmse"])
@MANY
def test_of_many_pairs_of_equal_models_as_many_are_shown_to_differ_as_alpha_says(many, metric):
    assert between(false_promotions(metric, trials=many, alpha=0.05), many, 0.05)


def test_a_test_that_counts_rows_instead_of_days_would_promote_equal_models_far_too_often():
    by_row = false_promotions("log_loss", trials=300, alpha=0.05, rows=400, by_row=True)
    assert by_row > 300 * 0.2
    assert between(false_promotions("log_loss", trials=300, alpha=0.05, rows=400), 300, 0.05)


@pytest.mark.parametrize("power", [0.5, 0.8, 0.95])
def test_a_planted_gain_is_found_with_the_stated_power(power):
    truth = Effect("mae", 0, 0, 0, lead_error(days=14), 13, 14, 840)
    planted, dice = truth.detectable(0.05, power), np.random.default_rng(11)
    found = sum(compare(*leading(dice, planted), "mae").p_above(0) <= 0.05 for _ in range(1000))
    assert between(found, 1000, power)


@pytest.mark.parametrize("shape", ["normal", "heavy tails"])
def test_of_a_thousand_challengers_worse_by_a_margin_as_many_are_shown_not_to_be_as_alpha_says(shape):
    dice = np.random.default_rng(5)
    shown = sum(compare(*leading(dice, -0.2, shape=shape), "mae").p_above(-0.2) <= 0.05 for _ in range(1000))
    assert between(shown, 1000, 0.05)


def test_holm_gives_the_values_of_a_worked_example():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


@given(st.lists(st.floats(0, 1), min_size=1, max_size=40), st.randoms())
def test_holm_keeps_the_order_lies_between_raw_and_bonferroni_and_knows_no_places(values, dice):
    corrected = holm(values)
    for p, q in zip(values, corrected, strict=True):
        assert p <= q <= min(1, p * len(values)) + 1e-12
    places = list(range(len(values)))
    dice.shuffle(places)
    assert holm([values[i] for i in places]) == pytest.approx([corrected[i] for i in places])
    assert sorted(corrected) == [corrected[i] for i in np.argsort(values, kind="stable")]


def test_the_interval_of_one_model_covers_the_truth_about_as_often_as_it_says():
    covered = 0
    for seed in range(300):
        dice = np.random.default_rng(seed)
        day = np.repeat(np.arange(14), 60)
        share = np.clip(0.3 + dice.normal(0, 0.1, 14), 0.01, 0.99)[day]
        y = (dice.random(len(day)) < share).astype(float)
        value, low, high = estimate(y, np.full(len(day), 0.3), day, "brier")
        assert low <= value <= high
        covered += low <= 0.3 * 0.7**2 + 0.7 * 0.3**2 <= high
    assert 0.9 < covered / 300 < 0.99


def test_one_cluster_gives_a_value_without_an_interval():
    value, low, high = estimate(np.array([0.0, 1.0]), np.array([0.2, 0.7]), np.zeros(2), "log_loss")
    assert value is not None and value > 0 and low is high is None
