"""Streams of faults: another library's e-process as oracle, brute force, and how often equal versions are accused."""

import itertools
import math

import numpy as np
import pytest
import ville
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import beta, binom

from mlops_assets.ml.rollout.streams import PRIOR, Stream, log_e_above, log_e_of_block

counts = st.integers(0, 60).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))
rates = st.floats(0.02, 0.9)


@given(st.lists(st.booleans(), min_size=1, max_size=80), rates)
def test_with_its_counterpart_below_the_limit_it_is_the_two_sided_mixture_of_another_library(faults, limit):
    """The whole mixture is made of what lies above the limit and of what lies below, which is the same of 'no fault'."""
    test = ville.BernoulliTest(limit, prior=PRIOR).fit(np.array(faults, float))
    above = log_e_above(sum(faults), len(faults), limit)
    below = log_e_above(len(faults) - sum(faults), len(faults), 1 - limit)
    mass = beta(*PRIOR).sf(limit)
    mixed = np.logaddexp(math.log(mass) + above, math.log1p(-mass) + below)
    assert mixed == pytest.approx(test.log_e_values_[-1], abs=1e-6)


@given(st.integers(1, 40), rates, rates)
def test_no_rate_up_to_the_limit_is_expected_to_give_evidence(requests, limit, share):
    """The expectation over all outcomes, by brute force: at most 1 of what is bet."""
    outcomes = np.arange(requests + 1)
    chance = binom(requests, limit * share).pmf(outcomes)
    e = np.exp([log_e_above(int(x), requests, limit) for x in outcomes])
    assert (chance * e).sum() <= 1 + 1e-9


@given(counts, counts, st.integers(1, 6), st.integers(1, 6), rates, rates, rates)
def test_no_pair_of_rates_without_a_fault_is_expected_to_give_evidence_of_one(
    ours, theirs, n, m, rate, share, limit
):
    past = Stream(ours[1], ours[0], theirs[1], theirs[0])
    expected = 0.0
    for x, y in itertools.product(range(n + 1), range(m + 1)):
        chance = binom(n, rate * share).pmf(x) * binom(m, rate).pmf(y)
        expected += chance * math.exp(log_e_of_block(past, Stream(n, x, m, y), limit))
    assert expected <= 1 + 1e-9


@given(st.lists(st.tuples(counts, counts), max_size=6), rates)
def test_counts_add_up_and_one_block_more_never_loses_any(blocks, limit):
    stream = Stream()
    for (faults, requests), (more, champion) in blocks:
        stream = stream.then(Stream(requests, faults, champion, more), limit)
    assert stream.requests == sum(block[0][1] for block in blocks)
    assert stream.champion_faults == sum(block[1][0] for block in blocks)
    assert math.isfinite(stream.evidence(limit))


def test_nothing_counted_is_no_evidence_at_all():
    assert Stream().evidence(0.001) == 0 and Stream().rate is None
    assert not Stream().shows(0.001, 0.05)


def test_a_version_that_fails_one_row_in_fifty_is_found_and_an_outage_of_both_accuses_nobody():
    dice = np.random.default_rng(2013)
    alone = both = Stream()
    for _ in range(40):
        faults, theirs = dice.binomial(50, 0.02), dice.binomial(950, 0.02)
        alone = alone.then(Stream(50, faults, 950, 0), 0.001)
        both = both.then(Stream(50, faults, 950, theirs), 0.001)
    assert alone.shows(0.001, 0.01) and not both.shows(0.001, 0.01)


def test_of_versions_at_the_limit_no_more_are_accused_at_any_look_than_is_stated():
    dice = np.random.default_rng(2013)
    accused = 0
    for _ in range(400):
        faults = dice.binomial(100, 0.02, size=40).cumsum()
        accused += any(Stream(100 * (i + 1), int(x)).shows(0.02, 0.1) for i, x in enumerate(faults))
    assert accused <= binom(400, 0.1).ppf(0.999)


def test_more_faults_than_requests_are_refused():
    with pytest.raises(ValueError, match="3 faults of 2 requests"):
        Stream(2, 3)
    with pytest.raises(ValueError, match="is no rate"):
        log_e_above(1, 2, 1.0)
