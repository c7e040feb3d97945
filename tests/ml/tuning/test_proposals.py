"""What is tried next follows from the seed, the number and the trials that are done, and gets better with them."""

import math
from statistics import median

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops_assets.ml.tuning.proposals import FEWEST_FOR_IMPORTANCE, importances, propose
from mlops_assets.ml.tuning.trials import Trial, better, parameters_hash
from mlops_assets.spec.search import Choices, Range, Search

SPACE = {
    "eta": Range(low=0.01, high=1, log=True),
    "depth": Range(low=2, high=9, integer=True),
    "hidden": Choices(choices=[[8], [8, 4], "wide"]),
}
BOWL = {"x": Range(low=-10, high=10), "idle": Range(low=0, high=1)}


def trials_of(count: int, seed: int = 0) -> list[Trial]:
    """A search for the bottom of a bowl at x = 3."""
    trials: list[Trial] = []
    for number in range(count):
        values = propose(Search(trials=count, seed=seed), BOWL, "rmse", trials, number)
        trials.append(Trial(number, values, "finished", (values["x"] - 3) ** 2))
    return trials


@given(seed=st.integers(0, 2**31), number=st.integers(0, 500))
def test_proposals_lie_in_the_space_and_repeat_themselves(seed, number):
    search = Search(trials=1, seed=seed)
    one, again = (propose(search, SPACE, "auc", [], number) for _ in range(2))
    assert one == again
    assert all(SPACE[name].holds(value) for name, value in one.items()) and set(one) == set(SPACE)


@settings(max_examples=15)
@given(order=st.permutations(range(14)))
def test_the_order_in_which_trials_ended_does_not_matter(order):
    trials = trials_of(14)
    shuffled = [trials[i] for i in order]
    search = Search(trials=15)
    assert propose(search, BOWL, "rmse", shuffled, 14) == propose(search, BOWL, "rmse", trials, 14)


@pytest.mark.parametrize("seed", range(3))
def test_later_proposals_are_nearer_to_the_best_than_the_first_ones(seed):
    scores = [trial.score or 0.0 for trial in trials_of(50, seed)]
    assert median(scores[-20:]) < 0.3 * median(scores[:10])


def test_what_made_trials_good_is_found_and_too_few_trials_say_nothing():
    shares = importances(BOWL, "rmse", trials_of(30))
    assert shares["x"] > 0.8 and math.isclose(sum(shares.values()), 1)
    assert importances(BOWL, "rmse", trials_of(FEWEST_FOR_IMPORTANCE - 1)) == {}


def test_stopped_trials_teach_and_failed_ones_do_not():
    trials, search = trials_of(14), Search(trials=15)
    known = propose(search, BOWL, "rmse", trials, 20)
    stopped = [*trials, Trial(14, {"x": 3.0, "idle": 0.5}, "stopped", 0.0, 3)]
    failed = [*trials, Trial(14, {"x": 3.0, "idle": 0.5}, "failed")]
    assert propose(search, BOWL, "rmse", stopped, 20) != known
    assert propose(search, BOWL, "rmse", failed, 20) == known


def test_the_best_trial_is_the_finished_one_with_the_best_metric_and_of_equals_the_earlier():
    trials = [
        Trial(0, {}, "finished", 0.7),
        Trial(1, {}, "stopped", 0.99),
        Trial(2, {}, "finished", 0.8),
        Trial(3, {}, "finished", 0.8),
        Trial(4, {}, "failed"),
    ]
    assert [t.number for t in better("auc", trials)] == [2, 3, 0]
    assert [t.number for t in better("log_loss", trials)] == [0, 2, 3]
    off = [Trial(0, {}, "finished", -4.0), Trial(1, {}, "finished", 1.0)]
    assert [t.number for t in better("bias", off)] == [1, 0]


def test_a_trial_is_read_back_as_it_was_kept():
    trial = Trial(3, {"hidden": [8, 4]}, "stopped", 0.5, 9, [(3, 0.6), (9, 0.5)], "abc", 1.5, 1.0, 9.0, "")
    assert Trial.from_record(trial.record()) == trial


def test_the_hash_of_parameters_knows_their_values_and_not_their_order():
    assert parameters_hash({"a": 1, "b": 2.5}) == parameters_hash({"b": 2.5, "a": 1})
    assert parameters_hash({"a": 1}) != parameters_hash({"a": 2})
