"""A node without containers: the pods that Kubernetes' scheduler binds to it run as processes of this machine.

It stands where a kubelet stands: reads pods through the API, starts their commands with the environment that their spec
describes, kills what exceeds its memory limit, ends what is deleted after its grace period, and reports what became of each.
An image is this checkout; a volume is a folder of the pod's own, whose path stands in for the mount path in variables and arguments.
"""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from base64 import b64decode
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from resources.settings import PROJECT_ROOT

MEBIBYTE = 2**20
LOOK_S = 0.2


@dataclass
class Container:
    """The process of a pod, with what was decided about its end before it ended."""

    process: subprocess.Popen[bytes]
    memory: int | None
    reason: str = ""
    pod_reason: str = ""
    pod_message: str = ""
    kill_at: float | None = None
    most: int = 0


@dataclass
class NodeAgent:
    """One node, from `with` to its end; `ended` has what became of each pod, by name."""

    client: Any
    folder: Path
    name: str = "node-1"
    capacity: dict[str, str] = field(
        default_factory=lambda: {"cpu": "16", "memory": "64Gi", "pods": "50", "ephemeral-storage": "200Gi"}
    )
    labels: dict[str, str] = field(default_factory=dict)
    containers: dict[str, Container] = field(default_factory=dict)
    started: list[str] = field(default_factory=list)
    ended: dict[str, tuple[str, int]] = field(default_factory=dict)
    most: dict[str, int] = field(default_factory=dict)
    problems: list[Exception] = field(default_factory=list)

    def __enter__(self) -> "NodeAgent":
        from kubernetes.client import CoreV1Api

        self.core, self._stop, self._lock = CoreV1Api(self.client), threading.Event(), threading.Lock()
        self._names: dict[str, tuple[str, str]] = {}
        self._register()
        self._thread = threading.Thread(target=self._work)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(timeout=60)
        for one in self.containers.values():
            _kill(one.process)
        if self.problems:
            raise self.problems[0]

    def lose(self, pod: str, reason: str, message: str = "") -> None:
        """End a pod as when its node takes it away (Evicted, NodeShutdown…)."""
        with self._lock:
            one = self._of(pod)
            one.pod_reason, one.pod_message, one.reason = reason, message, "Error"
            _kill(one.process)

    def kill(self, pod: str) -> None:
        """SIGKILL to its process, as from outside of Kubernetes."""
        with self._lock:
            _kill(self._of(pod).process)

    def process(self, pod: str) -> subprocess.Popen[bytes]:
        return self._of(pod).process

    def log(self, pod: str) -> str:
        return (self.folder / f"{pod}.log").read_text()

    def _of(self, pod: str) -> Container:
        [uid] = [uid for uid, (_, name) in self._names.items() if name == pod and uid in self.containers]
        return self.containers[uid]

    def _register(self) -> None:
        there = {"metadata": {"name": self.name, "labels": self.labels}}
        self.core.create_node(there)
        ready = {"type": "Ready", "status": "True", "reason": "KubeletReady"}
        status = {"capacity": self.capacity, "allocatable": self.capacity, "conditions": [ready]}
        self.core.patch_node_status(self.name, {"status": status})
        self.core.patch_node(self.name, {"spec": {"taints": None}})  # the API marks a new node as not ready

    def _work(self) -> None:
        try:
            while not self._stop.wait(LOOK_S):
                answer = self.core.list_pod_for_all_namespaces(
                    field_selector=f"spec.nodeName={self.name}", _preload_content=False
                )
                with self._lock:
                    there = {pod["metadata"]["uid"]: pod for pod in json.loads(answer.data)["items"]}
                    for uid, pod in there.items():
                        self._look_at(uid, pod)
                    for uid in self.containers.keys() - there.keys():
                        _kill(self.containers.pop(uid).process)
        except Exception as error:  # noqa: BLE001 - raised when the test ends
            self.problems.append(error)

    def _look_at(self, uid: str, pod: dict[str, Any]) -> None:
        one, deleted = self.containers.get(uid), "deletionTimestamp" in pod["metadata"]
        if one is None:
            if deleted:
                self._gone(pod)
            elif pod.get("status", {}).get("phase") == "Pending":
                self._start(uid, pod)
            return
        if deleted and one.kill_at is None:
            one.reason = one.reason or "Error"
            one.kill_at = time.monotonic() + (pod["spec"].get("terminationGracePeriodSeconds") or 0)
            one.process.send_signal(signal.SIGTERM)
        if one.kill_at is not None and time.monotonic() > one.kill_at:
            _kill(one.process)
        self._hold_to_memory(pod["metadata"]["name"], one)
        if (code := one.process.poll()) is not None:
            self._tell_end(uid, pod, one, 128 - code if code < 0 else code)
            if deleted:
                self._gone(pod)

    def _start(self, uid: str, pod: dict[str, Any]) -> None:
        container, name = pod["spec"]["containers"][0], pod["metadata"]["name"]
        mounts = [one for one in container.get("volumeMounts", []) if one["mountPath"] != "/tmp"]
        paths = {one["mountPath"]: self.folder / uid / one["name"] for one in mounts}
        for path in paths.values():
            path.mkdir(parents=True, exist_ok=True)
        command = [_here(word, paths) for word in (*container.get("command", []), *container.get("args", []))]
        given = {one: _here(value, paths) for one, value in self._environment(pod, container).items()}
        with (self.folder / f"{name}.log").open("wb") as log:
            process = subprocess.Popen(
                [sys.executable if command[0] == "python" else command[0], *command[1:]],
                env={**_image(), **given},
                cwd=PROJECT_ROOT,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        limit = container.get("resources", {}).get("limits", {}).get("memory")
        self.containers[uid], self._names[uid] = (
            Container(process, _bytes(limit)),
            (pod["metadata"]["namespace"], name),
        )
        self.started.append(name)
        running = {"state": {"running": {"startedAt": _now()}}, "ready": True}
        self._tell(pod, "Running", running)

    def _environment(self, pod: dict[str, Any], container: dict[str, Any]) -> dict[str, str]:
        namespace, found = pod["metadata"]["namespace"], {}
        for one in container.get("envFrom", []):
            if source := one.get("configMapRef"):
                found |= self.core.read_namespaced_config_map(source["name"], namespace).data or {}
            if source := one.get("secretRef"):
                kept = self.core.read_namespaced_secret(source["name"], namespace).data or {}
                found |= {name: b64decode(value).decode() for name, value in kept.items()}
        for one in container.get("env", []):
            found[one["name"]] = (
                one["value"] if "value" in one else _field(pod, one["valueFrom"]["fieldRef"]["fieldPath"])
            )
        return found

    def _hold_to_memory(self, name: str, one: Container) -> None:
        """As the kernel does for a container: what exceeds its limit is killed."""
        used = _memory(one.process.pid)
        self.most[name] = max(self.most.get(name, 0), used)
        if one.memory is not None and used > one.memory and not one.reason:
            one.reason = "OOMKilled"
            _kill(one.process)

    def _tell_end(self, uid: str, pod: dict[str, Any], one: Container, code: int) -> None:
        del self.containers[uid]
        name, reason = pod["metadata"]["name"], one.reason or ("Error" if code else "Completed")
        self.ended[name] = (one.pod_reason or reason, code)
        state = {"terminated": {"exitCode": code, "reason": reason, "finishedAt": _now()}}
        more = {"reason": one.pod_reason, "message": one.pod_message} if one.pod_reason else {}
        self._tell(pod, "Failed" if code else "Succeeded", {"state": state, "ready": False}, **more)

    def _tell(self, pod: dict[str, Any], phase: str, container: dict[str, Any], **more: str) -> None:
        from kubernetes.client.exceptions import ApiException

        metadata, spec = pod["metadata"], pod["spec"]["containers"][0]
        own = {"name": spec["name"], "image": spec["image"], "imageID": spec["image"], "restartCount": 0}
        status = {"phase": phase, "containerStatuses": [own | container], **more}
        try:
            self.core.patch_namespaced_pod_status(metadata["name"], metadata["namespace"], {"status": status})
        except ApiException as error:
            if error.status != 404:
                raise

    def _gone(self, pod: dict[str, Any]) -> None:
        from kubernetes.client.exceptions import ApiException

        try:
            self.core.delete_namespaced_pod(
                pod["metadata"]["name"], pod["metadata"]["namespace"], grace_period_seconds=0
            )
        except ApiException as error:
            if error.status != 404:
                raise


def _field(pod: dict[str, Any], path: str) -> str:
    """A label of the pod, as the downward API gives it."""
    return pod["metadata"]["labels"][path.removeprefix("metadata.labels['").removesuffix("']")]


def _image() -> dict[str, str]:
    """What an image brings of its own: the path, and nothing of the tests' settings."""
    own = ("PATH", "LANG", "LD_LIBRARY_PATH", "KUBECONFIG", "PYTHONPATH", "POD_RUNS")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {name: os.environ[name] for name in own if name in os.environ} | {
        "PATH": path,
        "PYTHONDONTWRITEBYTECODE": "1",
    }


def _here(text: str, paths: dict[str, Path]) -> str:
    """A path below a mount as it is on this machine."""
    for mount, path in sorted(paths.items(), key=lambda each: -len(each[0])):
        if text == mount or text.startswith(f"{mount}/"):
            return str(path) + text.removeprefix(mount)
    return text


def _kill(process: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _memory(pid: int) -> int:
    try:
        whole = psutil.Process(pid)
        return sum(one.memory_info().rss for one in (whole, *whole.children(recursive=True)))
    except psutil.Error:
        return 0


def _bytes(quantity: str | None) -> int | None:
    from kubernetes.utils.quantity import parse_quantity

    return None if quantity is None else int(parse_quantity(quantity))


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
