"""Alpha spending: published boundaries where clusters are many, a simulation as oracle where they are few, and what cannot be spent."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm, ttest_1samp

from mlops_assets.ml.rollout.spending import PATHS, SpendingError, levels, spent
from tests.generated import slow_cases

MANY = (20_000, 40_000, 60_000, 80_000, 100_000)
FUNCTIONS = ("obrien_fleming", "pocock")
PUBLISHED = {
    "obrien_fleming": (4.8769, 3.3569, 2.6803, 2.2898, 2.0310),
    "pocock": (2.4380, 2.4268, 2.4101, 2.3966, 2.3859),
}
"""Boundaries of five even looks at a one-sided 0.025, as ldbounds and Reboussin et al. (2000) print them."""

growing = st.lists(st.integers(2, 28), min_size=1, max_size=8, unique=True).map(sorted)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_boundaries_of_many_clusters_are_the_published_ones(function):
    """But for those that are crossed too rarely to be simulated, which are taken to be further off."""
    for z, published in zip(
        norm.isf(levels(MANY, MANY[-1], 0.025, function)), PUBLISHED[function], strict=True
    ):
        assert z == pytest.approx(published, abs=0.08) or (published > 3 and z >= published)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_one_look_at_all_the_evidence_has_the_whole_rate(function):
    assert levels((28,), 28, 0.05, function) == pytest.approx((0.05,), abs=0.002)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_looks_at_few_days_cross_as_often_as_is_stated(function):
    looks = (5, 6, 8, 11, 14)
    found = levels(looks, 14, 0.1, function)
    days = np.random.default_rng(7).normal(size=(20_000, 14))
    p = [ttest_1samp(days[:, :n], 0, axis=1, alternative="greater").pvalue for n in looks]
    crossed = (found >= np.array(p).T).any(axis=1).mean()
    assert crossed == pytest.approx(0.1, abs=4 * (0.1 * 0.9 / 20_000) ** 0.5)


@slow_cases(6)  # each simulates twice
@given(growing, st.sampled_from(FUNCTIONS), st.sampled_from([0.01, 0.05, 0.2]))
def test_what_was_seen_later_changes_no_level_and_no_level_is_above_what_is_spent(days, function, alpha):
    looks = tuple(days)
    found = levels(looks, 28, alpha, function)
    assert levels(looks[:-1], 28, alpha, function) == found[:-1] if len(looks) > 1 else True
    for days, level in zip(looks, found, strict=True):
        assert 0 <= level <= spent(days / 28, alpha, function) + 5 / PATHS**0.5


@given(st.floats(0.01, 0.99), st.floats(0.01, 0.99), st.sampled_from(FUNCTIONS))
def test_more_evidence_never_has_less_to_spend_and_all_of_it_has_the_rate(one, other, function):
    first, second = sorted((one, other))
    assert spent(first, 0.05, function) <= spent(second, 0.05, function) <= 0.05 + 1e-12
    assert spent(1.0, 0.05, function) == pytest.approx(0.05)


@pytest.mark.parametrize(
    ("looks", "alpha", "function", "said"),
    [
        ((), 0.05, "pocock", "looks at no clusters"),
        ((1, 2), 0.05, "pocock", "looks at 1, 2 clusters: they have to grow, from at least 2 on"),
        ((5, 5), 0.05, "pocock", "looks at 5, 5 clusters"),
        ((5,), 0.6, "pocock", "a rate of 0.6 cannot be spent"),
        ((5,), 0.05, "haybittle", "'haybittle' does not exist"),
    ],
)
def test_what_is_no_plan_of_looks_is_refused(looks, alpha, function, said):
    with pytest.raises(SpendingError, match=said):
        levels(looks, 28, alpha, function)
