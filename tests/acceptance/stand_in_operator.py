"""In place of KubeRay's operator, which needs nodes: it sees RayJobs through the real API and runs them as processes.

It makes no cluster and no pod. The command of a RayJob becomes a process of this machine, on a Ray that is there, and
what becomes of it is written to the RayJob's status as the operator writes it.
"""

import os
import shlex
import subprocess
import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from resources.compute.rayjob import GROUP, PLURAL, VERSION
from tests.acceptance.kube_api import NAMESPACE

NO_NODE = "0/3 nodes are available: 3 Insufficient cpu."
OWN = (GROUP, VERSION, NAMESPACE, PLURAL)


@dataclass
class StandInOperator:
    """Runs RayJobs from `with` to its end; `seen` are those there were, by uid, `sent` their annotations by name, and
    `running` their processes.

    While it has no `nodes`, a RayJob gets one pod that no node takes, and its command does not run.
    """

    client: Any
    ray_address: str
    logs: Path
    nodes: bool = True
    own: tuple[str, str, str, str] = OWN
    sent: dict[str, dict[str, str]] = field(default_factory=dict)
    seen: dict[str, str] = field(default_factory=dict)
    waiting: dict[str, str] = field(default_factory=dict)
    told: dict[str, dict[str, str]] = field(default_factory=dict)
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    problems: list[Exception] = field(default_factory=list)

    def __enter__(self) -> "StandInOperator":
        from kubernetes.client import CustomObjectsApi

        self.jobs, self._stop = CustomObjectsApi(self.client), threading.Event()
        self._thread = threading.Thread(target=self._work)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(timeout=60)
        for process in self.running.values():
            process.kill()
            process.wait()
        if self.problems:
            raise self.problems[0]

    def lose_the_head(self) -> None:
        """As when the node under the head of the only cluster is switched off."""
        [process] = self.running.values()
        process.kill()

    def _work(self) -> None:
        try:
            while not self._stop.is_set():
                there = self.jobs.list_namespaced_custom_object(*self.own)["items"]
                for job in there:
                    self._reconcile(job["metadata"], job["spec"])
                for gone in self.running.keys() - {job["metadata"]["uid"] for job in there}:
                    self.running[gone].kill()
                    self.running.pop(gone).wait()
                time.sleep(0.2)
        except Exception as error:  # noqa: BLE001 - raised when the test ends
            self.problems.append(error)

    def _reconcile(self, metadata: dict[str, Any], spec: dict[str, Any]) -> None:
        uid, name, annotations = metadata["uid"], metadata["name"], metadata.get("annotations", {})
        if uid not in self.seen:
            self.seen[uid] = name
            self.sent[name] = annotations
            self._tell(name, jobDeploymentStatus="Initializing", rayClusterName=f"{name}-abcde")
            self.waiting[uid] = spec["entrypoint"]
            self.told[uid] = self._told(
                spec["rayClusterSpec"]["headGroupSpec"]["template"]["spec"]["containers"][0]
            )
            if not self.nodes:
                self._pod_without_a_node(
                    name, spec["rayClusterSpec"]["workerGroupSpecs"][0]["template"]["spec"]
                )
        elif uid in self.waiting and self.nodes:
            self.running[uid] = self._started(uid, self.waiting.pop(uid))
            self._tell(name, jobDeploymentStatus="Running", jobStatus="RUNNING")
        elif uid in self.running and (code := self.running[uid].poll()) is not None:
            del self.running[uid]
            log = (self.logs / f"{uid}.log").read_text()
            failed = {
                "reason": "AppFailed",
                "message": f"exit code {code}, last available logs: {log[-2000:]}",
            }
            self._tell(
                name, jobDeploymentStatus="Failed", jobStatus="FAILED", **failed
            ) if code else self._tell(name, jobDeploymentStatus="Complete", jobStatus="SUCCEEDED")

    def _started(self, uid: str, entrypoint: str) -> subprocess.Popen[bytes]:
        *command, folder = shlex.split(entrypoint)
        assert command == ["python", "-m", "mlops_assets.commands.sent_fit"]
        with (self.logs / f"{uid}.log").open("wb") as log:
            return subprocess.Popen(
                [sys.executable, "-W", "ignore", "-m", "tests.acceptance.image_with_loops", folder],
                env={**os.environ, **self.told[uid], "RAY_ADDRESS": self.ray_address},
                stdout=log,
                stderr=log,
            )

    def _told(self, container: dict[str, Any]) -> dict[str, str]:
        """What the ConfigMaps of a container say; one that is optional may be missing."""
        from kubernetes.client import CoreV1Api
        from kubernetes.client.exceptions import ApiException

        found: dict[str, str] = {}
        for source in (one["configMapRef"] for one in container.get("envFrom", [])):
            try:
                found |= CoreV1Api(self.client).read_namespaced_config_map(source["name"], self.own[2]).data
            except ApiException as error:
                if error.status != 404 or not source.get("optional"):
                    raise
        return found

    def _pod_without_a_node(self, name: str, pod: dict[str, Any]) -> None:
        from kubernetes.client import CoreV1Api

        metadata = {"name": f"{name}-worker", "labels": {"ray.io/cluster": f"{name}-abcde"}}
        unplaced = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": NO_NODE}
        core = CoreV1Api(self.client)
        core.create_namespaced_pod(NAMESPACE, {"metadata": metadata, "spec": pod})
        core.patch_namespaced_pod_status(metadata["name"], NAMESPACE, {"status": {"conditions": [unplaced]}})

    def _tell(self, name: str, **status: str) -> None:
        from kubernetes.client.exceptions import ApiException

        with suppress(ApiException):  # it was deleted meanwhile
            self.jobs.patch_namespaced_custom_object_status(*self.own, name, {"status": status})
