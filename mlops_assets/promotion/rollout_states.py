"""Where roll-outs lie and what their states say: one record each, replaced only by who has seen what is there."""

import json
from contextlib import AbstractContextManager
from dataclasses import dataclass

from mlops_assets.ml.rollout.decision import Standing
from mlops_assets.ml.rollout.steps import Step, steps_of
from mlops_assets.spec.rollout import RolloutPlan
from resources.audit.log import Audit
from resources.lake.lake import Lake
from resources.moments import read_moment
from resources.records.reader import read_record
from resources.records.rollout import Rollout
from resources.records.split import Split
from resources.storage.errors import ConflictError
from resources.storage.storage import Stored


@dataclass(frozen=True)
class Held:
    """A state as it lies in the store."""

    state: Rollout
    stored: Stored


def rollout_lock(audit: Audit, model: str, wait: bool = True) -> AbstractContextManager[None]:
    """Held by whoever moves a model's roll-out on, until log, endpoint and registry have followed."""
    return audit.lock(f"rollout-{model}", wait)


def rollouts_of(lake: Lake, model: str) -> list[Rollout]:
    """Every roll-out of a model, oldest first."""
    states = (_held(lake, model, int(name)) for name in lake.records(_folder(model)))
    return [held.state for held in states if held]


def newest(lake: Lake, model: str) -> Rollout | None:
    """The newest roll-out of a model; None where there never was one."""
    names = lake.records(_folder(model))
    held = _held(lake, model, int(names[-1])) if names else None
    return held.state if held else None


def under_way(lake: Lake, model: str) -> Rollout | None:
    """The roll-out of a model that has not ended; None where there is none."""
    state = newest(lake, model)
    return state if state is not None and not state.ended else None


def put(lake: Lake, state: Rollout, before: Rollout | None) -> None:
    """Replace exactly the state before (None: there was none of this number); ConflictError where somebody was faster."""
    held = _held(lake, state.model, state.number)
    if (held and held.stored.content) != (before and _text(before)):
        raise ConflictError(f"{state.id}: somebody else has moved this roll-out on meanwhile; look again")
    lake.storage.put(_name(state.model, state.number), _text(state), held.stored if held else None)


def plan_of(state: Rollout) -> RolloutPlan:
    """The plan that a roll-out goes by, whatever the spec says by now."""
    return RolloutPlan.model_validate(state.plan)


def steps_in(state: Rollout) -> tuple[Step, ...]:
    """The steps that it goes through."""
    return steps_of(plan_of(state), state.origin == "ab_test")


def standing(state: Rollout) -> Standing:
    """Where it stands, as the decision takes it."""
    return Standing(steps_in(state), state.step, read_moment(state.since), state.paused)


def split_of(state: Rollout, number: int | None = None) -> Split:
    """How the requests are divided in a step (from 0), by default the one that the roll-out is in."""
    step, plan = steps_in(state)[state.step if number is None else number], plan_of(state)
    return Split(
        name=state.model,
        version=str(state.version),
        share=step.share,
        by=plan.by,
        salt=state.id,
        deadline_ms=plan.deadline_ms,
        shadow=step.shadow,
        shadow_cpu=step.cpu or 1.0,
    )


def in_words(state: Rollout) -> str:
    """Where a roll-out stands, in a clause."""
    steps = steps_in(state)
    running = f"in step {state.step + 1} of {len(steps)}, {steps[state.step].name}"
    where = running if state.phase == "running" else state.phase.replace("_", " ")
    held = f", {state.paused}" if state.paused and not state.ended else ""
    return f"the roll-out of version {state.version} in place of version {state.champion} is {where}{held}"


def busy(state: Rollout) -> str:
    """That a roll-out is under way and what ends it, in words."""
    commands = f"`mlops rollout {state.model} abort` ends it, `promote` completes it now"
    return f"{state.model}: {in_words(state)}; {commands}"


def _folder(model: str) -> str:
    return f"{model}/rollouts"


def _name(model: str, number: int) -> str:
    return f"{_folder(model)}/{number:06d}.json"


def _text(state: Rollout) -> bytes:
    return json.dumps(state.document(), indent=1, sort_keys=True).encode()


def _held(lake: Lake, model: str, number: int) -> Held | None:
    name = _name(model, number)
    stored = lake.storage.load_or_none(name)
    if stored is None:
        return None
    return Held(read_record(Rollout, stored.content, lake.storage.at(name)), stored)
