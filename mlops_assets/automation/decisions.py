"""What a named person decides about a model, from the command line or as a job in the UI: approve, reject, roll back."""

from collections.abc import Callable, Mapping
from typing import Any, Literal

import dagster as dg

from mlops_assets.promotion.approval import by_a_person
from mlops_assets.promotion.champion import ChampionError, Rollback, roll_back
from mlops_assets.promotion.errors import FrozenError, HeldBackError
from mlops_assets.promotion.holds import Holds
from mlops_assets.promotion.records import account, data_now, recorded_calendar, recorded_clock
from mlops_assets.spec.model import ModelSpec
from mlops_assets.stages.deploying import deploy
from mlops_assets.stages.judging import attempt_name
from mlops_assets.stages.now import now_of
from mlops_assets.stages.training import challenger_name
from resources.audit.log import CHANGES, Audit, Entry
from resources.clock import Clock
from resources.compute.compute import Compute
from resources.lake.lake import Lake
from resources.records.attempts import Attempt, Challenger
from resources.records.documents import load_record
from resources.records.reader import RecordError
from resources.serving.ray_serve import Endpoint
from resources.systems import Systems
from resources.tracking.tracking import Tracking, TrackingError, Version

Verdict = Literal["approved", "rejected"]


class DecisionError(Exception):
    """A decision that is refused, with the rule it broke."""


def approve(spec: ModelSpec, systems: Systems, version: int, by: str, reason: str) -> Version:
    """Record a person's approval of a challenger that waits, then refit, promote and deploy it as a run would.

    Repeated after a crash it goes on where it was. Raises DecisionError where there is nothing to approve.
    """
    entry = decide(spec, systems, "approved", version, by, reason)
    lineage = {"reason": f"approved by {by}: {entry.why}", "launched_by": by}
    try:
        return deploy(spec, systems, lineage)[0]
    except (HeldBackError, ChampionError) as held:
        raise DecisionError(str(held)) from held


def decide(spec: ModelSpec, systems: Systems, verdict: Verdict, version: int, by: str, reason: str) -> Entry:
    """Record what an approver says about the challenger that waits; raises DecisionError where none does."""
    if not by_a_person(spec):
        raise DecisionError(
            f"{spec.name} has promotion.mode={spec.promotion.mode}: a challenger that passes is promoted by itself"
        )
    lake, audit = systems.lake, systems.audit
    if verdict == "approved" and (frozen := Holds.of(audit).freeze(spec.name)):
        raise DecisionError(f"{spec.name}: no version becomes champion: {frozen}")
    if by not in spec.promotion.approvers:
        raise DecisionError(
            f"{by!r} may not decide about {spec.name}; promotion.approvers: {', '.join(spec.promotion.approvers)}"
        )
    waiting = _waiting(spec, lake, audit, version)
    key = {"evaluation": waiting.evidence["evaluation"]}
    opposite: Verdict = "rejected" if verdict == "approved" else "approved"
    if said := audit.find(opposite, spec.name, key):
        raise DecisionError(f"{spec.name} version {version} was {opposite} by {said.by} already: {said.why}")
    return audit.record(
        verdict,
        spec.name,
        identity=key,
        by=by,
        why=reason or f"{verdict} without a reason",
        moment=now_of(spec, lake, systems.clock or Clock()),
        evidence={**key, "evaluated": waiting.hash, "verdict": waiting.why, "account": account()},
        version=version,
    )


def _waiting(spec: ModelSpec, lake: Lake, audit: Audit, version: int) -> Entry:
    """The evaluation that a decision about a version is about; refused where the version does not wait."""
    named = f"{spec.name} version {version}"
    newest = audit.latest(spec.name, ("evaluated",))
    judged = [e for e in audit.entries(spec.name, ("evaluated",)) if e.version == version]
    changes = list(audit.entries(spec.name, CHANGES))
    last = changes[-1] if changes else None
    if last and version in (last.version, last.evidence.get("challenger")):
        raise DecisionError(
            f"{named} is champion already" + f" (as version {last.version})" * (last.version != version)
        )
    if not judged or newest is None:
        raise DecisionError(f"{named} was never judged: materialize {spec.name}/evaluation first")
    entry = judged[-1]
    if not entry.evidence["passed"]:
        raise DecisionError(f"{named} did not pass the gate: {entry.why}")
    if newest.seq != entry.seq:
        raise DecisionError(
            f"{named} is superseded: version {newest.version} was judged after it: {newest.why}"
        )
    _refuse_another_challenger(spec, lake, entry)
    return entry


def _refuse_another_challenger(spec: ModelSpec, lake: Lake, entry: Entry) -> None:
    candidate = load_record(lake, Challenger, challenger_name(spec))
    if candidate is None or candidate.version != entry.version:
        raise DecisionError(
            f"{spec.name} version {entry.version} is superseded: {f'challenger {candidate.version}' if candidate else 'another challenger'} was trained after it"
        )
    attempt = load_record(lake, Attempt, attempt_name(spec, candidate.partition))
    if attempt is None or attempt.digest != entry.evidence["evaluation"]:
        raise DecisionError(
            f"{spec.name} version {entry.version}: the evaluation's record was changed after it was judged: "
            f"materialize {spec.name}/evaluation again"
        )


def go_back(systems: Systems, model: str, to: int | None, by: str, reason: str) -> Entry:
    """Roll a model back as of the data's now; returns the entry that made the earlier version champion."""
    if not by.strip() or not reason.strip():
        raise DecisionError(
            "a rollback is recorded with a name and a reason: give both, --by NAME --reason WHY"
        )
    audit = systems.audit
    recorded = recorded_calendar(audit, model)
    moments = [change.moment for change in audit.entries(model, CHANGES) if change.moment]
    if recorded is None or not moments:
        raise DecisionError(f"the audit log knows no champion of {model!r}: there is nothing to roll back to")
    by_wall = recorded_clock(audit, model) == "wall"
    now = systems.clock.now() if by_wall else data_now(*recorded, systems.lake)
    moment = max(moments[-1], now or moments[-1])
    try:
        wish = Rollback(model, to, moment, by, reason, account())
        return roll_back(systems, wish)
    except (ChampionError, FrozenError, TrackingError, RecordError) as error:
        raise DecisionError(str(error)) from error


class Decision(dg.Config):
    """A challenger that waits, and who says what about it."""

    model: str
    version: int
    by: str
    reason: str = ""


class Return(dg.Config):
    """A model to roll back: to the champion before, or to the version that is named."""

    model: str
    by: str
    reason: str
    to: int | None = None


def deployment_event(model: str, metadata: Mapping[str, Any]) -> dg.AssetMaterialization:
    """What the page of `<model>/deployment` shows of a decision; past predictions do not become stale by it."""
    tags = {"dagster/data_version": "endpoint"}
    return dg.AssetMaterialization(asset_key=[model, "deployment"], metadata=metadata, tags=tags)


def entry_metadata(entry: Entry) -> dict[str, Any]:
    """An entry of the audit log as metadata."""
    return {
        "champion": entry.version,
        "promotion": f"{entry.kind.replace('_', ' ')} by {entry.by}: {entry.why}",
        "audit entry": f"{entry.seq} {entry.hash}",
    }


def decision_jobs(specs: Callable[[], Mapping[str, ModelSpec]]) -> list[dg.JobDefinition]:
    """The jobs `approve_challenger`, `reject_challenger` and `roll_back_champion`, for every model there is."""

    @dg.op(name="approve", description="Promote and deploy a challenger that passed the gate and waits.")
    def approve_(
        context: dg.OpExecutionContext,
        config: Decision,
        lake: dg.ResourceParam[Lake],
        tracking: dg.ResourceParam[Tracking],
        endpoint: dg.ResourceParam[Endpoint],
        audit: dg.ResourceParam[Audit],
        compute: dg.ResourceParam[Compute],
        clock: dg.ResourceParam[Clock],
    ) -> None:
        systems = Systems(
            lake, tracking=tracking, endpoint=endpoint, audit=audit, compute=compute, clock=clock
        )
        spec = spec_named(specs(), config.model)
        with_words(approve, spec, systems, config.version, config.by, config.reason)
        entry = audit.latest(config.model, CHANGES)
        assert entry is not None
        context.log_event(deployment_event(config.model, entry_metadata(entry)))

    @dg.op(name="reject", description="Say no to a challenger that passed the gate and waits.")
    def reject_(
        config: Decision,
        lake: dg.ResourceParam[Lake],
        audit: dg.ResourceParam[Audit],
        clock: dg.ResourceParam[Clock],
    ) -> None:
        spec = spec_named(specs(), config.model)
        systems = Systems(lake, audit=audit, clock=clock)
        with_words(decide, spec, systems, "rejected", config.version, config.by, config.reason)

    @dg.op(name="roll_back", description="Make an earlier champion champion again, within seconds.")
    def roll_back_(
        context: dg.OpExecutionContext,
        config: Return,
        lake: dg.ResourceParam[Lake],
        tracking: dg.ResourceParam[Tracking],
        endpoint: dg.ResourceParam[Endpoint],
        audit: dg.ResourceParam[Audit],
        clock: dg.ResourceParam[Clock],
    ) -> None:
        systems = Systems(lake, tracking=tracking, endpoint=endpoint, audit=audit, clock=clock)
        entry = with_words(go_back, systems, config.model, config.to, config.by, config.reason)
        context.log_event(deployment_event(config.model, entry_metadata(entry)))

    ops = {"approve_challenger": approve_, "reject_challenger": reject_, "roll_back_champion": roll_back_}
    return [_job(name, op) for name, op in ops.items()]


def with_words(act: Callable[..., Any], *arguments: Any) -> Any:
    """Do it; what is refused ends the run with the refusal's own words instead of a traceback."""
    try:
        return act(*arguments)
    except DecisionError as error:
        raise dg.Failure(str(error), allow_retries=False) from error


def _job(name: str, op: Any) -> dg.JobDefinition:
    @dg.job(name=name, description=op.description, executor_def=dg.in_process_executor)
    def job() -> None:
        op()

    return job


def spec_named(specs: Mapping[str, ModelSpec], model: str) -> ModelSpec:
    """The spec of a model that somebody named in a run's configuration; ends the run where there is none."""
    if model not in specs:
        raise dg.Failure(f"model {model!r} does not exist; there are: {', '.join(sorted(specs))}")
    return specs[model]
