"""How Ray is reached for training: a private one on this machine, or a cluster by its address.

A private Ray listens on the loopback address only, is started at the first fit that needs it, and lives as long as
the process, so that the next fit finds it warm.
"""

import logging
import os
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import dagster as dg

from resources.serving import without_api_server

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


class Compute(dg.ConfigurableResource):
    """Ray at `address` (empty: a private one), checkpoints under `folder`, which every worker must see."""

    folder: str
    address: str = ""
    object_store_mib: int = 256
    cpus: int | None = None

    @property
    def storage(self) -> str:
        return self.folder

    def connect(self, where: str) -> Mapping[str, float]:
        """Connect once a process to the `cluster`, or start the `local` Ray; what it has in all, as Ray names it.

        A process has one Ray at a time: asked for the other one, it leaves the first.
        """
        for name, value in TRAIN_SETTINGS.items():
            os.environ.setdefault(name, value)
        import ray

        address = self.address if where == "cluster" else ""
        if ray.is_initialized() and CONNECTED.get("address") != address:
            ray.shutdown()
        if not ray.is_initialized():
            Path(self.folder).mkdir(parents=True, exist_ok=True)
            join(address) if address else start_local(self.object_store_mib, self.cpus)
            CONNECTED["address"] = address
        return ray.cluster_resources()


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
            f"no Ray answers at MLOPS_RAY_ADDRESS={address!r} ({error}): start the cluster, or empty the variable "
            f"to train on this machine"
        ) from error
