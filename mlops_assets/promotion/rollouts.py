"""What moves a roll-out: each transition is one conditional put of its state, which log, endpoint and registry follow.

Whoever finds a state brings the rest to what it says (`followed`), every part of that safe to repeat: a process that is
killed anywhere leaves a state that the next one goes on from, and ends in the same place.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from mlops_assets.promotion.champion import Change, champion_now, change_champion
from mlops_assets.promotion.errors import ChampionError, PromotionError
from mlops_assets.promotion.following import contents, recorded, with_model_file
from mlops_assets.promotion.history import ROLLOUT
from mlops_assets.promotion.holds import refuse_frozen
from mlops_assets.promotion.rollout_states import (
    busy,
    in_words,
    newest,
    put,
    rollout_lock,
    split_of,
    steps_in,
    under_way,
)
from mlops_assets.spec.rollout import RolloutPlan
from resources.audit.log import Audit, Entry, Kind
from resources.lake.lake import Lake
from resources.moments import read_moment
from resources.records.deployment import Deployment
from resources.records.rollout import Counted, Origin, Phase, Promise, Rollout, Transition, TransitionKind
from resources.records.split import split_in
from resources.serving.splits import split_file
from resources.systems import Systems

SYSTEM = "the roll-out itself"
ENTRIES: Mapping[TransitionKind, Kind] = {
    "started": "rollout_started",
    "advanced": "rollout_advanced",
    "asked": "rollout_asked",
    "paused": "rollout_paused",
    "resumed": "rollout_resumed",
    "completed": "rollout_completed",
    "promoted": "rollout_promoted",
    "rolled_back": "rollout_rolled_back",
    "aborted": "rollout_aborted",
}
PHASES: Mapping[TransitionKind, Phase] = {
    "completed": "completing",
    "promoted": "completing",
    "rolled_back": "rolling_back",
    "aborted": "aborting",
}
OVER: Mapping[Phase, Phase] = {
    "completing": "completed",
    "rolling_back": "rolled_back",
    "aborting": "aborted",
}


class RolloutError(PromotionError):
    """A roll-out that cannot be started, or a transition that it cannot make; says what stands in the way."""


@dataclass(frozen=True)
class Act:
    """A transition that somebody, or the evidence, asks for, at a moment by the model's clock."""

    kind: TransitionKind
    by: str
    why: str
    moment: datetime
    evidence: Mapping[str, Any]


def begin(
    systems: Systems,
    change: Change,
    record: Deployment | None,
    plan: RolloutPlan,
    origin: Origin = "promotion",
) -> Rollout:
    """Begin to give a version its requests in steps, instead of making the change of champion at once.

    What is under way for the same change is gone on with. Raises RolloutError where another roll-out is under way, or where
    another version is champion than the one that is to be replaced.
    """
    promise = Promise(kind=change.kind, by=change.by, why=change.why, evidence=dict(change.evidence))
    with rollout_lock(systems.audit, change.model):
        there = under_way(systems.lake, change.model)
        if there is not None and (there.version, there.promise, there.origin) == (
            change.version,
            promise,
            origin,
        ):
            return followed(systems, there)
        if there is not None:
            raise RolloutError(busy(there))
        _refuse_start(systems, change)
        refuse_frozen(systems.audit, change.model)
        first = _first(systems.lake, change, record, plan, origin, promise)
        start = Act("started", change.by, change.why, change.moment, {"plan": first.plan})
        put(systems.lake, state := _with(first, start), None)
        return followed(systems, state)


def act(systems: Systems, model: str, step: Act) -> Rollout:
    """Make the transition that a person asks for, of the roll-out that is under way, and follow it.

    Raises RolloutError where there is none or it cannot be made, and FrozenError where it completes and the model is on hold.
    """
    with rollout_lock(systems.audit, model):
        there = under_way(systems.lake, model)
        if there is None:
            raise RolloutError(
                f"{model} has no roll-out under way: `mlops rollout {model} start --version N` starts one"
            )
        state = followed(systems, there)
        if state.phase != "running":
            raise RolloutError(f"{model}: {in_words(state)}: nothing can be asked of it any more")
        if step.kind == "paused" and state.paused is not None:
            raise RolloutError(f"{model}: the roll-out is {state.paused}, already")
        if step.kind == "resumed" and state.paused is None:
            raise RolloutError(f"{model}: the roll-out is not paused")
        if step.kind == "promoted":
            refuse_frozen(systems.audit, model)
        return move(systems, state, step)


def move(systems: Systems, state: Rollout, step: Act, **noted: Any) -> Rollout:
    """Record a transition in the state, `noted` with it, and bring everything else there; the lock is held."""
    after = _with(state.model_copy(update=noted), step)
    put(systems.lake, after, state)
    return followed(systems, after)


def note(lake: Lake, state: Rollout, **noted: Any) -> Rollout:
    """Keep what a look found without a transition; nothing is written where nothing is new."""
    after = state.model_copy(update=noted)
    if after != state:
        put(lake, after, state)
    return after


def followed(systems: Systems, state: Rollout) -> Rollout:
    """Bring log, endpoint and registry to what the state says; returns the state once its phase is over.

    Safe to repeat. A completion that a hold forbids raises FrozenError and stays to be completed; one that another change
    of champion has overtaken ends as aborted.
    """
    for transition in state.transitions:
        _record(systems.audit, state, transition)
    if state.phase == "running":
        _divide(systems, state)
    if state.phase not in OVER:
        return state
    if state.phase == "completing" and (refused := _not_promoted(systems, state)):
        moment = read_moment(state.transitions[-1].moment)
        return move(systems, state, Act("aborted", SYSTEM, refused, moment, {}))
    _undivide(systems, state)
    put(systems.lake, over := state.model_copy(update={"phase": OVER[state.phase], "waits": ""}), state)
    return over


def _first(
    lake: Lake, change: Change, record: Deployment | None, plan: RolloutPlan, origin: Origin, promise: Promise
) -> Rollout:
    assert change.replaces is not None, "a roll-out replaces a champion"
    before, moment = newest(lake, change.model), change.moment.isoformat()
    return Rollout(
        model=change.model,
        number=before.number + 1 if before else 1,
        version=change.version,
        champion=change.replaces,
        origin=origin,
        plan=plan.model_dump(mode="json"),
        promise=promise,
        record=contents(record) if record else None,
        started=moment,
        since=moment,
    )


def _refuse_start(systems: Systems, change: Change) -> None:
    now = champion_now(systems.tracking, systems.audit, change.model)
    if now == change.version:
        raise RolloutError(f"{change.model}: version {change.version} is champion already")
    if now != change.replaces:
        raise RolloutError(
            f"{change.model}: the roll-out was to begin beside version {change.replaces}, and version {now} is champion by "
            "now: judge it against that one"
        )


def _with(state: Rollout, step: Act) -> Rollout:
    """The state after a transition."""
    transition = Transition(
        number=len(state.transitions),
        kind=step.kind,
        step=steps_in(state)[state.step].name,
        by=step.by,
        why=step.why,
        moment=step.moment.isoformat(),
        evidence=dict(step.evidence),
    )
    changes: dict[str, Any] = {"transitions": [*state.transitions, transition]}
    changes["phase"] = PHASES.get(step.kind, state.phase)
    if step.kind == "advanced":
        changes |= {"step": state.step + 1, "since": transition.moment, "has_asked": False}
        following = steps_in(state)[state.step + 1]
        ends = step.moment + following.bake
        changes |= {"waits": f"{following.name}: bakes until {ends:%Y-%m-%d %H:%M} {ends:%Z}"}
        changes |= {"errors": Counted(), "traffic": Counted(), "slow": Counted(), "basis": ""}
    if step.kind == "asked":
        changes["has_asked"] = True
    if step.kind in ("paused", "resumed"):
        changes["paused"] = f"paused by {step.by}: {step.why}" if step.kind == "paused" else None
    return state.model_copy(update=changes)


def _record(audit: Audit, state: Rollout, transition: Transition) -> Entry:
    """The entry of the audit log for a transition, written where it is not there."""
    facts = {
        ROLLOUT: state.id,
        "transition": transition.number,
        "step": transition.step,
        "champion": state.champion,
        "origin": state.origin,
    }
    return audit.record(
        ENTRIES[transition.kind],
        state.model,
        identity={ROLLOUT: state.id, "transition": transition.number},
        by=transition.by,
        why=transition.why,
        moment=read_moment(transition.moment),
        evidence={**transition.evidence, **facts},
        version=state.version,
    )


def _divide(systems: Systems, state: Rollout) -> None:
    """Offer the version and send it its share, unless that is how it stands."""
    if state.record is None:
        return
    endpoint, split = systems.endpoint, split_of(state)
    there = split_file(endpoint.looked(), state.model)
    if there.exists() and split_in(there) == split:
        return
    record = recorded(endpoint, state.record)
    with_model_file(systems.tracking, endpoint, record)
    endpoint.offer(record)
    endpoint.divide(split)


def _undivide(systems: Systems, state: Rollout) -> None:
    """Send everything to the champion; a version that did not become it can be asked no more."""
    if state.record is None:
        return
    systems.endpoint.undivide(state.model)
    if state.phase != "completing":
        systems.endpoint.take_back(state.model, state.version)


def _not_promoted(systems: Systems, state: Rollout) -> str | None:
    """Make the version champion: published first, so that nobody waits when its split ends. Why it is refused, if it is."""
    promise, last = state.promise, state.transitions[-1]
    by = last.by if last.kind == "promoted" else promise.by
    change = Change(
        promise.kind,
        state.model,
        state.version,
        state.champion,
        read_moment(last.moment),
        by,
        f"{last.why}; {promise.why}",
        {**promise.evidence, ROLLOUT: state.id},
    )
    record = recorded(systems.endpoint, state.record) if state.record is not None else None
    try:
        change_champion(systems, change, record)
    except ChampionError as refused:
        return str(refused)
    return None
