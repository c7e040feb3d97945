"""The job that makes a backup, and the schedule by which it is made every night where it is said where backups lie."""

import dagster as dg

from resources.backup.backup import Places, make
from resources.settings import settings

JOB, EVERY_NIGHT = "backup", "30 2 * * *"


def backup_job() -> dg.JobDefinition:
    """The job `backup`."""

    @dg.op(name="copy_databases_and_stores", description=make.__doc__)
    def copy(context: dg.OpExecutionContext) -> None:
        make(Places.of(settings()), context.log.info)

    @dg.job(
        name=JOB,
        description="Copy databases, registry, audit log and lake as they are at one moment to where MLOPS_BACKUP says.",
        executor_def=dg.in_process_executor,
    )
    def job() -> None:
        copy()

    return job


def backup_schedule(job: dg.JobDefinition) -> dg.ScheduleDefinition:
    """`backup_every_night`: the job at half past two, UTC, before what is old is removed."""
    return dg.ScheduleDefinition(
        name=f"{JOB}_every_night",
        job=job,
        cron_schedule=EVERY_NIGHT,
        default_status=dg.DefaultScheduleStatus.RUNNING,
    )
