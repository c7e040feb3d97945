"""Beyond capacity: those let in wait hardly longer than at capacity, and those turned away are told so soon."""

from functools import cache

import pytest

from tests.resources.fast.simulated_load import CAPACITY, CROWDED_S, Outcome, Simulation

SECONDS = 2.0
BEYOND = (2.0, 3.0, 5.0)


@cache
def at(times: float) -> Outcome:
    return Simulation(times, SECONDS).run()


@pytest.mark.parametrize("times", BEYOND)
def test_those_let_in_are_answered_hardly_later_than_at_capacity(times):
    assert at(times).at(0.99) < 2 * at(1.0).at(0.99)


@pytest.mark.parametrize("times", BEYOND)
def test_the_others_are_told_within_50_ms(times):
    assert at(times).refused_at(0.99) < 0.05


@pytest.mark.parametrize(("times", "share"), zip(BEYOND, (0.75, 0.6, 0.3), strict=True))
def test_what_turning_away_leaves_of_the_capacity_is_answered(times, share):
    assert len(at(times).answered) > share * CAPACITY * (SECONDS - CROWDED_S)


def test_at_capacity_nearly_all_are_let_in():
    assert len(at(1.0).refused) < 0.02 * len(at(1.0).answered)
