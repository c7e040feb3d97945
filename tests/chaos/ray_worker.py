"""`python -m tests.chaos.ray_worker ADDRESS CPUS`: a node on the loopback address that joins the Ray whose head is there.

`ray start --address` joins only where Ray may have clusters, and there it turns the loopback address into the machine's outside one.
"""

import sys
import time
from urllib.parse import urlsplit

MEMORY = 256 * 2**20
"""Bytes of the object store of a node."""


def main(address: str, cpus: int) -> int:
    """Be the node until one of its processes ends."""
    from ray._private.node import Node
    from ray._private.parameter import RayParams

    host = urlsplit(f"tcp://{address}").hostname
    parameters = RayParams(
        gcs_address=address, node_ip_address=host, num_cpus=cpus, object_store_memory=MEMORY
    )
    node = Node(parameters, head=False, shutdown_at_exit=True, spawn_reaper=True)
    while not (ended := node.dead_processes()):
        time.sleep(0.5)
    print("ended:", *(kind for kind, _ in ended), flush=True)
    return 1


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1], int(sys.argv[2])))
