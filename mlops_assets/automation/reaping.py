"""The schedule by which a cluster's leftovers are deleted, and the asset on whose page their cost is written down."""

import dagster as dg

from mlops_assets.kit.metadata import markdown_table
from mlops_assets.pods.reaping import Reaped, reap
from resources.settings import settings

JOB, EVERY_HOUR = "reap", "17 * * * *"
KEY = dg.AssetKey(["platform", "reaped"])


def reaper_job() -> dg.JobDefinition:
    """The job `reap`: what nobody waits for in the namespace of runs is deleted."""

    @dg.op(name="delete_what_nobody_waits_for", description=reap.__doc__)
    def delete(context: dg.OpExecutionContext) -> None:
        from resources.compute.kubernetes_api import api_client
        from resources.pods.api import Workloads

        workloads = Workloads(api_client(), settings().run_namespace)
        done = reap(context.instance, workloads, tell=context.log.info)
        context.log_event(dg.AssetMaterialization(KEY, metadata=costs(done)))

    @dg.job(
        name=JOB,
        description="Delete leaked RayJobs, idle Ray clusters, pods of runs that are over and old Jobs; write down their cost.",
        executor_def=dg.in_process_executor,
    )
    def job() -> None:
        delete()

    return job


def costs(done: Reaped) -> dict[str, dg.MetadataValue]:
    """The cost of what was deleted, under the names that other costs have, and each with its own."""
    rows = [{"kind": one.kind, "name": one.name, "why": one.why, **one.held.rounded()} for one in done.left]
    total = {
        name.replace("_", " "): dg.MetadataValue.float(value) for name, value in done.held.rounded().items()
    }
    return {"deleted": dg.MetadataValue.int(len(rows)), **total, "each": markdown_table(rows)}


def reaper_schedule(job: dg.JobDefinition) -> dg.ScheduleDefinition:
    """`reap_every_hour`."""
    return dg.ScheduleDefinition(
        name=f"{JOB}_every_hour",
        job=job,
        cron_schedule=EVERY_HOUR,
        default_status=dg.DefaultScheduleStatus.RUNNING,
    )
