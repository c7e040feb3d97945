"""Fits sent to Kubernetes: a RayJob is made once, waited for by whoever asks for it, and taken away when it is done.

Its name is the fit's, so that a run which was killed finds the RayJob that it sent. A run that is terminated leaves it
to finish, because from inside a terminated run, an evicted pod and a lost node look alike; the next run takes what it made.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn, Protocol, TypeVar

from resources.compute.rayjob import JOB, Manifest, pending_seconds

if TYPE_CHECKING:
    from tenacity import RetryCallState

T = TypeVar("T")

UNDER_WAY = ("Running", "Complete", "Failed")
"""The `jobDeploymentStatus` of a RayJob that has its cluster; before, it waits for nodes, images or a queue."""


class KubeRayError(Exception):
    """A RayJob that cannot be sent, or that ends without the outcome of its fit."""


class AwayError(Exception):
    """The Kubernetes API does not answer, for now."""


class Jobs(Protocol):
    """The RayJobs of one namespace; `resources.compute.kubernetes_api` has the real ones. Each call may raise AwayError."""

    namespace: str

    def get(self, name: str) -> Manifest | None:
        """The RayJob as it is, None where there is none."""
        ...

    def create(self, manifest: Manifest) -> bool:
        """Make a RayJob; False where one of that name is there already."""
        ...

    def delete(self, name: str, uid: str) -> None:
        """Delete this very RayJob; one that is gone already is no error."""
        ...

    def pending(self, cluster: str) -> list[str]:
        """Of each pod of a Ray cluster that does not run: its name and what it waits for."""
        ...


@dataclass(frozen=True)
class Patience:
    """Seconds: between two looks, for the outcome of a complete RayJob, for a deleted one, for an API that is away."""

    look_s: float = 2.0
    outcome_s: float = 60.0
    deletion_s: float = 300.0
    away_s: float = 600.0


@dataclass(frozen=True)
class Errand:
    """One RayJob to have run: `done` says whether its outcome is there, `say` tells the log what happens to it."""

    jobs: Jobs
    manifest: Manifest
    done: Callable[[], bool]
    say: Callable[[str], None]
    patience: Patience = Patience()

    @property
    def name(self) -> str:
        return self.manifest["metadata"]["name"]

    def __str__(self) -> str:
        return f"RayJob {self.name} in namespace {self.jobs.namespace}"

    def run(self) -> None:
        """Return when the outcome is there; the RayJob is deleted then, and its nodes are free.

        Raises KubeRayError where it fails, is pending for too long, or is done without an outcome.
        """
        if not self.done():
            self._found_or_sent()
            try:
                self._awaited()
            except Exception:
                raise
            except BaseException:
                self.say(
                    f"{self} is left to finish, and the next run takes its outcome; to end it: {self._delete}"
                )
                raise
        self._taken_away()

    def _taken_away(self) -> None:
        """A fit that is done does not fail because its RayJob could not be deleted."""
        try:
            if there := self.jobs.get(self.name):
                self.jobs.delete(self.name, there["metadata"]["uid"])
        except (AwayError, KubeRayError) as error:
            self.say(f"{self} is done and was not deleted ({error}): {self._delete}")

    def _found_or_sent(self) -> None:
        there = self._look()
        stale = self._stale(there) if there else ""
        if there and not stale:
            return self.say(f"{self} is there already: waiting for it")
        if there:
            self.say(f"{self} {stale}: it is deleted and sent again")
            self._removed(there["metadata"]["uid"])
        is_new = self._answered(lambda: self.jobs.create(self.manifest))
        return self.say(f"{self} is sent" if is_new else f"{self} was sent by another run: waiting for it")

    def _stale(self, there: Manifest) -> str:
        """Why a RayJob that was found is not the one to wait for; empty where it is."""
        status, metadata = there.get("status", {}), there["metadata"]
        if metadata.get("deletionTimestamp"):
            return "is being deleted"
        if metadata.get("annotations", {}).get(JOB) != self.manifest["metadata"]["annotations"][JOB]:
            return "is another job of this name"
        if status.get("jobDeploymentStatus") == "Failed":
            return f"failed ({_reason(status)})"
        ended = status.get("jobDeploymentStatus") == "Complete"
        return "is complete and its outcome is not there" if ended and not self._appeared() else ""

    def _removed(self, uid: str) -> None:
        from tenacity import Retrying, retry_if_result, stop_after_delay, wait_fixed

        def raise_still_there(state: "RetryCallState") -> NoReturn:
            there = state.outcome.result() if state.outcome else {}
            raise KubeRayError(
                f"{self} was deleted {self.patience.deletion_s:.0f} s ago and is still there, held by its finalizers "
                f"{there['metadata'].get('finalizers')}: is the KubeRay operator running?"
            )

        self._answered(lambda: self.jobs.delete(self.name, uid))
        looking = Retrying(
            retry=retry_if_result(lambda there: there is not None and there["metadata"]["uid"] == uid),
            wait=wait_fixed(self.patience.look_s),
            stop=stop_after_delay(self.patience.deletion_s),
            retry_error_callback=raise_still_there,
        )
        looking(self._look)

    def _awaited(self) -> None:
        """Look at the RayJob until its outcome is there."""
        before, waits_since = "", time.monotonic()
        while not self.done():
            there = self._look()
            if there is None:
                return self._gone()
            status = there.get("status", {})
            if (now := _summary(status)) != before:
                self.say(f"{self}: {now}")
                before = now
            if status.get("jobDeploymentStatus") in ("Complete", "Failed"):
                return self._ended(status)
            if status.get("jobDeploymentStatus") in UNDER_WAY:
                waits_since = time.monotonic()
            elif time.monotonic() - waits_since > pending_seconds(self.manifest):
                raise KubeRayError(self._what_is_pending(status))
            time.sleep(self.patience.look_s)
        return None

    def _gone(self) -> None:
        if not self._appeared():
            raise KubeRayError(
                f"{self} was deleted before its fit was done: run again, and it goes on from its last checkpoint"
            )

    def _ended(self, status: Manifest) -> None:
        if status["jobDeploymentStatus"] == "Failed":
            raise KubeRayError(
                f"{self} failed ({_reason(status)}). The next run deletes it and sends it again, going on from the last "
                f"checkpoint. Its log, as long as its pods are there: kubectl logs -n {self.jobs.namespace} job/{self.name}"
            )
        if not self._appeared():
            raise KubeRayError(
                f"{self} is complete ({_summary(status)}) and left no outcome: was its Ray job stopped, or is the object store "
                f"(or the volume of MLOPS_HOME) in its pods another one than here?"
            )

    def _what_is_pending(self, status: Manifest) -> str:
        state = status.get("jobDeploymentStatus")
        if not state:
            pending = "no operator has looked at it: is the KubeRay operator running, and does it watch this namespace?"
        else:
            pods = self._answered(lambda: self.jobs.pending(status.get("rayClusterName", "")))
            pending = f"{state}; " + ("; ".join(pods) or "no pod is pending: a queue or a quota holds it")
        return (
            f"{self} has not started after {pending_seconds(self.manifest):.0f} s: {pending.rstrip('.')}. It stays, and a run that is "
            f"started again goes on waiting; ask for less (trainer.workers, threads, gpu, accelerator_type, "
            f"resources_per_worker), add nodes, or end it: {self._delete}"
        )

    def _appeared(self) -> bool:
        """Whether the outcome is there, after the time that a network volume may take to show it."""
        from tenacity import Retrying, retry_if_result, stop_after_delay, wait_fixed

        looking = Retrying(
            retry=retry_if_result(lambda done: not done),
            wait=wait_fixed(self.patience.look_s),
            stop=stop_after_delay(self.patience.outcome_s),
            retry_error_callback=lambda _: False,
        )
        return looking(self.done)

    def _look(self) -> Manifest | None:
        return self._answered(lambda: self.jobs.get(self.name))

    def _answered(self, ask: Callable[[], T]) -> T:
        """The API's answer, asked for again while it is away; raises KubeRayError when that lasts too long."""
        from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_fixed

        asking = Retrying(
            retry=retry_if_exception_type(AwayError),
            wait=wait_fixed(self.patience.look_s),
            stop=stop_after_delay(self.patience.away_s),
            reraise=True,
        )
        try:
            return asking(ask)
        except AwayError as error:
            raise KubeRayError(
                f"the Kubernetes API has not answered for {self.patience.away_s:.0f} s ({error}): {self} goes on "
                f"without it, and a run that is started again waits for it"
            ) from error

    @property
    def _delete(self) -> str:
        return f"kubectl delete rayjob {self.name} -n {self.jobs.namespace}"


def _reason(status: Manifest) -> str:
    parts = [str(status[part]) for part in ("reason", "message") if status.get(part)]
    return ": ".join(parts) or "its status gives no reason"


def _summary(status: Manifest) -> str:
    state = status.get("jobDeploymentStatus") or "not yet seen by the operator"
    job, message = status.get("jobStatus"), status.get("message")
    return f"{state}{f', job {job}' if job else ''}{f': {message}' if message else ''}"
