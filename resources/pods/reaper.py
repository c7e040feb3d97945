"""What is left in a namespace of runs and fits that nobody waits for any more, and what each held while it was there.

Dagster and KubeRay take away what ends in order. What is left is of processes that were killed: a Job whose run was given
up, a RayJob whose run was terminated, a Ray cluster whose RayJob is gone, and Jobs that ended where no controller
removes them.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from resources.compute.rayjob import SENDER
from resources.moments import read_moment
from resources.pods.api import RUN_ID

PART_OF, OURS = "app.kubernetes.io/part-of", "mlops-assets"
CLUSTER_OF = "ray.io/originated-from-cr-name"
"""KubeRay's label on a Ray cluster: the RayJob that it was made for."""

ENDED = ("Complete", "Failed")
WAITS, OVER, UNKNOWN = "waits", "over", "unknown"
"""What is known of a run: it, or another of its job, is under way; none is; there is no such run."""

Manifest = Mapping[str, Any]


@dataclass(frozen=True)
class Limits:
    """Seconds for which each is left alone: what ended, a pod whose run is over, a fit that nobody waits for, a fit of unknown origin."""

    ended_s: float = 86_400.0
    orphan_s: float = 900.0
    leaked_s: float = 3_600.0
    stranger_s: float = 93_600.0


LIMITS = Limits()


@dataclass(frozen=True)
class Held:
    """What something held while it was there, by what it asked for."""

    seconds: float = 0.0
    cpu_seconds: float = 0.0
    memory_gib_seconds: float = 0.0
    gpu_seconds: float = 0.0

    def rounded(self) -> dict[str, float]:
        """By name, to a hundredth."""
        return {name: round(value, 2) for name, value in vars(self).items()}


@dataclass(frozen=True)
class Leftover:
    """Something that is to be deleted: of which kind, why, and what it held."""

    kind: str
    name: str
    uid: str
    why: str
    held: Held


def leftovers(
    jobs: Sequence[Manifest],
    rayjobs: Sequence[Manifest],
    clusters: Sequence[Manifest],
    status_of: Callable[[str], str],
    now: datetime,
    limits: Limits,
) -> list[Leftover]:
    """What is to be deleted of a namespace's Jobs of runs, and of its RayJobs and Ray clusters of ours."""
    ours = [one for one in rayjobs if _labels(one).get(PART_OF) == OURS]
    return [
        *_of_jobs(jobs, status_of, now, limits),
        *_of_rayjobs(ours, status_of, now, limits),
        *_of_clusters(clusters, ours, now, limits),
    ]


def _of_jobs(
    jobs: Sequence[Manifest], status_of: Callable[[str], str], now: datetime, limits: Limits
) -> Iterator[Leftover]:
    for one in jobs:
        run, status = _labels(one).get(RUN_ID), one.get("status") or {}
        if run is None:
            continue
        ended = _job_end(status)
        if ended:
            if (age := _seconds(ended, now)) > limits.ended_s:
                yield _leftover("Job", one, f"ended {_time_in_words(age)} ago", _job_held(one, ended, now))
        elif (known := status_of(run)) != WAITS:
            age = _seconds(one["metadata"]["creationTimestamp"], now)
            if age > limits.orphan_s:
                why = f"run {run} is over" if known == OVER else f"there is no run {run}"
                yield _leftover("Job", one, f"{why}, and its Job was still there", _job_held(one, None, now))


def _of_rayjobs(
    rayjobs: Sequence[Manifest], status_of: Callable[[str], str], now: datetime, limits: Limits
) -> Iterator[Leftover]:
    for one in rayjobs:
        metadata, status = one["metadata"], one.get("status") or {}
        run = (metadata.get("annotations") or {}).get(SENDER)
        known = status_of(run) if run else UNKNOWN
        age = _seconds(metadata["creationTimestamp"], now)
        if known == WAITS:
            continue
        if status.get("jobDeploymentStatus") in ENDED:
            since = _seconds(status.get("endTime") or metadata["creationTimestamp"], now)
            if since > limits.leaked_s:
                yield _leftover(
                    "RayJob",
                    one,
                    f"ended {_time_in_words(since)} ago, and nobody took it",
                    _ray_held(one, now),
                )
        elif known == OVER and age > limits.leaked_s:
            yield _leftover(
                "RayJob", one, f"run {run} is over, and nobody waits for its fit", _ray_held(one, now)
            )
        elif known == UNKNOWN and age > limits.stranger_s:
            yield _leftover(
                "RayJob", one, f"no run is known that sent it, {_time_in_words(age)} ago", _ray_held(one, now)
            )


def _of_clusters(
    clusters: Sequence[Manifest], rayjobs: Sequence[Manifest], now: datetime, limits: Limits
) -> Iterator[Leftover]:
    """A cluster of ours is idle where its RayJob is gone or has ended; one that another was made for is not ours."""
    working = {
        one["metadata"]["name"]
        for one in rayjobs
        if (one.get("status") or {}).get("jobDeploymentStatus") not in ENDED
    }
    for one in clusters:
        labels = _labels(one)
        of, age = labels.get(CLUSTER_OF, ""), _seconds(one["metadata"]["creationTimestamp"], now)
        if labels.get(PART_OF) == OURS and of not in working and age > limits.leaked_s:
            yield _leftover(
                "RayCluster", one, f"no fit works on it ({of or 'made by hand'})", _ray_held(one, now)
            )


def _leftover(kind: str, one: Manifest, why: str, held: Held) -> Leftover:
    return Leftover(kind, one["metadata"]["name"], one["metadata"]["uid"], why, held)


def _labels(one: Manifest) -> Mapping[str, str]:
    return one["metadata"].get("labels") or {}


def _job_end(status: Mapping[str, Any]) -> str | None:
    for one in status.get("conditions") or ():
        if one["type"] in ("Complete", "Failed") and one["status"] == "True":
            return status.get("completionTime") or one["lastTransitionTime"]
    return None


def _job_held(one: Manifest, ended: str | None, now: datetime) -> Held:
    began = (one.get("status") or {}).get("startTime")
    if began is None:
        return Held()
    seconds = _seconds(began, read_moment(ended) if ended else now)
    return _held([(one["spec"]["template"]["spec"], 1)], seconds)


def _ray_held(one: Manifest, now: datetime) -> Held:
    spec, status = one["spec"], one.get("status") or {}
    cluster = spec.get("rayClusterSpec") or spec
    began, ended = status.get("startTime") or one["metadata"]["creationTimestamp"], status.get("endTime")
    pods = [(cluster["headGroupSpec"]["template"]["spec"], 1)]
    pods += [
        (group["template"]["spec"], int(group.get("replicas") or 0))
        for group in cluster.get("workerGroupSpecs") or ()
    ]
    return _held(pods, _seconds(began, read_moment(ended) if ended else now))


def _held(pods: Sequence[tuple[Mapping[str, Any], int]], seconds: float) -> Held:
    cpu = memory = gpu = 0.0
    for pod, count in pods:
        for container in pod["containers"]:
            given = container.get("resources") or {}
            amounts = {**(given.get("limits") or {}), **(given.get("requests") or {})}
            cpu += count * _number(amounts.get("cpu"))
            memory += count * _number(amounts.get("memory")) / 2**30
            gpu += count * _number(amounts.get("nvidia.com/gpu"))
    return Held(seconds, cpu * seconds, memory * seconds, gpu * seconds)


def _number(quantity: Any) -> float:
    from kubernetes.utils.quantity import parse_quantity

    return 0.0 if quantity is None else float(parse_quantity(quantity))


def _seconds(since: str, until: datetime) -> float:
    return max(0.0, (until - read_moment(since)).total_seconds())


def _time_in_words(seconds: float) -> str:
    hours = seconds / 3600
    return f"{hours:.1f} h" if hours < 48 else f"{math.floor(hours / 24)} days"
