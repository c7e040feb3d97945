"""The sensor that looks at every model and every failed run, and tells people of what is wrong.

What a tick finds lies in the outbox before anybody is told, so a tick that is killed loses nothing. Failed runs are
looked for by the time of their end, back over the last look: a run-failure sensor moves its cursor on where telling fails.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any

import dagster as dg

from mlops_assets.automation.looked import LOOKS
from mlops_assets.kit.operations import MOST_RUNS, Work, repeated_since
from mlops_assets.promotion.records import launched_by
from mlops_assets.spec.model import ModelSpec
from mlops_assets.stages.alerting import Findings, look_at_endpoint, look_at_models, settle
from resources.addresses import shown
from resources.alerts.alert import Alert
from resources.alerts.outbox import Alerts
from resources.audit.log import Audit
from resources.clock import Clock, wall
from resources.lake.lake import Lake
from resources.moments import read_moment
from resources.pages import Pages
from resources.records.alerts import AlertState, Fact
from resources.records.standing import Standing
from resources.serving.log import ServingLogResource
from resources.serving.problems import problems_at
from resources.serving.ray_serve import Endpoint
from resources.settings import settings
from resources.systems import Systems

EVERY_S = 60
LOOKED_BACK = timedelta(days=1)
LONGEST_REASON = 500
LONGEST = timedelta(days=7)
"""After so long a failure that nobody has repeated is no news any more."""

RUN, ASSET_JOB = "run_failed", "__ASSET_JOB"


def alert_sensor(specs: Callable[[], Mapping[str, ModelSpec]]) -> dg.SensorDefinition:
    """`send_alerts`: no runs; raises, resolves and sends alerts."""

    @dg.sensor(
        name="send_alerts",
        minimum_interval_seconds=EVERY_S,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Raise an alert on what is wrong with a model, its data, its endpoint or a run, and give it to the routes of "
        "`MLOPS_ALERTS`.",
    )
    def sensor(
        context: dg.SensorEvaluationContext,
        lake: dg.ResourceParam[Lake],
        endpoint: dg.ResourceParam[Endpoint],
        audit: dg.ResourceParam[Audit],
        clock: dg.ResourceParam[Clock],
        serving_log: dg.ResourceParam[ServingLogResource],
        pages: dg.ResourceParam[Pages],
        alerts: dg.ResourceParam[Alerts],
    ) -> dg.SkipReason:
        if who := lake.worked_on():
            return dg.SkipReason(f"{who} is at work on this state alone: what it passes through is no news")
        systems = Systems(
            lake, endpoint=endpoint, audit=audit, clock=clock, serving_log=serving_log, pages=pages
        )
        looked = LOOKS.take(lake)
        return dg.SkipReason(tell(context.instance, alerts, systems, specs(), wall(), looked))

    return sensor


def tell(
    instance: dg.DagsterInstance,
    alerts: Alerts,
    systems: Systems,
    specs: Mapping[str, ModelSpec],
    now: datetime,
    looked: Mapping[str, Standing] = MappingProxyType({}),
) -> str:
    """One look at everything, and what was sent, in a sentence; how models stand that were `looked` at a moment ago is not asked again."""
    policy = alerts.policy
    findings = look_at_models(systems, specs, policy.limits, looked)
    problems = problems_at(settings().serve_address)
    if problems is not None:
        findings += look_at_endpoint(systems, specs, problems)
    findings += Findings([*failed_runs(instance, systems.pages, specs, now)])
    raised, over = settle(alerts, findings, now, policy)
    over += resolve_runs(instance, alerts, now)
    lines = alerts.send_due(now)
    return "; ".join([f"{raised} alerts hold, {over} are over", *lines])


def failed_runs(
    instance: dg.DagsterInstance, pages: Pages, specs: Mapping[str, ModelSpec], now: datetime
) -> Iterator[Alert]:
    """Runs that failed within the last day and have not succeeded since, one alert for each job and partition."""
    failing = dg.RunsFilter(statuses=[dg.DagsterRunStatus.FAILURE], updated_after=now - LOOKED_BACK)
    for record in instance.get_run_records(failing, limit=MOST_RUNS):
        if not _succeeded_since(instance, record):
            yield _of_run(instance, pages, specs, record.dagster_run)


def resolve_runs(instance: dg.DagsterInstance, alerts: Alerts, now: datetime) -> int:
    """Note which failures are over: the same succeeded since, the run was removed, or it is seven days old; how many."""
    open_ = [state for state in alerts.states() if state.kind == RUN and state.resolved is None]
    over = [state for state in open_ if _is_over(instance, state, now)]
    for state in over:
        alerts.resolve(state.id, now)
    return len(over)


def _is_over(instance: dg.DagsterInstance, state: AlertState, now: datetime) -> bool:
    record = instance.get_run_record_by_id(str(state.evidence["run"]))
    return record is None or now - read_moment(state.raised) > LONGEST or _succeeded_since(instance, record)


def _succeeded_since(instance: dg.DagsterInstance, record: dg.RunRecord) -> bool:
    """Whether a later run of the same job, partition and assets did what this one was to do; one that is at it did not yet."""
    return repeated_since(instance, record, [dg.DagsterRunStatus.SUCCESS])


def _of_run(
    instance: dg.DagsterInstance, pages: Pages, specs: Mapping[str, ModelSpec], run: dg.DagsterRun
) -> Alert:
    work = Work.of(run)
    partition = " to ".join(dict.fromkeys(work.partition))
    assets = sorted(key.to_user_string() for key in work.assets)
    named = run.job_name if run.job_name != ASSET_JOB else ", ".join(assets[:3]) or "assets"
    numbers: dict[str, Fact] = {"run": run.run_id, "job": run.job_name, "launched by": launched_by(run.tags)}
    numbers |= {"partition": partition} if partition else {}
    return Alert(
        RUN,
        named,
        f"{partition} {'/'.join(assets)}".strip() or "whole",
        f"{named}{f' of {partition}' if partition else ''} failed",
        numbers | {"why": _why(instance, run)},
        pages.run_page(run.run_id),
        _owner(specs, run.job_name, assets),
    )


def _why(instance: dg.DagsterInstance, run: dg.DagsterRun) -> str:
    """Step and message of the first failure, without secrets."""
    kinds = {dg.DagsterEventType.STEP_FAILURE, dg.DagsterEventType.RUN_FAILURE}
    for record in instance.get_records_for_run(run.run_id, of_type=kinds, limit=1).records:
        event = record.event_log_entry.dagster_event
        data: Any = event and event.event_specific_data
        error = data and data.error
        cause = error and (error.cause or error)
        text = cause.message.strip() if cause else str(event.message if event else "")
        step = f"{event.step_key}: " if event and event.step_key else ""
        return shown(f"{step}{text}")[:LONGEST_REASON]
    return "the run's log says nothing"


def _owner(specs: Mapping[str, ModelSpec], job: str, assets: Sequence[str]) -> str | None:
    """Who answers for the model that a run worked on, by its job or the first part of its assets."""
    models = {asset.partition("/")[0] for asset in assets}
    return next(
        (spec.owner for name, spec in specs.items() if job.startswith(f"{name}_") or name in models), None
    )
