"""The sensor that looks at a model's roll-out, and the jobs by which people start and steer one in the UI."""

from collections.abc import Callable, Mapping
from typing import Any

import dagster as dg

from mlops_assets.automation.decisions import deployment_event, spec_named
from mlops_assets.kit.rollout_page import on_the_deployment, rollout_event
from mlops_assets.promotion.errors import ChampionError, PromotionError
from mlops_assets.promotion.rollout_states import in_words, newest, under_way
from mlops_assets.spec.model import ModelSpec
from mlops_assets.stages.rolling_out import advance
from mlops_assets.stages.rollout_page import waits_for
from mlops_assets.stages.rollout_start import ask, start
from resources.audit.log import Audit
from resources.clock import Clock
from resources.lake.lake import Lake
from resources.records.rollout import Rollout, TransitionKind
from resources.serving.log import ServingLogResource
from resources.serving.ray_serve import Endpoint
from resources.settings import settings
from resources.storage.errors import ConflictError, LeaseHeldError
from resources.systems import Systems
from resources.tracking.tracking import Tracking

ACTS: Mapping[str, TransitionKind] = {
    "pause": "paused",
    "resume": "resumed",
    "promote": "promoted",
    "abort": "aborted",
}
SAID = {
    "pause": "Hold a roll-out in the step that it is in; it is still rolled back where it is shown to be worse.",
    "resume": "Let a paused roll-out go on.",
    "promote": "Make the version of a roll-out champion now, whatever the evidence says.",
    "abort": "End a roll-out; the champion has all requests within seconds.",
}


def rollout_name(model: str) -> str:
    """The name of the sensor of a model's roll-outs."""
    return f"advance_{model}_rollout"


def rollout_sensor(spec: ModelSpec) -> dg.SensorDefinition:
    """`advance_<model>_rollout`: no runs; one look at the evidence of the roll-out that is under way, and its transition.

    It keeps no cursor: where a roll-out stands follows from its state, so one that was killed goes on at the next tick.
    """

    @dg.sensor(
        name=rollout_name(spec.name),
        minimum_interval_seconds=settings().look_every_s,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Look at the evidence of the roll-out that is under way, and advance it, complete it or roll it back.",
    )
    def sensor(
        context: dg.SensorEvaluationContext,
        lake: dg.ResourceParam[Lake],
        tracking: dg.ResourceParam[Tracking],
        endpoint: dg.ResourceParam[Endpoint],
        audit: dg.ResourceParam[Audit],
        clock: dg.ResourceParam[Clock],
        serving_log: dg.ResourceParam[ServingLogResource],
    ) -> dg.SkipReason:
        if who := lake.worked_on():
            return dg.SkipReason(f"{who} is at work on this state alone, and looks by itself")
        before = under_way(lake, spec.name)
        if before is None:
            return dg.SkipReason("no roll-out is under way")
        systems = Systems(
            lake, tracking=tracking, endpoint=endpoint, audit=audit, clock=clock, serving_log=serving_log
        )
        try:
            looked = advance(spec, systems)
        except (LeaseHeldError, ConflictError) as busy:
            return dg.SkipReason(f"somebody else moves the roll-out on: {busy}")
        state = looked.state if looked else before
        if state != before:
            for event in events_of(lake, state):
                context.instance.report_runless_asset_event(event)
        return dg.SkipReason(f"{in_words(state)}. It waits for {waits_for(state)}")

    return sensor


def events_of(lake: Lake, state: Rollout) -> list[dg.AssetMaterialization]:
    """What the pages of `<model>/rollout` and `<model>/deployment` show of a state."""
    return [rollout_event(state), deployment_event(state.model, on_the_deployment(lake, state.model))]


class Start(dg.Config):
    """A registered version that is to be rolled out by its model's plan, or with `ab_test` by the A/B test in it."""

    model: str
    version: int
    by: str
    why: str
    ab_test: bool = False


class Steer(dg.Config):
    """The model whose roll-out is steered, and by whom and why."""

    model: str
    by: str
    why: str


def rollout_jobs(specs: Callable[[], Mapping[str, ModelSpec]]) -> list[dg.JobDefinition]:
    """The jobs `start_rollout`, `pause_rollout`, `resume_rollout`, `promote_rollout` and `abort_rollout`."""

    @dg.op(name="start_the_rollout", description="Roll a registered version out by its model's plan.")
    def start_(
        context: dg.OpExecutionContext,
        config: Start,
        lake: dg.ResourceParam[Lake],
        tracking: dg.ResourceParam[Tracking],
        endpoint: dg.ResourceParam[Endpoint],
        audit: dg.ResourceParam[Audit],
        clock: dg.ResourceParam[Clock],
    ) -> None:
        systems = Systems(lake, tracking=tracking, endpoint=endpoint, audit=audit, clock=clock)
        spec = spec_named(specs(), config.model)
        _tell(
            context,
            lake,
            _with_words(start, spec, systems, config.version, config.by, config.why, config.ab_test),
        )

    def steering(name: str) -> Any:
        @dg.op(name=f"{name}_the_rollout", description=SAID[name])
        def steer(
            context: dg.OpExecutionContext,
            config: Steer,
            lake: dg.ResourceParam[Lake],
            tracking: dg.ResourceParam[Tracking],
            endpoint: dg.ResourceParam[Endpoint],
            audit: dg.ResourceParam[Audit],
            clock: dg.ResourceParam[Clock],
        ) -> None:
            systems = Systems(lake, tracking=tracking, endpoint=endpoint, audit=audit, clock=clock)
            spec = spec_named(specs(), config.model)
            _tell(context, lake, _with_words(ask, spec, systems, ACTS[name], config.by, config.why))

        return steer

    ops = {"start": start_, **{name: steering(name) for name in ACTS}}
    return [_job(f"{name}_rollout", op) for name, op in ops.items()]


def _tell(context: dg.OpExecutionContext, lake: Lake, state: Rollout) -> None:
    context.log.info(in_words(state))
    for event in events_of(lake, newest(lake, state.model) or state):
        context.log_event(event)


def _with_words(act: Callable[..., Rollout], *arguments: Any) -> Rollout:
    """Do it; what is refused ends the run with the refusal's own words instead of a traceback."""
    try:
        return act(*arguments)
    except (PromotionError, ChampionError) as error:
        raise dg.Failure(str(error), allow_retries=False) from error


def _job(name: str, op: Any) -> dg.JobDefinition:
    @dg.job(name=name, description=op.description, executor_def=dg.in_process_executor)
    def job() -> None:
        op()

    return job
