"""Beyond capacity: those let in wait hardly longer than at capacity, and those turned away are told so soon."""

from functools import cache

from tests.resources.fast.simulated_load import CAPACITY, CROWDED_S, Outcome, Simulation

SECONDS = 3.0


@cache
def at(times: float) -> Outcome:
    return Simulation(times, SECONDS).run()


def test_at_twice_the_capacity_those_let_in_are_answered_hardly_later_than_at_capacity():
    assert at(2.0).at(0.99) < 1.5 * at(1.0).at(0.99)
    assert at(2.0).at(0.5) < 2 * at(1.0).at(0.5)


def test_at_twice_the_capacity_nearly_half_of_it_is_answered_and_the_others_are_told_within_50_ms():
    assert len(at(2.0).answered) > 0.45 * CAPACITY * (SECONDS - CROWDED_S)
    assert at(2.0).refused_at(0.99) < 0.05


def test_at_capacity_nearly_all_are_let_in():
    assert len(at(1.0).refused) < 0.02 * len(at(1.0).answered)
