"""How Ray is reached for training: a private one on this machine, a cluster by its address, or one that KubeRay makes.

A private Ray listens on the loopback address only, is started at the first fit that needs it, and lives as long as
the process, so that the next fit finds it warm.
"""

import logging
import os
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Self

from pydantic import PrivateAttr

from resources.addresses import revealed, shown
from resources.compute.kuberay import Errand
from resources.compute.kubernetes_api import RayJobs
from resources.compute.rayjob import read_template, rendered
from resources.resource import Resource
from resources.serving.ray_serve import without_api_server
from resources.settings import KUBERAY, RAYJOB
from resources.storage.addresses import storage_at
from resources.storage.storage import Storage

HOST = "127.0.0.1"
MEBIBYTE = 2**20
CONNECT_S = 5.0
TRAIN_SETTINGS = {
    "RAY_TRAIN_V2_ENABLED": "1",
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.1",
    "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0",
    "RAY_TRAIN_METRICS_ENABLED": "0",
    "RAY_TRAIN_ENABLE_STATE_TRACKING": "0",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
}
"""A report waits for the next health check, two seconds by default; the rest are helper processes nobody reads."""


class Compute(Resource):
    """Ray at `address` (empty: a private one), checkpoints under `folder`, which every worker must see, or in an object store.

    `kuberay://` and a namespace as the address: each fit becomes a KubeRay job, made from the template `rayjob`.
    """

    folder: str
    address: str = ""
    object_store_mib: int = 256
    cpus: int | None = None
    rayjob: str = str(RAYJOB)
    _log: Any = PrivateAttr(default_factory=lambda: logging.getLogger(__name__))

    @contextmanager
    def during(self, log: Any, in_run: bool) -> Iterator[Self]:
        """What a KubeRay job does is told in the log of the step that waits for it."""
        self._log = log or self._log
        yield self

    @property
    def storage(self) -> Storage:
        """Where checkpoints lie, each fit's below its identity."""
        return storage_at(self.folder)

    def connect(self, where: str) -> Mapping[str, float]:
        """Connect once a process to the cluster, or start the `local` Ray; what it has in all, as Ray names it.

        A process has one Ray at a time: asked for the other one, it leaves the first.
        """
        for name, value in TRAIN_SETTINGS.items():
            os.environ.setdefault(name, value)
        import ray

        address = "" if where == "local" else revealed(self.address)
        if ray.is_initialized() and CONNECTED.get("address") != address:
            ray.shutdown()
        if not ray.is_initialized():
            join(address) if address else start_local(self.object_store_mib, self.cpus)
            CONNECTED["address"] = address
        return ray.cluster_resources()

    def send(
        self,
        name: str,
        job: str,
        *,
        command: Sequence[str],
        workers: int,
        each: Mapping[str, float],
        accelerator: str | None,
        paths: Sequence[str],
        done: Callable[[], bool],
    ) -> None:
        """Have a command run as the KubeRay job `name` in the namespace of the address, and wait until it is `done`."""
        namespace = self.address.removeprefix(KUBERAY)
        manifest = rendered(
            read_template(self.rayjob),
            name,
            namespace,
            job=job,
            command=command,
            workers=workers,
            each=each,
            accelerator=accelerator,
            paths=paths,
        )
        Errand(RayJobs(namespace), manifest, done, self._log.info).run()


CONNECTED: dict[str, str] = {}
"""Which Ray this process has: its address, empty for the private one."""


def start_local(object_store_mib: int, cpus: int | None = None, folder: str | None = None) -> Any:
    """A Ray of this process alone, without dashboard and API server; it ends with the process."""
    import ray

    without_api_server()
    return ray.init(
        address="local",
        num_cpus=cpus,
        object_store_memory=object_store_mib * MEBIBYTE,
        include_dashboard=False,
        log_to_driver=False,
        logging_level=logging.ERROR,
        _node_ip_address=HOST,
        _temp_dir=folder,
    )


def join(address: str) -> None:
    """Connect to a cluster; one that does not answer is told at once, where Ray would try for minutes."""
    import ray

    host, _, port = address.removeprefix("ray://").rpartition(":")
    try:
        if host and port.isdigit():
            socket.create_connection((host, int(port)), CONNECT_S).close()
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    except OSError as error:
        raise ConnectionError(
            f"no Ray answers at MLOPS_RAY_ADDRESS={shown(address)!r} ({error}): start the cluster, or empty the variable "
            f"to train on this machine"
        ) from error
