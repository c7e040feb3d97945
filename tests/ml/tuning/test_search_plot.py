"""The picture of a search: the same bytes each time, with what was stopped, failed or far off."""

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from mlops_assets.ml.tuning.plot import score_limits, search_plot
from mlops_assets.ml.tuning.proposals import importances, propose
from mlops_assets.ml.tuning.trials import Trial
from mlops_assets.spec.search import Choices, Range, Search

SPACE = {
    "eta": Range(low=0.01, high=0.5, log=True),
    "max_depth": Range(low=2, high=10, integer=True),
    "subsample": Range(low=0.4, high=1),
    "hidden": Choices(choices=[[64], [128, 64]]),
}


def trials_of(count: int) -> list[Trial]:
    """A search over log loss: trial 0 lies outside of the space, every fifth is stopped, one failed, one is far off."""
    trials = [Trial(0, {"eta": 0.1}, "finished", 0.45, 90)]
    for number in range(1, count):
        values = propose(Search(trials=count), SPACE, "log_loss", trials, number)
        noise = np.random.default_rng(number).normal(scale=0.002)
        score = (
            0.43 + 0.01 * np.log10(values["eta"] / 0.06) ** 2 + 0.0005 * abs(values["max_depth"] - 6) + noise
        )
        state = "stopped" if number % 5 == 4 else "finished"
        trials.append(Trial(number, values, state, float(score) + 0.02 * (state == "stopped"), 30))
    if count > 7:
        trials[6] = Trial(6, trials[6].parameters, "failed", problem="refused")
        trials[7] = Trial(7, trials[7].parameters, "finished", 3.0, 1)
    return trials


@pytest.mark.parametrize("count", [1, 5, 40])
def test_the_picture_is_drawn_and_repeats_itself(count):
    trials = trials_of(count)
    share = importances(SPACE, "log_loss", trials)
    one, again = (search_plot(trials, "log_loss", SPACE, share) for _ in range(2))
    assert one == again
    picture = Image.open(io.BytesIO(one))
    assert picture.width == 640 and len(one) < 60_000


@given(
    scores=st.lists(st.floats(0.01, 100), min_size=1, max_size=30),
    metric=st.sampled_from(["auc", "log_loss"]),
)
def test_the_best_half_is_drawn_in_full_whatever_the_others_are(scores, metric):
    low, high = score_limits([Trial(i, {}, "finished", score) for i, score in enumerate(scores)], metric)
    best_first = sorted(scores, reverse=metric == "auc")
    assert all(low < score < high for score in best_first[: (len(scores) + 1) // 2])


def test_a_trial_that_is_far_off_does_not_flatten_the_rest():
    low, high = score_limits(trials_of(40), "log_loss")
    assert low > 0.4 and high < 0.6
