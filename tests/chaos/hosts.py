"""Hosts with networks of their own beside a cluster: all that reaches them is its parts, by a cable that can be pulled.

A host is a network namespace in which nothing is but a loopback device. Doors there listen at the ports that the cluster's
parts have, and pass on through sockets in a folder, as no packet would get out.
"""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from resources.settings import PROJECT_ROOT
from tests.acceptance.dagster_server import wait
from tests.chaos.door import CLOSED, OPEN
from tests.chaos.life import Life

ENDPOINT_PORT = 8000
HOME = """
from mlops_assets.local.servers import prepare_dagster_home
from resources.settings import settings
prepare_dagster_home(settings())
"""
ASK = """
import json, sys, urllib.request
address, body = sys.argv[1:]
asked = urllib.request.Request(address, body.encode(), {"content-type": "application/json"})
print(urllib.request.urlopen(asked, timeout=30).read().decode())
"""


@dataclass
class Host:
    """One host: its state folder, the file that says how its cable is, and what runs on it."""

    name: str
    life: Life
    folder: Path
    holder: subprocess.Popen[bytes]
    running: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def cable(self, is_in: bool) -> None:
        """Pull the cable, or plug it in again."""
        (self.folder / "cable").write_text(OPEN if is_in else CLOSED)
        time.sleep(0.5)

    def command(self, *words: str) -> list[str]:
        return ["nsenter", "--net", "--target", str(self.holder.pid), *words]

    def environment(self) -> dict[str, str]:
        home = self.folder / "home"
        given = {**self.life.given, **json.loads((self.life.state / "environment.json").read_text())}
        own = {"MLOPS_HOME": str(home), "DAGSTER_HOME": str(home / "dagster")}
        return {**given, **own, "MLOPS_SERVE_PORT": str(ENDPOINT_PORT)}

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        """Python, as a process of the cluster."""
        line = [sys.executable, "-m", "resources.with_secrets", sys.executable, "-W", "ignore", *arguments]
        with (self.folder / "log").open("ab") as log:
            process = subprocess.Popen(
                self.command(*line), env=self.environment(), cwd=PROJECT_ROOT, stdout=log, stderr=log
            )
        self.running.append(process)
        return process

    def answers(self, body: dict[str, Any]) -> int | None:
        """The version that the endpoint of this host answers with; None while it does not."""
        address = f"http://127.0.0.1:{ENDPOINT_PORT}/v1/models/loan_default/predict"
        line = self.command(sys.executable, "-c", ASK, address, json.dumps(body))
        done = subprocess.run(line, capture_output=True, text=True, check=False)
        return int(json.loads(done.stdout)["version"]) if done.returncode == 0 else None

    def said(self) -> str:
        return (self.folder / "log").read_text()[-3000:]


@contextmanager
def hosts(life: Life, names: Sequence[str]) -> Iterator[list[Host]]:
    """Hosts beside a cluster that is up, each with a state folder of its own."""
    with tempfile.TemporaryDirectory(prefix="hosts-") as folder:
        made = [_host(life, name, Path(folder) / name) for name in names]
        doors = [door for one in made for door in _doors(one, _ports(life))]
        try:
            for one in made:
                assert one.start("-c", HOME).wait(timeout=120) == 0, one.said()
            yield made
        finally:
            for process in [*(p for one in made for p in one.running), *doors, *(h.holder for h in made)]:
                process.terminate()
                process.wait(timeout=60)


def _host(life: Life, name: str, folder: Path) -> Host:
    folder.mkdir()
    holder = subprocess.Popen(["unshare", "--net", "sleep", "3600"])
    ours = Path("/proc/self/ns/net").readlink()
    wait(lambda: Path(f"/proc/{holder.pid}/ns/net").readlink() != ours, "a network of its own", 10)
    one = Host(name, life, folder, holder)
    subprocess.run(one.command("ip", "link", "set", "lo", "up"), check=True)
    return one


def _ports(life: Life) -> list[int]:
    """Where the cluster's parts are: stores, databases, MLflow and the code."""
    [code] = json.loads((life.state / "workspace.yaml").read_text())["load_from"]
    store = json.loads((life.state / "environment.json").read_text())["AWS_ENDPOINT_URL"]
    return [
        int(store.rpartition(":")[2]),
        life.postgres_port,
        life.redis_port,
        life.ports["MLFLOW"],
        code["grpc_server"]["port"],
    ]


def _doors(host: Host, ports: Sequence[int]) -> list[subprocess.Popen[bytes]]:
    """The two ends of a host's cable: sockets before the cluster's ports, and ports of the host before the sockets."""
    sockets = {port: str(host.folder / f"{port}.socket") for port in ports}
    door = [sys.executable, "-m", "tests.chaos.door", str(host.folder / "cable")]
    here = [word for port, socket in sockets.items() for word in (socket, str(port))]
    there = [word for port, socket in sockets.items() for word in (str(port), socket)]
    started = [
        subprocess.Popen(line, cwd=PROJECT_ROOT) for line in ([*door, *here], host.command(*door, *there))
    ]
    wait(lambda: all(Path(socket).exists() for socket in sockets.values()), "the cable is in", 30)
    return started
