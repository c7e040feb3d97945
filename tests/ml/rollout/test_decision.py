"""The decision: total over all evidence, no success without traffic, inconclusive apart, and dry runs that decide nothing."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_assets.ml.judging.paired import Effect
from mlops_assets.ml.rollout.decision import Evidence, Standing, decide
from mlops_assets.ml.rollout.sequential import Look
from mlops_assets.ml.rollout.steps import METRIC_PART, metric_schedule, steps_of, stream_alpha
from mlops_assets.ml.rollout.streams import Stream
from mlops_assets.spec.gate import Gate
from mlops_assets.spec.rollout import RolloutPlan

START = datetime(2026, 3, 2, tzinfo=UTC)
PAIRED = {"answers_influence_labels": False}
SPLIT = {"answers_influence_labels": True, "judge": "split", "by": ["customer"], "shadow": None}
LIMITS = st.fixed_dictionaries(
    {
        "error_rate": st.sampled_from([None, 0.01]),
        "latency_ms": st.sampled_from([None, 50.0]),
        "metric_worse_by": st.sampled_from([0.0, 0.002]),
        "metric_tolerance": st.sampled_from([None, 0.01]),
    }
)
plans = st.builds(
    lambda judge, limits, canary: RolloutPlan.model_validate(judge | {"limits": limits, "canary": canary}),
    st.sampled_from([PAIRED, SPLIT]),
    LIMITS,
    st.sampled_from([[], [{"share": 0.05}], [{"share": 0.05}, {"share": 0.5}]]),
)
counts = st.integers(0, 3000).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n)))
streams = st.builds(
    lambda ours, theirs, against: Stream(*ours, *theirs, against), counts, counts, st.floats(-50, 50)
)
bounds = st.none() | st.floats(-0.1, 0.1)


@st.composite
def looks(draw) -> Look:
    edges = sorted(draw(st.tuples(*[st.floats(-0.1, 0.1)] * 3)))
    known, sure = draw(st.booleans()), draw(st.booleans())
    gain = edges[1] if known else None
    low, high = (edges[0], edges[2]) if known and sure else (None, None)
    return Look("auc", draw(st.integers(1, 40)), 28, 900, 0.7, 0.7, gain, low, high)


evidences = st.builds(
    Evidence,
    now=st.floats(0, 40).map(lambda days: START + timedelta(days=days)),
    samples=st.sampled_from([0, 1, 99, 100, 5000]),
    errors=st.none() | streams,
    slow=st.none() | streams,
    metric=st.none() | looks(),
)


@st.composite
def cases(draw) -> tuple[RolloutPlan, Standing, Evidence]:
    plan = draw(plans)
    steps = steps_of(plan)
    paused = draw(st.sampled_from([None, "paused by ada: look first"]))
    state = Standing(steps, draw(st.integers(0, len(steps) - 1)), START, paused)
    return plan, state, draw(evidences)


@given(cases())
def test_there_is_a_decision_with_a_sentence_for_every_plan_state_and_evidence(case):
    plan, state, evidence = case
    decision = decide(plan, state, evidence)
    assert decision.why.startswith(state.step.name) and decision == decide(plan, state, evidence)


@given(cases())
def test_no_step_ends_well_before_its_bake_without_its_samples_or_while_it_is_paused(case):
    plan, state, evidence = case
    if decide(plan, state, evidence).outcome in ("advance", "complete"):
        assert evidence.now >= state.since + state.step.bake
        assert evidence.samples >= state.step.minimum_samples and state.paused is None


@given(cases())
def test_no_traffic_is_never_success_and_a_person_is_asked_after_the_limit(case):
    plan, state, evidence = case
    quiet = replace(evidence, samples=0, errors=None, slow=None, metric=None)
    decision = decide(plan, replace(state, paused=None), quiet)
    if quiet.now < START + state.step.bake:
        assert decision.outcome == "continue"
    else:
        waits = quiet.now < START + plan.ask_after
        assert (decision.outcome, decision.kind) == ("wait" if waits else "ask", "no traffic")
        assert "no request has been scored" in decision.why


@given(cases())
def test_a_step_never_goes_on_past_a_loss_that_is_shown_or_a_tolerance_that_is_not_ruled_out(case):
    plan, state, evidence = case
    decision, look, limits = decide(plan, state, evidence), evidence.metric, plan.limits
    if look is not None and limits.metric_worse_by is not None and look.shows_loss(limits.metric_worse_by):
        assert decision.outcome == "roll_back"
    judged = plan.judge == "paired_shadow" or state.step.answers
    if decision.outcome in ("advance", "complete") and judged:
        assert look is not None and look.gain is not None
        assert limits.metric_tolerance is None or look.rules_out(limits.metric_tolerance)


@given(cases())
def test_a_roll_back_has_a_limit_that_is_shown_to_be_broken_and_a_pause_does_not_stop_it(case):
    plan, state, evidence = case
    decision = decide(plan, state, evidence)
    alpha, limits = stream_alpha(plan, len(state.steps)), plan.limits
    broken = [
        evidence.errors is not None
        and limits.error_rate is not None
        and evidence.errors.shows(limits.error_rate, alpha),
        evidence.slow is not None and evidence.slow.shows(limits.slow_share, alpha),
        evidence.metric is not None and evidence.metric.shows_loss(limits.metric_worse_by or 0.0),
    ]
    assert (decision.outcome == "roll_back") == any(broken)


@given(cases(), st.dictionaries(st.sampled_from(["log_loss", "brier"]), st.tuples(bounds, bounds)))
def test_a_dry_run_decides_nothing(case, dry_run):
    plan, state, evidence = case
    assert decide(plan, state, replace(evidence, dry_run=dry_run)) == decide(plan, state, evidence)


GOOD = Evidence(
    START + timedelta(days=3),
    samples=5000,
    errors=Stream(5000, 0, 5000, 0),
    slow=Stream(5000, 0, 5000, 0),
    metric=Look("auc", 20, 28, 900, 0.7, 0.7, 0.001, -0.001, 0.003),
)


@given(plans, st.data())
def test_a_good_version_goes_on_and_completes_at_the_last_step_and_only_there(plan, data):
    steps = steps_of(plan)
    at = data.draw(st.integers(0, len(steps) - 1))
    outcome = decide(plan, Standing(steps, at, START), GOOD).outcome
    assert outcome == ("complete" if at == len(steps) - 1 else "advance")


@given(plans, st.data())
def test_what_is_missing_is_named_and_is_all_that_keeps_a_good_version_back(plan, data):
    steps = steps_of(plan)
    state = Standing(steps, data.draw(st.integers(0, len(steps) - 1)), START)
    kept_back = {
        "bake": (replace(GOOD, now=START + state.step.bake - timedelta(seconds=1)), state),
        "samples": (replace(GOOD, samples=state.step.minimum_samples - 1), state),
        "no traffic": (replace(GOOD, samples=0), state),
        "paused": (GOOD, replace(state, paused="paused by ada: look first")),
    }
    if plan.judge == "paired_shadow" or state.step.answers:
        kept_back["labels"] = replace(GOOD, metric=None), state
    for kind, (evidence, at) in kept_back.items():
        decision = decide(plan, at, evidence)
        assert decision.kind == kind and decision.outcome in ("wait", "continue")


def test_inconclusive_is_an_outcome_of_its_own_and_asks_at_once_when_all_evidence_is_in():
    plan = RolloutPlan.model_validate(PAIRED | {"limits": {"metric_tolerance": 0.005}})
    state = Standing(steps_of(plan), 0, START)
    look = Look("auc", 20, 28, 900, 0.7, 0.7, 0.001, -0.02, 0.02)
    evidence = Evidence(START + timedelta(days=2), samples=500, metric=look)
    decision = decide(plan, state, evidence)
    assert (decision.outcome, decision.kind) == ("wait", "inconclusive")
    assert "a loss of 0.005 is neither shown nor ruled out" in decision.why
    last = decide(plan, state, replace(evidence, metric=replace(look, clusters=28)))
    assert last.outcome == "ask" and "all planned evidence is in" in last.why


@pytest.mark.parametrize(
    ("gain", "kind"), [(0.3, "better"), (-0.3, "worse"), (0.01, "inconclusive"), (None, "inconclusive")]
)
def test_an_ab_test_is_looked_at_once_at_its_end_and_a_person_decides(gain, kind):
    test = {"metric": "auc", "ends_after": "7d"}
    plan = RolloutPlan.model_validate(SPLIT | {"ab_test": test})
    state = Standing(steps_of(plan, ab_test=True), 0, START)
    effect = Effect("auc", 0.8, 0.7, gain, 0.1, 10, 7, 700)
    before = decide(plan, state, Evidence(START + timedelta(days=6), 900, final=effect))
    assert before.outcome == "continue"
    after = decide(plan, state, Evidence(START + timedelta(days=7), 900, final=effect))
    assert (after.outcome, after.kind) == ("ask", kind)


@given(plans)
def test_the_rate_is_divided_among_all_that_can_roll_back_and_never_exceeded(plan):
    gate = Gate(metric="auc", floors={"auc": 0.5})
    steps = steps_of(plan)
    streams = (plan.limits.error_rate is not None) + (plan.limits.latency_ms is not None)
    whole = metric_schedule(plan, gate).alpha + streams * len(steps) * stream_alpha(plan, len(steps))
    assert whole == pytest.approx(plan.false_rollbacks) and METRIC_PART > 1
