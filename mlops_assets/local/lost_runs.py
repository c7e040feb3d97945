"""Runs that hold a place among those that may run at once, although nobody works on them: after everything was killed at once.

Dagster looks after runs that have begun. One that was handed over and has not begun when its launcher is killed keeps its
place until it times out, five minutes later; where one run may run at once nothing else does until then.
"""

import time

import dagster as dg
from dagster import DagsterInstance, DagsterRunStatus, RunsFilter

from mlops_assets.local.launcher import WarmRunLauncher
from mlops_assets.local.worker import LAUNCHER_TAG, Worker

UNSAID_S = 60.0
"""After so many seconds a run that names no launcher was not taken by one: it is killed before it has said so."""

LOOK_EVERY_S = 10


def lost_runs_sensor() -> dg.SensorDefinition:
    """`end_runs_that_nobody_works_on`: no runs; frees the place of a run whose launcher is gone and that has not begun."""

    @dg.sensor(
        name="end_runs_that_nobody_works_on",
        minimum_interval_seconds=LOOK_EVERY_S,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Fail a run that was handed over to a process which was killed before the run began, so that its place "
        "among those that may run at once is free for others.",
    )
    def sensor(context: dg.SensorEvaluationContext) -> dg.SkipReason:
        if not isinstance(context.instance.run_launcher, WarmRunLauncher):
            return dg.SkipReason("runs are launched by another launcher, which looks after them itself")
        ended = end_lost_runs(context.instance)
        for line in ended:
            context.log.warning(line)
        return dg.SkipReason("; ".join(ended) or "every run that was handed over has a process")

    return sensor


def end_lost_runs(instance: DagsterInstance) -> list[str]:
    """Fail the runs that were handed over and have nobody to begin them; a sentence on each."""
    lines = []
    for run in instance.get_runs(RunsFilter(statuses=[DagsterRunStatus.STARTING])):
        if why := _lost(instance, run):
            now = instance.get_run_by_id(run.run_id)
            if now and now.status == DagsterRunStatus.STARTING:
                instance.report_run_failed(now, f"{why}: launch it again, if no sensor does.")
                lines.append(f"run {run.run_id}: {why}")
    return lines


def _lost(instance: DagsterInstance, run: dg.DagsterRun) -> str | None:
    """Why nobody will begin a run; None where somebody may."""
    worker, launcher = Worker.of(run.tags), Worker.of(run.tags, LAUNCHER_TAG)
    if worker is not None:
        return None if worker.runs() else f"The run's process {worker.pid} is gone before the run began"
    if launcher is not None:
        gone = f"The process {launcher.pid} that launched the run was killed before the run began"
        return None if launcher.runs() else gone
    since = instance.get_run_stats(run.run_id).launch_time
    late = since is not None and time.time() - since > UNSAID_S
    return "The run was to be launched, and what was to do so was killed" if late else None
