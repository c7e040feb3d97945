"""Rolling out: what a roll-out's evidence is at this moment, what follows from it, and the transition that this is.

In a replay, and wherever labels judge, the rows of the partitions since the start are the requests: both versions score
them here, with the very bytes that serve. What only traffic can show comes from the endpoint's counts.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any

from mlops_assets.ml.rollout.decision import Decision, Evidence, decide
from mlops_assets.ml.rollout.sequential import Look
from mlops_assets.ml.rollout.steps import AB_TEST, stream_alpha
from mlops_assets.ml.rollout.streams import Stream
from mlops_assets.promotion.champion import champion_now
from mlops_assets.promotion.errors import FrozenError
from mlops_assets.promotion.holds import Holds
from mlops_assets.promotion.rollout_states import plan_of, rollout_lock, standing, steps_in, under_way
from mlops_assets.promotion.rollouts import SYSTEM, Act, followed, move, note
from mlops_assets.spec.base import duration_text
from mlops_assets.spec.model import ModelSpec
from mlops_assets.stages.now import now_of
from mlops_assets.stages.rollout_rows import Rows, basis_now, rows_since
from mlops_assets.stages.rollout_traffic import Counts, traffic_since
from resources.moments import read_moment
from resources.records.rollout import Counted, Rollout, TransitionKind
from resources.systems import Systems

TRANSITIONS: Mapping[str, TransitionKind] = {
    "advance": "advanced",
    "complete": "completed",
    "roll_back": "rolled_back",
    "ask": "asked",
}


@dataclass(frozen=True)
class Looked:
    """What one look came to: the state after it, what was decided and on which evidence; `decision` None where nothing was due."""

    state: Rollout
    decision: Decision | None = None
    evidence: Evidence | None = None


def advance(spec: ModelSpec, systems: Systems) -> Looked | None:
    """Look at the evidence of a model's roll-out and make the transition that follows; None where none is under way.

    A process that is killed at any point leaves a state from which the next look goes on.
    """
    with rollout_lock(systems.audit, spec.name):
        state = under_way(systems.lake, spec.name)
        if state is None:
            return None
        try:
            state = followed(systems, state)
        except FrozenError as frozen:
            return Looked(note(systems.lake, state, waits=str(frozen)))
        if state.phase != "running":
            return Looked(state)
        now = now_of(spec, systems.lake, systems.clock) or read_moment(state.since)
        if overtaken := _overtaken(systems, state):
            return Looked(move(systems, state, Act("aborted", SYSTEM, overtaken, now, {})))
        return _look(spec, systems, state, max(now, read_moment(state.since)))


def _overtaken(systems: Systems, state: Rollout) -> str | None:
    champion = champion_now(systems.tracking, systems.audit, state.model)
    if champion == state.champion:
        return None
    return f"version {champion} is champion by now, and this roll-out is beside version {state.champion}"


def _look(spec: ModelSpec, systems: Systems, state: Rollout, now: datetime) -> Looked:
    basis = basis_now(spec, systems.lake, state, now)
    if basis == state.basis and not _has_ended(state, now):
        evidence, noted = _remembered(state, now), {}
    else:
        rows = rows_since(spec, systems, state, now)
        evidence = evidence_of(spec, state, rows, now)
        noted = _noted(evidence, rows)
    traffic = traffic_since(systems, state)
    evidence = with_traffic(spec, state, evidence, traffic)
    decision = decide(plan_of(state), standing(state), evidence)
    noted |= {"waits": decision.why, "counts": traffic.counts}
    noted |= {"traffic": _counted(traffic.errors), "slow": _counted(traffic.slow)}
    kind = TRANSITIONS.get(decision.outcome)
    if kind == "completed" and (frozen := Holds.of(systems.audit).freeze(spec.name)):
        held = replace(decision, outcome="wait", kind="frozen", why=f"{decision.why}; and {frozen}")
        return Looked(note(systems.lake, state, **noted | {"waits": held.why}), held, evidence)
    if kind is None or (kind == "asked" and state.has_asked):
        return Looked(note(systems.lake, state, **noted), decision, evidence)
    step = Act(kind, SYSTEM, decision.why, now, numbers(decision, evidence))
    return Looked(move(systems, state, step, **noted), decision, evidence)


def _has_ended(state: Rollout, now: datetime) -> bool:
    """Whether it is an A/B test at its declared end, of which nobody was told yet."""
    step = standing(state).step
    over = now >= read_moment(state.since) + step.bake
    return step.name == AB_TEST and over and not state.has_asked


def _remembered(state: Rollout, now: datetime) -> Evidence:
    """What the newest look found, where there is nothing that it has not seen."""
    limits = plan_of(state).limits
    errors = Stream(**state.errors.model_dump())
    return Evidence(
        now=now,
        samples=errors.requests,
        errors=errors if limits.error_rate is not None else None,
        metric=Look(**state.look) if state.look and limits.metric_worse_by is not None else None,
    )


def _noted(evidence: Evidence, rows: Rows) -> dict[str, Any]:
    """What is kept of a look."""
    return {
        "looks": list(rows.looks),
        "look": asdict(evidence.metric) if evidence.metric else None,
        "errors": _counted(rows.errors),
        "basis": rows.basis,
        "dry_run": {name: list(pair) for name, pair in evidence.dry_run.items()},
    }


def _counted(stream: Stream) -> Counted:
    return Counted.model_validate(asdict(stream))


def with_traffic(spec: ModelSpec, state: Rollout, evidence: Evidence, traffic: Counts) -> Evidence:
    """The evidence with that of the endpoint: by the wall clock its requests count, by the data's they can only show a fault."""
    limits = plan_of(state).limits
    if limits.latency_ms is not None and traffic.slow.requests:
        evidence = replace(evidence, slow=traffic.slow)
    alpha = stream_alpha(plan_of(state), len(steps_in(state)))
    by_wall = spec.clock == "wall" and state.record is not None
    if by_wall:
        evidence = replace(evidence, samples=traffic.errors.requests)
    if limits.error_rate is None:
        return evidence
    at_fault = traffic.errors.shows(limits.error_rate, alpha)
    return replace(evidence, errors=traffic.errors) if by_wall or at_fault else evidence


def evidence_of(spec: ModelSpec, state: Rollout, rows: Rows, now: datetime) -> Evidence:
    """What the decision is asked with."""
    plan, step = plan_of(state), standing(state).step
    return Evidence(
        now=now,
        samples=rows.errors.requests,
        errors=rows.errors if plan.limits.error_rate is not None else None,
        metric=rows.look if plan.limits.metric_worse_by is not None and step.name != AB_TEST else None,
        final=rows.effect(plan.ab_test.metric) if _has_ended(state, now) and plan.ab_test else None,
        dry_run={name: rows.both(name) for name in plan.dry_run},
    )


def numbers(decision: Decision, evidence: Evidence) -> dict[str, Any]:
    """The evidence as an entry of the audit log holds it."""
    return {
        "decided by": decision.kind,
        "requests": evidence.samples,
        "errors": asdict(evidence.errors) if evidence.errors else None,
        "slow": asdict(evidence.slow) if evidence.slow else None,
        "metric": asdict(evidence.metric) if evidence.metric else None,
        "dry run": {name: list(pair) for name, pair in evidence.dry_run.items()},
    }


def timing(state: Rollout) -> str:
    """When the step that a roll-out is in can end at the earliest, and when a person is asked."""
    step, since = standing(state).step, read_moment(state.since)
    ends, asks = since + step.bake, since + plan_of(state).ask_after
    return (
        f"since {since:%Y-%m-%d %H:%M} UTC; bakes for {duration_text(step.bake)}, until {ends:%Y-%m-%d %H:%M} UTC; "
        f"{step.minimum_samples:,} requests are needed; a person is asked at {asks:%Y-%m-%d %H:%M} UTC"
    )
