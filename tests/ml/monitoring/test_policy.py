"""One rule from evidence to decision: never inside the cool-down, always with its numbers."""

import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from mlops_assets.ml.monitoring.policy import PartitionEvidence, decide, quiet_until

START = datetime(2020, 1, 6, tzinfo=UTC)
RULES = {
    "cool_down_days": 14,
    "max_age_days": 56,
    "metric_worse_by": 0.05,
    "prediction_psi_above": 0.2,
    "drift_share_above": 0.5,
}
SHARE = st.one_of(st.none(), st.floats(0, 1))
WEEK = st.tuples(SHARE, SHARE, SHARE, SHARE)


def day(number: float) -> datetime:
    return START + timedelta(days=number)


def week(end: float, **numbers: Any) -> PartitionEvidence:
    return PartitionEvidence(f"{day(end - 7):%F}", day(end), 1000, **numbers)


def weeks(rows):
    names = ("metric", "reference", "prediction_psi", "drift_share")
    return [week(7 * (i + 1), **dict(zip(names, row, strict=True))) for i, row in enumerate(rows)]


@given(st.lists(WEEK, max_size=12), st.floats(0, 13.99))
def test_nothing_is_retrained_inside_the_cool_down(make_spec, rows, days):
    evidence = weeks(rows)
    now = evidence[-1].end if evidence else day(70)
    decision = decide(evidence, now - timedelta(days=days), make_spec(retrain=RULES), now)
    assert (decision.retrain, decision.trigger) == (False, "cool_down")
    assert "cool-down of 14 days" in decision.reason


@given(st.lists(WEEK, min_size=1, max_size=30), st.integers(14, 40))
def test_a_model_is_never_retrained_twice_within_the_cool_down(make_spec, rows, cool_down):
    spec = make_spec(retrain={**RULES, "cool_down_days": cool_down})
    evidence = weeks(rows)
    at: list[datetime] = []
    for week in evidence:
        if decide(evidence, at[-1] if at else None, spec, week.end).retrain:
            at.append(week.end)
    assert all(b - a >= timedelta(days=cool_down) for a, b in pairwise(at))
    assert all(w.end - START >= timedelta(days=28) for w in evidence if w.end in at)


@given(
    st.lists(WEEK, min_size=1, max_size=12),
    st.integers(14, 40),
    st.one_of(st.none(), st.integers(5, 60)),
    st.booleans(),
    st.one_of(st.none(), st.floats(0, 90)),
)
def test_until_a_decision_is_possible_none_is_made_whatever_the_evidence(
    make_spec, rows, cool_down, max_age, by_evidence, last
):
    rules = {"cool_down_days": cool_down, "max_age_days": max_age}
    spec = make_spec(retrain=RULES | rules if by_evidence else rules)
    before = None if last is None else day(last)
    for seen in weeks(rows):
        served = replace(seen, served=True)
        until = quiet_until(before, spec, served=True)
        if until is None or seen.end < until:
            assert not decide([served], before, spec, seen.end).retrain
        until = quiet_until(before, spec, served=False)
        if until is None or seen.end < until:
            assert not decide([seen], before, spec, seen.end).retrain


def test_a_decision_is_possible_from_the_age_on_or_where_evidence_counts_from_the_cool_down_on(make_spec):
    by_age = make_spec(retrain={"cool_down_days": 14, "max_age_days": 28})
    assert timedelta() <= day(128) - quiet_until(day(100), by_age, served=True) < timedelta(hours=1)
    assert timedelta() <= day(114) - quiet_until(day(100), by_age, served=False) < timedelta(hours=1)
    by_evidence = make_spec(retrain=RULES)
    assert timedelta() <= day(114) - quiet_until(day(100), by_evidence, served=True) < timedelta(hours=1)
    assert quiet_until(day(100), make_spec(retrain={"cool_down_days": 14}), served=True) is None


def test_the_first_model_waits_for_the_minimum_of_history(make_spec):
    early = decide([], None, make_spec(), day(27))
    assert (early.retrain, early.trigger) == (False, "too_little_history")
    assert "27 days of history since 2020-01-06, 28 needed" in early.reason
    assert decide([], None, make_spec(), day(28)).trigger == "first_model"


def test_a_paused_model_is_never_retrained(make_spec):
    decision = decide([], None, make_spec(automation="paused"), day(100))
    assert (decision.retrain, decision.trigger) == (False, "paused")


def test_age_is_reached_on_its_day(make_spec):
    spec = make_spec(retrain=RULES)
    calm = [week(70, metric=0.77, reference=0.77, prediction_psi=0.0, drift_share=0.0)]
    assert decide(calm, day(14), spec, day(70)).trigger == "age"
    assert decide(calm, day(14.01), spec, day(70)).trigger == "none"


def test_the_performance_limit_is_a_share_of_the_metric_at_promotion(make_spec):
    spec = make_spec(retrain={"metric_worse_by": 0.05})
    just = decide([week(70, metric=0.7315, reference=0.77)], day(30), spec, day(70))
    assert (just.retrain, just.trigger) == (False, "none")
    worse = decide([week(70, metric=0.72, reference=0.77)], day(30), spec, day(70))
    assert (worse.retrain, worse.trigger) == (True, "performance")
    assert worse.reason == (
        "auc 0.7200 in partition 2020-03-09 is 6.5% worse than 0.7700 at promotion, over the limit of 5.0%."
    )


def test_for_an_error_metric_worse_means_larger(make_regression_spec):
    spec = make_regression_spec(retrain={"metric_worse_by": 0.05})
    assert decide([week(70, metric=22.0, reference=20.0)], day(30), spec, day(70)).trigger == "performance"
    assert decide([week(70, metric=18.0, reference=20.0)], day(30), spec, day(70)).trigger == "none"


def test_drift_of_predictions_comes_before_drift_of_columns(make_spec):
    spec = make_spec(retrain=RULES)
    both = [week(70, metric=0.77, reference=0.77, prediction_psi=0.3, drift_share=0.6)]
    decision = decide(both, day(50), spec, day(70))
    assert decision.trigger == "prediction_drift"
    for number in (
        "prediction PSI 0.300",
        "limit of 0.2",
        "drifted columns 0.600",
        "limit of 0.5",
        "20 days ago",
    ):
        assert number in decision.reason
    only = [week(70, metric=0.77, reference=0.77, prediction_psi=0.1, drift_share=0.6)]
    assert decide(only, day(50), spec, day(70)).trigger == "data_drift"


def test_a_calm_week_is_kept_with_every_number_and_threshold(make_spec):
    calm = [week(70, metric=0.78, reference=0.77, prediction_psi=0.05, drift_share=0.1)]
    decision = decide(calm, day(50), make_spec(retrain=RULES), day(70))
    assert (decision.retrain, decision.trigger) == (False, "none")
    for number in ("20 days", "56", "1.3% better", "5.0%", "0.050", "0.2", "0.100", "0.5"):
        assert number in decision.reason


def test_a_rule_that_is_not_set_asks_for_nothing(make_spec):
    bad = [week(70, metric=0.5, reference=0.9, prediction_psi=9.0, drift_share=1.0)]
    decision = decide(bad, day(20), make_spec(), day(70))
    assert (decision.retrain, decision.reason) == (False, "no threshold is set.")


def test_weeks_that_have_not_ended_are_not_seen(make_spec):
    spec = make_spec(retrain={"prediction_psi_above": 0.2})
    evidence = [
        week(63, metric=0.7, reference=0.7, prediction_psi=0.0),
        week(70, metric=0.7, reference=0.7, prediction_psi=9.0),
    ]
    assert not decide(evidence, day(20), spec, day(69)).retrain
    assert decide(evidence, day(20), spec, day(70)).retrain


def test_the_order_of_the_evidence_does_not_matter(make_spec):
    spec = make_spec(retrain=RULES)
    evidence = weeks([(0.7, 0.77, 0.1, 0.2), (0.76, 0.77, 0.3, 0.4), (0.6, 0.77, 0.0, 0.0)])
    assert decide(evidence, day(0), spec, day(30)) == decide(evidence[::-1], day(0), spec, day(30))


@given(
    WEEK, st.lists(st.sampled_from([math.nan, math.inf, -math.inf]), min_size=4, max_size=4), st.booleans()
)
def test_a_number_that_is_not_finite_says_as_little_as_one_that_is_missing(make_spec, row, bad, served):
    names, spec = ("metric", "reference", "prediction_psi", "drift_share"), make_spec(retrain=RULES)
    missing = dict(zip(names, row, strict=True))
    broken = {name: bad[i] if missing[name] is None else missing[name] for i, name in enumerate(names)}
    one, other = (
        decide([week(70, **numbers, served=served)], day(40), spec, day(70)) for numbers in (missing, broken)
    )
    assert one == other


def test_a_champion_that_could_not_be_measured_is_neither_good_nor_bad_news_and_the_reason_is_told(make_spec):
    spec = make_spec(retrain={"metric_worse_by": 0.05})
    for evidence, said in (
        (replace(week(70, reference=0.77, served=True), rows=0), "is not known, no label is known yet"),
        (week(70, reference=0.77, served=True), "auc in partition 2020-03-09 is undefined, one class"),
        (week(70, metric=0.77, served=True), "auc at promotion is undefined, one class"),
    ):
        decision = decide([evidence], day(30), spec, day(70))
        assert (decision.retrain, decision.trigger) == (False, "none")
        assert said in decision.reason and "not held against the limit of 5.0%" in decision.reason


def test_what_the_cool_down_holds_back_is_said(make_spec):
    bad = [week(70, metric=0.5, reference=0.77)]
    assert "held back: auc 0.5000" in decide(bad, day(60), make_spec(retrain=RULES), day(70)).reason


def test_after_a_rejected_first_model_another_is_tried_when_the_cool_down_is_over(make_spec):
    unscored = [week(42)]
    assert decide(unscored, day(35), make_spec(), day(42)).trigger == "cool_down"
    again = decide(unscored, day(28), make_spec(), day(42))
    assert (again.retrain, again.trigger) == (True, "first_model")
    assert "no model serves in partition 2020-02-10" in again.reason
    watching = make_spec(retrain={"metric_worse_by": 0.05})
    assert "label" not in decide(unscored, day(28), watching, day(42)).reason


def test_what_so_few_rows_reach_by_chance_asks_for_nothing_and_too_few_rows_for_nothing_either(make_spec):
    spec = make_spec(retrain={"prediction_psi_above": 0.2, "drift_share_above": 0.5})
    noisy = week(70, metric=0.77, reference=0.77, prediction_psi=0.3, prediction_psi_chance=0.39)
    decision = decide([noisy], day(50), spec, day(70))
    assert (decision.retrain, decision.trigger) == (False, "none")
    assert "over the limit of 0.2 but within 0.390, which so few rows reach by chance" in decision.reason
    beyond = week(70, metric=0.77, reference=0.77, prediction_psi=0.4, prediction_psi_chance=0.39)
    assert decide([beyond], day(50), spec, day(70)).trigger == "prediction_drift"
    few = week(70, metric=0.77, reference=0.77, prediction_psi=None, drift_share=None)
    assert not decide([few], day(50), spec, day(70)).retrain


def test_scores_that_are_off_ask_for_a_recalibration_only_where_the_spec_says_so_and_nothing_asks_for_a_training(
    make_spec,
):
    off = [week(70, metric=0.5, reference=0.5, prediction_psi=0.1, drift_share=0.1, remedy="shift")]
    on, default = make_spec(retrain={**RULES, "recalibrate": True}), make_spec(retrain=RULES)
    asked = decide(off, day(50), on, day(70))
    assert (asked.retrain, asked.trigger) == (True, "calibration")
    assert asked.reason.startswith("scores in partition ") and "a shift of their log odds" in asked.reason
    assert decide(off, day(50), default, day(70)).trigger == "none"
    assert decide([replace(off[0], remedy="none")], day(50), on, day(70)).trigger == "none"
    drifted = [replace(off[0], prediction_psi=0.9)]
    assert decide(drifted, day(50), on, day(70)).trigger == "prediction_drift"
    assert decide(off, day(60), on, day(70)).trigger == "cool_down"


def test_a_recalibration_does_not_make_the_last_training_younger(make_spec):
    calm, spec = (
        [week(70, served=True)],
        make_spec(retrain={"cool_down_days": 14, "max_age_days": 56, "recalibrate": True}),
    )
    assert decide(calm, day(50), spec, day(70)).trigger == "none"
    assert decide(calm, day(50), spec, day(70), last_training=day(14)).trigger == "age"
    assert quiet_until(day(50), spec, served=True) == quiet_until(day(50), spec, served=False)


def test_whether_the_champion_is_recalibrated_is_no_part_of_a_spec_that_does_not_say_so(make_spec):
    assert "recalibrate" not in make_spec(retrain=RULES).model_dump()["retrain"]
    assert make_spec(retrain={**RULES, "recalibrate": True}).model_dump()["retrain"]["recalibrate"] is True
