"""The reaper: what nobody waits for any more is deleted, and written down with what it held."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from dagster import DagsterInstance, DagsterRunStatus, RunsFilter

from resources.pods.api import COMPONENT, Workloads
from resources.pods.reaper import LIMITS, OVER, UNKNOWN, WAITS, Held, Leftover, Limits, leftovers

PLURALS = {"RayJob": "rayjobs", "RayCluster": "rayclusters"}


@dataclass(frozen=True)
class Reaped:
    """What was deleted, and what it held in all."""

    left: list[Leftover]
    held: Held


def reap(
    instance: DagsterInstance,
    workloads: Workloads,
    dry: bool = False,
    tell: Callable[[str], Any] = print,
    limits: Limits = LIMITS,
) -> Reaped:
    """Delete what is left over in a namespace, and say of each why, and what it held; raises ApiAwayError."""
    leftover = leftovers(
        workloads.jobs(COMPONENT),
        workloads.rays("rayjobs"),
        workloads.rays("rayclusters"),
        lambda run: status_of(instance, run),
        datetime.now(UTC),
        limits,
    )
    gone = [one for one in leftover if dry or _deleted(workloads, one)]
    for one in gone:
        tell(
            f"{one.kind} {one.name}: {one.why}; {'would be' if dry else 'was'} deleted, {cost_told(one.held)}"
        )
    total = (
        Held(*(sum(values) for values in zip(*(vars(one.held).values() for one in gone), strict=True)))
        if gone
        else Held()
    )
    tell(
        f"{len(gone)} of namespace {workloads.namespace} {'would be' if dry else 'were'} deleted; {cost_told(total)}"
    )
    return Reaped(gone, total)


def status_of(instance: DagsterInstance, run: str) -> str:
    """Whether anybody may still wait for what a run began: it, its next try, or another run of the same job."""
    known = instance.get_run_by_id(run)
    if known is None:
        return UNKNOWN
    under_way = [
        DagsterRunStatus.QUEUED,
        DagsterRunStatus.NOT_STARTED,
        DagsterRunStatus.STARTING,
        DagsterRunStatus.STARTED,
        DagsterRunStatus.CANCELING,
    ]
    same_job = RunsFilter(job_name=known.job_name, statuses=under_way)
    return WAITS if instance.get_runs(same_job, limit=1) else OVER


def cost_told(held: Held) -> str:
    """In words what was held."""
    return (
        f"it held {held.cpu_seconds / 3600:.2f} CPU-hours, {held.memory_gib_seconds / 3600:.2f} GiB-hours of memory and "
        f"{held.gpu_seconds / 3600:.2f} GPU-hours"
    )


def _deleted(workloads: Workloads, one: Leftover) -> bool:
    if one.kind == "Job":
        return workloads.delete_job(one.name, one.uid)
    return workloads.delete_ray(PLURALS[one.kind], one.name, one.uid)
