"""Raw distances are scipy's and Evidently's own, to nine digits, whatever the samples hold."""

from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from scipy.spatial.distance import jensenshannon

from mlops_assets.ml.monitoring import distances
from mlops_assets.ml.monitoring.distances import (
    chi_square,
    in_deviations,
    jensen_shannon,
    largest_gap,
    moved,
)
from mlops_assets.ml.monitoring.psi import psi

TIES = st.sampled_from([-1.0, 0.0, 0.5, 2.0])
ANY = st.floats(-1e6, 1e6) | TIES
SAMPLE = st.lists(ANY, min_size=1, max_size=60) | st.lists(TIES, min_size=1, max_size=60)
COUNTS = st.lists(st.tuples(st.integers(0, 900), st.integers(0, 900)), min_size=1, max_size=30)
CLOSE = {"rel": 1e-9, "abs": 1e-9}


def both_ways(reference, current):
    """The figures with the reference's values counted, and the gap at the reference's values alone."""
    values, counts = np.unique(reference, return_counts=True)
    ordered, up_to = np.sort(current), np.cumsum(counts)
    now = [np.searchsorted(ordered, values, side=side) for side in ("left", "right")]
    gap = largest_gap((up_to - counts, up_to), (now[0], now[1]), len(reference), len(current))
    return moved(values, counts, ordered), gap


@given(SAMPLE, SAMPLE, st.sampled_from([1, 2, 7, 1000]))
def test_kolmogorov_smirnov_and_wasserstein_are_scipys_however_many_are_merged_at_a_time(
    reference, current, at_once
):
    with patch.object(distances, "AT_ONCE", at_once):
        found, gap = both_ways(reference, current)
    assert found.ks == pytest.approx(stats.ks_2samp(reference, current).statistic, **CLOSE)
    assert found.wasserstein == pytest.approx(stats.wasserstein_distance(reference, current), **CLOSE)
    assert gap == pytest.approx(found.ks, **CLOSE)


@given(SAMPLE, SAMPLE)
def test_the_distance_in_deviations_is_evidentlys(reference, current):
    import pandas as pd
    from evidently.legacy.calculations.stattests.wasserstein_distance_norm import _wasserstein_distance_norm

    theirs, _ = _wasserstein_distance_norm(pd.Series(reference), pd.Series(current), "num", 0.1)  # type: ignore[arg-type]
    found, _ = both_ways(reference, current)
    assert in_deviations(found.wasserstein, float(np.std(reference))) == pytest.approx(theirs, **CLOSE)


def as_divergence(distance):
    """Its square: the root of what two equal sides differ by in their last digit is more than nine digits show."""
    return pytest.approx(np.nan_to_num(distance) ** 2, rel=1e-9, abs=1e-15)


@given(COUNTS)
def test_jensen_shannon_on_given_bins_is_scipys_or_not_defined(counts):
    reference, current = np.array(counts, np.float64).T
    found = jensen_shannon(reference, current)
    if reference.sum() and current.sum():
        assert found**2 == as_divergence(jensenshannon(reference, current))
    else:
        assert found is None


@given(COUNTS)
def test_chi_square_on_given_bins_is_scipys_or_not_defined(counts):
    sides = np.array(counts, np.float64).T
    used = sides[:, sides.sum(axis=0) > 0]
    found = chi_square(*sides)
    if used.shape[1] < 2 or not used.sum(axis=1).all():
        assert found is None
    else:
        theirs = stats.chi2_contingency(used, correction=False)
        assert found == pytest.approx((theirs.statistic, theirs.dof), **CLOSE)


LETTERS = st.lists(st.sampled_from("abcde"), min_size=1, max_size=80)


@given(LETTERS, LETTERS)
def test_on_the_bins_of_categories_the_figures_are_evidentlys(old, new):
    import pandas as pd
    from evidently.legacy.calculations.stattests.jensenshannon import _jensenshannon
    from evidently.legacy.calculations.stattests.psi import _psi

    reference, current = ([side.count(c) for c in {*old, *new}] for side in (old, new))
    sides = [np.array(side, np.float64) for side in (reference, current)]
    series = [pd.Series(side) for side in (old, new)]
    theirs, _ = _jensenshannon(*series, "cat", 0.1)  # type: ignore[arg-type]
    assert (jensen_shannon(*sides) or 0.0) ** 2 == as_divergence(theirs)
    if min(*reference, *current) > 0:
        assert psi(*sides) == pytest.approx(_psi(*series, "cat", 0.1)[0], **CLOSE)  # type: ignore[arg-type]


def test_what_is_not_defined_is_none():
    empty, some, ones = np.array([]), np.array([1.0]), np.array([1])
    assert moved(empty, empty, some) == moved(some, ones, empty) == (None, None)
    assert largest_gap((empty, empty), (empty, empty), 0, 3) is None
    assert in_deviations(None, 1.0) is in_deviations(1.0, None) is None
    huge = np.array([-1.7e308, 1.7e308])
    assert moved(huge, np.array([1, 1]), huge).wasserstein is None
    assert moved(huge, np.array([1, 1]), huge).ks == 0
