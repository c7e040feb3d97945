"""`python -m tests.chaos.failing_cluster`: `mlops cluster up --restart` with a door in front of the object store, which tests close."""

import sys
from dataclasses import replace

from mlops_assets.local import cluster
from mlops_assets.local.cluster_parts import Parts
from mlops_assets.local.processes import Server
from resources.ports import free
from resources.settings import settings

DOOR = "s3.door"
"""The file, in the cluster's folder, that says how the door stands."""


class FailingParts(Parts):
    """The parts of a cluster whose object store is reached through a door."""

    def stores(self) -> list[Server]:
        postgres, redis, s3 = super().stores()
        [behind] = free(1)
        command = [str(behind) if word == str(self.ports.s3) else word for word in s3.command]
        door = [sys.executable, "-m", "tests.chaos.door", str(self.ports.s3), str(behind)]
        door = self._server("Door", [*door, str(self.state / DOOR)], s3.health, {})
        return [postgres, redis, replace(s3, command=command, health=f"tcp://127.0.0.1:{behind}"), door]


if __name__ == "__main__":
    raise SystemExit(cluster.main(settings(), restart=True, made=FailingParts))
