"""The paired test that may be looked at: intervals over all looks together, no look without new evidence, and the split."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from benchmarks.simulated import leading
from mlops_assets.ml.judging.paired import compare
from mlops_assets.ml.rollout.sequential import Schedule, Side, compare_paired, compare_split, look_at
from tests.ml.conftest import MANY

PLAN = Schedule(clusters=14, alpha=0.05, spending="pocock", first=3)


def looked(plan: Schedule, y, ours, theirs, day):
    """Every look of a stream of days, one a day."""
    looks, seen = (), []
    for last in range(1, int(day.max()) + 2):
        now = plan.next(looks, last)
        if now != looks:
            there = day < last
            seen.append(look_at(compare(y[there], ours[there], theirs[there], day[there], "mae"), plan, now))
        looks = now
    return seen


def shown(seed: int, trials: int, gain: float) -> int:
    dice = np.random.default_rng(seed)
    return sum(any(look.shows_loss(0) for look in looked(PLAN, *leading(dice, gain))) for _ in range(trials))


@MANY
def test_equal_models_looked_at_every_day_are_accused_no_more_often_than_is_stated(many):
    assert shown(2013, many, 0.0) <= binom(many, PLAN.alpha).ppf(0.999)


def test_a_model_that_is_clearly_worse_is_found():
    assert shown(2013, 50, -0.4) > 45


@given(st.lists(st.integers(0, 20), max_size=12))
def test_a_look_is_one_more_only_with_evidence_that_was_planned_for(clusters):
    looks: tuple[int, ...] = ()
    for there in clusters:
        after = PLAN.next(looks, there)
        assert after in (looks, (*looks, there))
        if after != looks:
            assert there >= PLAN.first and (not looks or looks[-1] < min(there, PLAN.clusters))
        looks = after
    assert sum(one >= PLAN.clusters for one in looks) <= 1


def test_a_loss_is_shown_where_the_interval_lies_below_it_and_ruled_out_where_it_lies_above():
    look = looked(PLAN, *leading(np.random.default_rng(7), 0.0))[-1]
    assert look.is_last and look.low is not None and look.high is not None and look.gain is not None
    assert look.low < look.gain < look.high
    for loss in (-2.0, -look.high - 1e-9, -look.high + 1e-9, -look.low - 1e-9, -look.low + 1e-9, 2.0):
        assert look.shows_loss(loss) == (look.high < -loss) and look.rules_out(loss) == (look.low > -loss)
        assert not (look.shows_loss(loss) and look.rules_out(loss))


def test_a_version_and_itself_have_no_gain_and_no_uncertainty():
    y, ours, _, day = leading(np.random.default_rng(1), 0.0)
    look = look_at(compare(y, ours, ours, day, "mae"), PLAN, (3, 14))
    assert (look.gain, look.low, look.high) == (0.0, 0.0, 0.0) and not look.shows_loss(0)


def side(dice, rows: int, worse: float, luck) -> Side:
    day, group = np.arange(rows) % 14, dice.integers(0, 32, rows)
    loss = 1 + worse + luck[day] + dice.normal(size=rows)
    return Side(np.zeros(rows), 20 + loss, day, group)


def test_a_split_has_an_interval_that_covers_and_the_luck_of_the_days_cancels():
    dice, covered = np.random.default_rng(2013), 0
    for _ in range(200):
        luck = dice.normal(size=14)
        effect = compare_split(side(dice, 300, 0.5, luck), side(dice, 2700, 0.0, luck), "mae")
        low, high = effect.interval(0.05)
        assert low is not None and high is not None
        covered += low <= -0.5 <= high
    assert covered >= binom(200, 0.9).ppf(0.001)


def test_paired_rows_are_compared_as_the_gate_compares_them():
    y, ours, theirs, day = leading(np.random.default_rng(5), 0.1)
    group = np.zeros(len(y))
    both = Side(y, ours, day, group), Side(y, theirs, day, group)
    assert compare_paired(*both, "mae") == compare(y, ours, theirs, day, "mae")


def test_a_metric_that_is_not_defined_on_a_side_has_no_gain():
    ones = Side(np.ones(6), np.full(6, 0.5), np.arange(6) % 3, np.arange(6))
    effect = compare_split(ones, ones, "auc")
    assert effect.gain is None and effect.error is None
    assert look_at(effect, PLAN, (3,)).gain is None


def test_days_of_one_side_alone_are_not_counted():
    one = Side(np.zeros(4), np.arange(4.0), np.array([0, 0, 1, 1]), np.arange(4))
    other = Side(np.zeros(4), np.arange(4.0), np.array([1, 1, 2, 2]), np.arange(4))
    assert compare_split(one, other, "mae").clusters == pytest.approx(1)
