"""`python -m tests.chaos.failing_cluster`: `mlops cluster up --restart` with what tests make fail.

A door stands in front of the object store, the clock of the daemon's machine jumps by what a file says, and with CHAOS_RAY
a Ray of a head and a worker is among the parts.
"""

import os
import shutil
import struct
import subprocess
import sys
from dataclasses import replace
from functools import cached_property
from pathlib import Path

from mlops_assets.local import cluster
from mlops_assets.local.cluster_parts import HOST, Parts
from mlops_assets.local.processes import Server
from resources.ports import free
from resources.settings import private_ray, settings
from tests.chaos.ray_worker import MEMORY

DOOR = "s3.door"
"""The file, in the cluster's folder, that says how the door stands."""

CLOCK = "clock"
"""The file, there too, with the seconds by which the clock of the daemon and its runs is ahead."""

RAY_HEAD, RAY_WORKER = "Ray head", "Ray worker"


class FailingParts(Parts):
    """The parts of a cluster whose object store is reached through a door, and whose daemon's clock can jump."""

    def stores(self) -> list[Server]:
        postgres, redis, s3 = super().stores()
        [behind] = free(1)
        command = [str(behind) if word == str(self.ports.s3) else word for word in s3.command]
        ends = [str(self.state / DOOR), str(self.ports.s3), str(behind)]
        door = self._server("Door", [sys.executable, "-m", "tests.chaos.door", *ends], s3.health, {})
        s3 = replace(s3, command=command, health=f"tcp://127.0.0.1:{behind}")
        return [postgres, redis, s3, door, *self._ray_servers()]

    def environment(self, name: str) -> dict[str, str]:
        return {**super().environment(name), **self._ray, **(self._clock if name == "daemon" else {})}

    @cached_property
    def _clock(self) -> dict[str, str]:
        """What makes a process ask the clock that jumps."""
        jump(self.state, 0)
        library = self.state / "jumping_clock.so"
        if (compiler := shutil.which("gcc")) is None:
            return {}
        source = str(Path(__file__).with_name("jumping_clock.c"))
        subprocess.run([compiler, "-O2", "-shared", "-fPIC", "-o", str(library), source], check=True)
        return {"LD_PRELOAD": str(library), "CHAOS_CLOCK": str(self.state / CLOCK)}

    @cached_property
    def _ray(self) -> dict[str, str]:
        """How the platform's processes reach Ray, if it is among the parts."""
        if not os.environ.get("CHAOS_RAY"):
            return {}
        return {**private_ray(), "MLOPS_RAY_ADDRESS": f"{HOST}:{free(1)[0]}"}

    def _ray_servers(self) -> list[Server]:
        """A head that runs no part of a fit, and a worker of two CPUs."""
        if not self._ray:
            return []
        address = self._ray["MLOPS_RAY_ADDRESS"]
        given = {**super().aws, **self._ray, "PYTHONPATH": self.environment("runs")["PYTHONPATH"]}
        begin = [sys.executable, "-m", "ray.scripts.scripts", "start", "--block", "--disable-usage-stats"]
        begin += [f"--node-ip-address={HOST}", f"--object-store-memory={MEMORY}"]
        head = [*begin, "--head", f"--port={address.rpartition(':')[2]}", "--num-cpus=0"]
        worker = [sys.executable, "-m", "tests.chaos.ray_worker", address, "2"]
        return [
            self._server(
                RAY_HEAD, [*head, "--include-dashboard=false"], f"tcp://{address}", given, ends="SIGTERM"
            ),
            self._server(RAY_WORKER, worker, "", given),
        ]


def jump(state: Path, seconds: float) -> None:
    """Put the clock of the daemon's machine so many seconds ahead; it is mapped into processes, so the file stays the same one."""
    file = state / CLOCK
    with file.open("r+b" if file.exists() else "wb") as opened:
        opened.write(struct.pack("d", seconds))


if __name__ == "__main__":
    raise SystemExit(cluster.main(settings(), restart=True, kind=FailingParts))
