"""What keeps the databases of Dagster and MLflow bounded: old logs and old trials go, the history of assets stays."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg

from resources.instance_retention import compact, files, on_disk, trim
from resources.settings import Settings, settings, sqlite_file
from resources.tracking.tracking import Tracking

JOB, EVERY_NIGHT = "retention", "30 3 * * *"


def retain(
    where: Settings,
    instance: dg.DagsterInstance,
    tracking: Tracking,
    dry: bool = False,
    tell: Callable[[str], Any] = print,
) -> None:
    """Remove what is older than the settings keep, write SQLite files anew where that pays, and say what was freed."""
    would = "would be" if dry else "were"
    database = sqlite_file(where.mlflow_uri)
    files_kept = [*files(where.dagster_home), *([database] if database and database.exists() else [])]
    before = on_disk(files_kept)
    logs = trim(instance, _days_ago(where.keep_logs_days), dry)
    tell(
        f"logs of {logs.runs:,} runs that ended more than {where.keep_logs_days} days ago: "
        f"{logs.events:,} events with {logs.characters / 1e6:.1f} MB {would} removed"
    )
    trials, size = tracking.retire_trials(_days_ago(where.keep_trials_days), dry)
    tell(
        f"{trials:,} trials that ended more than {where.keep_trials_days} days ago and that no version is made of: "
        f"{size / 1e6:.1f} MB of files {would} removed"
    )
    if dry:
        return
    for path in files_kept:
        compact(path, tell)
    tell(f"databases: {before / 1e6:.1f} MB before, {on_disk(files_kept) / 1e6:.1f} MB now")


def _days_ago(days: int) -> datetime:
    """A moment of the wall clock: no decision about data follows from it."""
    return datetime.now(UTC) - timedelta(days=days)


def retention_job() -> dg.JobDefinition:
    """The job `retention`."""

    @dg.op(name="remove_what_is_old", description=retain.__doc__)
    def remove(context: dg.OpExecutionContext, tracking: dg.ResourceParam[Tracking]) -> None:
        retain(settings(), context.instance, tracking.at_once, tell=context.log.info)

    @dg.job(
        name=JOB,
        description="Remove old logs of runs and old trials; the history of assets and all versions stay.",
        executor_def=dg.in_process_executor,
    )
    def job() -> None:
        remove()

    return job


def retention_schedule(job: dg.JobDefinition) -> dg.ScheduleDefinition:
    """`retention_every_night`: the job at half past three, UTC."""
    return dg.ScheduleDefinition(
        name=f"{JOB}_every_night",
        job=job,
        cron_schedule=EVERY_NIGHT,
        default_status=dg.DefaultScheduleStatus.RUNNING,
    )
