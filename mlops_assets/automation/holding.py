"""Pause, resume and retire as jobs in the UI, and what the page of a deployment shows of them."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import dagster as dg

from mlops_assets.automation.decisions import deployment_event
from mlops_assets.promotion.holds import HoldError, Holds, pause, reinstate, resume, retire
from mlops_assets.spec.model import ModelSpec
from resources.audit.log import Audit, Entry
from resources.serving.ray_serve import Endpoint

Acts = Callable[[Audit, Endpoint, Any, str, str], tuple[Entry, bool]]
SAID = {
    "paused": "is paused: nothing is retrained or promoted; scoring and reports go on",
    "resumed": "goes on",
    "retired": "is retired: it answers no request, and its sensors rest; everything is kept",
    "reinstated": "is back: it answers, and its sensors look again",
}


class Hold(dg.Config):
    """Who decides and why; `model` empty means all models."""

    by: str
    why: str
    model: str = ""


class Retirement(dg.Config):
    """The model that goes, or with `undo` comes back."""

    model: str
    by: str
    why: str
    undo: bool = False


def in_words(entry: Entry, new: bool) -> str:
    """What was decided, or that it was so already."""
    already = "" if new else " already"
    who = f"by {entry.by} at {entry.at:%Y-%m-%d %H:%M:%S} UTC, entry {entry.seq}"
    return f"{entry.model or 'everything'} {SAID[entry.kind]} ({who}{already}): {entry.why}"


def hold_events(
    audit: Audit, entry: Entry, new: bool, models: Sequence[str]
) -> list[dg.AssetMaterialization]:
    """What the pages of `<model>/deployment` show, of one model or of all."""
    holds = Holds.of(audit)
    shown = [entry.model] if entry.model else sorted(models)
    said = {"decision": in_words(entry, new), "audit entry": f"{entry.seq} {entry.hash}"}
    return [deployment_event(m, {"on hold": holds.freeze(m) or "no", **said}) for m in shown]


def hold_jobs(specs: Callable[[], Mapping[str, ModelSpec]]) -> list[dg.JobDefinition]:
    """The jobs `pause_models`, `resume_models` and `retire_model`, for every model there is."""

    def act(context: Any, audit: Audit, endpoint: Endpoint, acts: Acts, config: Any) -> None:
        _refuse_unknown(specs(), config.model)
        try:
            entry, new = acts(audit, endpoint, config.model or None, config.by, config.why)
        except HoldError as error:
            raise dg.Failure(str(error), allow_retries=False) from error
        context.log.info(in_words(entry, new))
        for event in hold_events(audit, entry, new, list(specs())):
            context.log_event(event)

    @dg.op(
        name="pause", description="Freeze retraining and promotion of a model, or of all where none is named."
    )
    def pause_(
        context: dg.OpExecutionContext,
        config: Hold,
        audit: dg.ResourceParam[Audit],
        endpoint: dg.ResourceParam[Endpoint],
    ) -> None:
        act(context, audit, endpoint, pause, config)

    @dg.op(name="resume", description="Lift a pause, of a model, or of all where none is named.")
    def resume_(
        context: dg.OpExecutionContext,
        config: Hold,
        audit: dg.ResourceParam[Audit],
        endpoint: dg.ResourceParam[Endpoint],
    ) -> None:
        act(context, audit, endpoint, resume, config)

    @dg.op(
        name="retire",
        description="Take a model out of service and keep all that is known of it; or bring it back.",
    )
    def retire_(
        context: dg.OpExecutionContext,
        config: Retirement,
        audit: dg.ResourceParam[Audit],
        endpoint: dg.ResourceParam[Endpoint],
    ) -> None:
        act(context, audit, endpoint, reinstate if config.undo else retire, config)

    ops = {"pause_models": pause_, "resume_models": resume_, "retire_model": retire_}
    return [_job(name, op) for name, op in ops.items()]


def _refuse_unknown(specs: Mapping[str, ModelSpec], model: str) -> None:
    if model and model not in specs:
        raise dg.Failure(f"model {model!r} does not exist; there are: {', '.join(sorted(specs))}")


def _job(name: str, op: Any) -> dg.JobDefinition:
    @dg.job(name=name, description=op.description, executor_def=dg.in_process_executor)
    def job() -> None:
        op()

    return job
