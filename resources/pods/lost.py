"""Why a pod was lost, read from what Kubernetes says of it, and whether its work is tried again, and with what.

Out of memory and a node that was taken back look alike to who only sees a process disappear (137): the first would happen
again, so it is tried with twice the memory up to a limit; the second was nobody's fault, so it is tried as it was; an error
of the work itself would be the same error.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

MEBIBYTE = 2**20
MEMORY_UP_TO = "mlops-assets/memory-up-to"
"""Annotation of a pod: the memory, in bytes or as Kubernetes writes it, up to which it is given more."""

MOST_TAKEN = 10
"""How often in a row work is tried again whose nodes are taken back."""

TAKEN_PODS = {
    "Preempting": "a pod of a higher priority needed its node",
    "Preempted": "a pod of a higher priority needed its node",
    "NodeShutdown": "its node was shut down",
    "Shutdown": "its node was shut down",
    "Terminated": "its node was shut down",
    "NodeLost": "its node is lost",
    "NodeAffinity": "its node is none that it may run on any more",
    "UnexpectedAdmissionError": "its node could not take it",
    "OutOfcpu": "its node had no CPU left for it",
    "OutOfmemory": "its node had no memory left for it",
}
DISRUPTIONS = {
    "PreemptionByScheduler": "a pod of a higher priority needed its node",
    "DeletionByTaintManager": "its node was taken back",
    "EvictionByEvictionAPI": "its node was drained",
    "DeletionByPodGC": "its node is lost",
    "TerminationByKubelet": "its node was shut down or ran short",
}
CANNOT_START = ("ImagePullBackOff", "ErrImagePull", "ErrImageNeverPull", "InvalidImageName")
CANNOT_START += ("CreateContainerConfigError", "CreateContainerError", "RunContainerError")
STOPPED = {137: "SIGKILL", 143: "SIGTERM"}


class Cause(Enum):
    """What a pod was lost by."""

    MEMORY = "out of memory"
    TAKEN = "taken away"
    ERROR = "error"


@dataclass(frozen=True)
class Loss:
    """A pod that was lost: by what, as a sentence, and what it had."""

    cause: Cause
    sentence: str
    resources: Mapping[str, Mapping[str, Any]]
    memory: int | None = None
    memory_up_to: int | None = None


@dataclass(frozen=True)
class Retry:
    """What is to be done about a loss: whether there is another try, and with which resources where not the same."""

    again: bool
    sentence: str
    resources: Mapping[str, Mapping[str, Any]] | None = None


def loss_of(pod: Mapping[str, Any] | None, job: Mapping[str, Any] | None = None) -> Loss:
    """Read a pod's end (objects as the API's JSON has them); None for a pod of which nothing is left."""
    if late := _deadline(job):
        return Loss(Cause.ERROR, late, _resources(pod))
    if pod is None:
        return Loss(Cause.TAKEN, "nothing is left of its pod, as after the loss of a node", {})
    cause, sentence = _cause(pod)
    given = _resources(pod)
    memory = _bytes(given.get("limits", {}).get("memory"))
    most = _bytes((pod["metadata"].get("annotations") or {}).get(MEMORY_UP_TO))
    return Loss(cause, f"pod {pod['metadata']['name']}: {sentence}", given, memory, most)


def retry_of(loss: Loss, tries: int) -> Retry:
    """Decide what follows a loss; `tries` is how often this work was tried, this one included."""
    if loss.cause is Cause.ERROR:
        return Retry(False, f"{loss.sentence}: the same would happen again, so it is not tried again")
    if loss.cause is Cause.TAKEN:
        if tries > MOST_TAKEN:
            return Retry(False, f"{loss.sentence}: it was tried {tries} times, launch it again by hand")
        return Retry(True, f"{loss.sentence}: it is tried again as it was")
    return _with_more_memory(loss)


def _with_more_memory(loss: Loss) -> Retry:
    if loss.memory is None:
        return Retry(
            False,
            f"{loss.sentence}, and it has no memory limit to raise: its node is too small; give it one (pods, memory)",
        )
    most = loss.memory_up_to if loss.memory_up_to is not None else 4 * loss.memory
    if loss.memory >= most:
        return Retry(
            False,
            f"{loss.sentence} with {amount(loss.memory)}, and memory_up_to is {amount(most)}: raise it, or give the "
            "work less to hold at once",
        )
    more = min(2 * loss.memory, most)
    requests, limits = ({**loss.resources.get(part, {})} for part in ("requests", "limits"))
    requests["memory"] = limits["memory"] = amount(more)
    return Retry(
        True,
        f"{loss.sentence} with {amount(loss.memory)}: it is tried again with {amount(more)}",
        {"requests": requests, "limits": limits},
    )


def amount(size: int) -> str:
    """Bytes as Kubernetes writes them, in mebibytes."""
    return f"{-(-size // MEBIBYTE)}Mi"


def _deadline(job: Mapping[str, Any] | None) -> str | None:
    for one in ((job or {}).get("status") or {}).get("conditions") or ():
        if one.get("type") == "Failed" and one.get("reason") == "DeadlineExceeded":
            return f"job {(job or {})['metadata']['name']} ran longer than its activeDeadlineSeconds"
    return None


def _cause(pod: Mapping[str, Any]) -> tuple[Cause, str]:
    status = pod.get("status") or {}
    ended, waiting = _container(pod, "terminated"), _container(pod, "waiting")
    if ended.get("reason") == "OOMKilled":
        return Cause.MEMORY, "its container ran out of memory (OOMKilled)"
    if taking := _taken(status):
        return Cause.TAKEN, taking
    if status.get("reason") == "Evicted":
        return _evicted(str(status.get("message") or ""))
    if waiting.get("reason") in CANNOT_START:
        why = ": ".join(filter(None, (waiting["reason"], waiting.get("message"))))
        return Cause.ERROR, f"its container cannot be started ({why})"
    if (code := ended.get("exitCode")) in STOPPED:
        return Cause.TAKEN, f"its container was stopped from outside ({STOPPED[code]})"
    if ended:
        return Cause.ERROR, f"its container ended by itself ({ended.get('reason')}, exit code {code})"
    return Cause.TAKEN, f"its status says nothing of an end (phase {status.get('phase')})"


def _taken(status: Mapping[str, Any]) -> str | None:
    """By what a pod was taken away that did nothing wrong; None where it was not."""
    for one in status.get("conditions") or ():
        if one.get("type") == "DisruptionTarget" and one.get("status") == "True":
            reason = one.get("reason", "")
            return f"{DISRUPTIONS.get(reason, 'it was taken from its node')} ({reason})"
    reason = status.get("reason") or ""
    return f"{TAKEN_PODS[reason]} ({reason})" if reason in TAKEN_PODS else None


def _evicted(message: str) -> tuple[Cause, str]:
    """A node that ran short takes pods away; one that filled more disk than it asked for would do so again."""
    if "exceeds" in message and "storage" in message:
        return Cause.ERROR, f"it was evicted, for it filled more disk than it may ({message})"
    return Cause.TAKEN, f"it was evicted ({message or 'no reason is given'})"


def _container(pod: Mapping[str, Any], state: str) -> Mapping[str, Any]:
    """A state of the container that works, the first of the pod; those beside it do not count."""
    name = pod["spec"]["containers"][0]["name"]
    for one in (pod.get("status") or {}).get("containerStatuses") or ():
        if one.get("name") == name:
            return (one.get("state") or {}).get(state) or (one.get("lastState") or {}).get(state) or {}
    return {}


def _resources(pod: Mapping[str, Any] | None) -> Mapping[str, Mapping[str, Any]]:
    return (pod["spec"]["containers"][0].get("resources") or {}) if pod else {}


def _bytes(quantity: Any) -> int | None:
    if quantity is None:
        return None
    from kubernetes.utils.quantity import parse_quantity

    return int(parse_quantity(quantity))
