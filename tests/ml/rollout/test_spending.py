"""Alpha spending: published boundaries, a brute-force simulation as oracle, and what cannot be spent."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

from mlops_assets.ml.rollout.spending import SpendingError, levels, spent

FIVE = (0.2, 0.4, 0.6, 0.8, 1.0)
FUNCTIONS = ("obrien_fleming", "pocock")
PUBLISHED = {
    "obrien_fleming": (4.8769, 3.3569, 2.6803, 2.2898, 2.0310),
    "pocock": (2.4380, 2.4268, 2.4101, 2.3966, 2.3859),
}
"""Boundaries of five even looks at a one-sided 0.025, as ldbounds and Reboussin et al. (2000) print them."""

growing = st.lists(st.integers(1, 28), min_size=1, max_size=12, unique=True).map(sorted)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_boundaries_of_five_even_looks_are_the_published_ones(function):
    assert norm.isf(levels(FIVE, 0.025, function)) == pytest.approx(PUBLISHED[function], abs=2e-4)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_one_look_at_all_the_evidence_has_the_whole_rate(function):
    assert levels((1.0,), 0.05, function) == pytest.approx((0.05,))


@pytest.mark.parametrize("function", FUNCTIONS)
def test_simulated_paths_cross_as_often_as_is_stated(function):
    shares = np.array([0.1, 0.15, 0.4, 0.45, 0.7, 1.0])
    bounds = norm.isf(levels(tuple(shares), 0.1, function))
    dice = np.random.default_rng(2013)
    paths = (dice.normal(size=(200_000, 6)) * np.sqrt(np.diff(shares, prepend=0))).cumsum(axis=1)
    crossed = (paths / np.sqrt(shares) >= bounds).any(axis=1).mean()
    assert crossed == pytest.approx(0.1, abs=4 * (0.1 * 0.9 / 200_000) ** 0.5)


@given(growing, st.sampled_from(FUNCTIONS), st.floats(0.005, 0.2))
def test_what_was_seen_later_changes_no_level_and_no_level_is_above_what_is_spent(days, function, alpha):
    shares = tuple(day / 28 for day in days)
    found = levels(shares, alpha, function)
    for number, share in enumerate(shares, start=1):
        assert levels(shares[:number], alpha, function) == found[:number]
        assert 0 <= found[number - 1] <= spent(share, alpha, function) + 1e-9


@given(st.floats(0.01, 0.99), st.floats(0.01, 0.99), st.sampled_from(FUNCTIONS))
def test_more_evidence_never_has_less_to_spend_and_all_of_it_has_the_rate(one, other, function):
    first, second = sorted((one, other))
    assert spent(first, 0.05, function) <= spent(second, 0.05, function) <= 0.05 + 1e-12
    assert spent(1.0, 0.05, function) == pytest.approx(0.05)


@pytest.mark.parametrize(
    ("shares", "alpha", "function", "said"),
    [
        ((), 0.05, "pocock", "of no look do not grow"),
        ((0.5, 0.5), 0.05, "pocock", "0.5, 0.5 do not grow"),
        ((0.5, 1.1), 0.05, "pocock", "at most 1"),
        ((0.5,), 0.6, "pocock", "a rate of 0.6 cannot be spent"),
        ((0.5,), 0.05, "haybittle", "'haybittle' does not exist"),
    ],
)
def test_what_is_no_plan_of_looks_is_refused(shares, alpha, function, said):
    with pytest.raises(SpendingError, match=said):
        levels(shares, alpha, function)
