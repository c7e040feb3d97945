"""Two hosts, each a network of its own, on one store: one chain of entries, one holder of a lease, and a lease that is taken over."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from resources.settings import PROJECT_ROOT
from tests.conftest import needed_program
from tests.s3 import BUCKET, KEYS

pytestmark = pytest.mark.nightly
SUBNET = "10.233.77"


@pytest.fixture(scope="module")
def hosts(tmp_path_factory) -> Iterator["Hosts"]:
    """A bridge in a network of its own, on which two hosts and the store are; nothing of it is reached from outside."""
    for program, package in (("ip", "iproute2"), ("unshare", "util-linux"), ("nsenter", "util-linux")):
        needed_program(program, f"apt-get install {package}")
    if os.geteuid() != 0:
        pytest.skip("networks of their own need root: run this test as root")
    with Hosts.up(tmp_path_factory.mktemp("hosts")) as one:
        yield one


class Hosts:
    """Three networks: of the store, and of two hosts, joined by pairs of virtual cables."""

    def __init__(self, folder: Path, holders: dict[str, subprocess.Popen[bytes]]) -> None:
        self.folder, self._holders = folder, holders

    @classmethod
    @contextmanager
    def up(cls, folder: Path) -> Iterator["Hosts"]:
        holders = {
            name: subprocess.Popen(["unshare", "--net", "sleep", "600"]) for name in ("store", "one", "two")
        }
        hosts = cls(folder, holders)
        server: subprocess.Popen[bytes] | None = None
        try:
            hosts._wait_for_networks()
            hosts._cables()
            (folder / "keys").mkdir()
            server = hosts.start("store", "-c", SERVER, bind=f"{SUBNET}.1")
            hosts._wait_for_store()
            yield hosts
        finally:
            for process in [*filter(None, [server]), *holders.values()]:
                process.kill()
                process.wait()

    def _wait_for_networks(self) -> None:
        ours = Path("/proc/self/ns/net").readlink()
        for process in self._holders.values():
            for _ in range(200):
                if Path(f"/proc/{process.pid}/ns/net").readlink() != ours:
                    break
                time.sleep(0.05)

    def _cables(self) -> None:
        for name in self._holders:
            self._in(name, "ip", "link", "set", "lo", "up")
        self._in("store", "ip", "link", "add", "br0", "type", "bridge")
        self._in("store", "ip", "addr", "add", f"{SUBNET}.1/24", "dev", "br0")
        for number, name in enumerate(("one", "two"), 2):
            there = self._holders[name].pid
            self._in(
                "store",
                *(
                    "ip",
                    "link",
                    "add",
                    f"to-{name}",
                    "type",
                    "veth",
                    "peer",
                    "name",
                    "eth0",
                    "netns",
                    str(there),
                ),
            )
            self._in("store", "ip", "link", "set", f"to-{name}", "master", "br0", "up")
            self._in(name, "ip", "addr", "add", f"{SUBNET}.{number}/24", "dev", "eth0")
            self._in(name, "ip", "link", "set", "eth0", "up")
        self._in("store", "ip", "link", "set", "br0", "up")

    def cable(self, name: str, state: str) -> None:
        """Pull a host's cable, or plug it in again."""
        self._in("store", "ip", "link", "set", f"to-{name}", state)

    def _in(self, name: str, *command: str) -> None:
        subprocess.run(["nsenter", "--net", "--target", str(self._holders[name].pid), *command], check=True)

    def start(self, name: str, *arguments: str, **more: str) -> subprocess.Popen[bytes]:
        """Python on a host."""
        given = {
            **os.environ,
            **KEYS,
            **dict.fromkeys(("NO_PROXY", "no_proxy"), f"{SUBNET}.1"),
            "AWS_ENDPOINT_URL": f"http://{SUBNET}.1:5000",
            "PYTHONPATH": str(PROJECT_ROOT),
            "KEY_FILE": str(self.folder / "keys" / "audit.key"),
            "BUCKET": BUCKET,
            **{key.upper(): value for key, value in more.items()},
        }
        line = ["nsenter", "--net", "--target", str(self._holders[name].pid), sys.executable, *arguments]
        return subprocess.Popen(line, env=given, stdout=subprocess.PIPE)

    def said(self, name: str, code: str, **more: str) -> str:
        """What a program on a host prints; it must end with 0."""
        process = self.start(name, "-c", code, **more)
        out, _ = process.communicate(timeout=240)
        assert process.returncode == 0, out
        return out.decode()

    def _wait_for_store(self) -> None:
        said = self.said("one", REACHED)
        assert said.endswith("True\n"), said[-2000:]


SERVER = """
import os, threading
from resources.storage import s3_server
s3_server.HOST = os.environ["BIND"]
one = s3_server.started(5000)
s3_server.client(5000, "s3").create_bucket(Bucket=os.environ["BUCKET"])
threading.Event().wait()
"""
REACHED = """
import os, socket, time
for _ in range(600):
    try:
        socket.create_connection((os.environ["AWS_ENDPOINT_URL"][7:].split(":")[0], 5000), 1).close()
        break
    except OSError:
        time.sleep(0.2)
from resources.storage.addresses import storage_at
for _ in range(100):
    try:
        storage_at("s3://" + os.environ["BUCKET"] + "/look").write("a", b"1")
        print(True)
        break
    except Exception as error:
        print(error)
        time.sleep(0.2)
"""
DECIDES = """
import os
from resources.audit.log import Audit
audit = Audit(folder="s3://" + os.environ["BUCKET"] + "/audit", key_file=os.environ["KEY_FILE"])
for number in range(25):
    audit.record("approved", "loans", identity={"number": number % 20 if number < 20 else os.environ["WHO"] + str(number)},
        by=os.environ["WHO"], why="both hosts decide the same, and each some of its own", moment=None, evidence={})
"""
HOLDS = """
import os, time
from resources.storage.addresses import storage_at
from resources.storage.lease import leased
with leased(storage_at("s3://" + os.environ["BUCKET"] + "/leases"), "champion", os.environ["WHO"], float(os.environ["LASTS"])) as lease:
    print(lease.number, flush=True)
    time.sleep(float(os.environ["WORK"]))
"""
LOG = """
import json, os
from resources.audit.log import Audit
audit = Audit(folder="s3://" + os.environ["BUCKET"] + "/audit", key_file=os.environ["KEY_FILE"])
print(json.dumps({"problem": str(audit.verify().problem), "events": [e.event for e in audit.entries()],
    "previous": [e.previous for e in audit.entries()], "hashes": [e.hash for e in audit.entries()]}))
"""


def test_two_hosts_that_decide_at_once_leave_one_chain_with_each_decision_once(hosts):
    hosts.said("one", DECIDES.replace("range(25)", "range(1)"), who="one")
    deciding = [hosts.start(name, "-c", DECIDES, who=name) for name in ("one", "two")]
    assert [process.wait(timeout=300) for process in deciding] == [0, 0]
    log = json.loads(hosts.said("two", LOG))
    assert log["problem"] == "None"
    assert len(log["events"]) == len(set(log["events"])) == 20 + 2 * 5
    assert log["previous"][1:] == log["hashes"][:-1]


def test_a_lease_has_one_holder_and_is_taken_over_from_a_host_that_was_killed_or_cut_off(hosts):
    first = hosts.start("one", "-c", HOLDS, who="one", lasts="4", work="300")
    assert first.stdout and first.stdout.readline() == b"1\n"
    second = hosts.start("two", "-c", HOLDS, who="two", lasts="4", work="300")
    time.sleep(6)
    assert second.poll() is None and first.poll() is None
    first.send_signal(signal.SIGKILL)
    assert second.stdout and second.stdout.readline() == b"2\n"
    first.wait()
    hosts.cable("two", "down")
    third = hosts.said("one", HOLDS, who="one", lasts="4", work="0")
    assert third == "3\n"
    hosts.cable("two", "up")
    second.kill()
    second.wait()
