"""More asked than can be answered: some are told at once to come again, and all that are let in are answered, and rightly."""

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from resources.settings import PROJECT_ROOT
from tests.resources.endpoint_process import TRIP, Server, wait_until_up

CONNECTIONS = 300
WAIT_MS = 20


@dataclass
class Seen:
    """What a load got: answers by status, their seconds, and what was wrong with any."""

    statuses: Counter[int] = field(default_factory=Counter)
    took_s: dict[int, list[float]] = field(default_factory=dict)
    wrong: list[bytes] = field(default_factory=list)


async def _ask(port: int, path: str, distance: float, until: float, pause_s: float, seen: Seen) -> None:
    """Requests over one connection, the next as soon as one is answered."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    body = json.dumps(TRIP | {"distance": distance}).encode()
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    while time.perf_counter() < until:
        began = time.perf_counter()
        writer.write(head.encode() + body)
        told = (await reader.readuntil(b"\r\n\r\n")).lower()
        length = int(told.split(b"content-length: ")[1].split(b"\r\n")[0])
        content = await reader.readexactly(length)
        status = int(told.split()[1])
        seen.statuses[status] += 1
        seen.took_s.setdefault(status, []).append(time.perf_counter() - began)
        right = (
            re.search(rb"retry-after: [1-9]", told)
            if status == 503
            else status == 200 and json.loads(content)["value"] == 3.0 * distance * distance
        )
        if not right:
            seen.wrong.append(told + content)
        if status == 503:
            await asyncio.sleep(pause_s)
    writer.close()


def load(port: int, path: str, connections: int, seconds: float, pause_s: float = 0.02) -> Seen:
    """What so many connections get for so long; one that is sent away comes again after `pause_s`."""

    async def all_of_them() -> Seen:
        seen, until = Seen(), time.perf_counter() + seconds
        await asyncio.gather(
            *[_ask(port, path, float(n % 10), until, pause_s, seen) for n in range(connections)]
        )
        return seen

    return asyncio.run(all_of_them())


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, free_port) -> Iterator[Server]:
    home, port = tmp_path_factory.mktemp("overload"), free_port()
    names = {"MLOPS_HOME": str(home), "MLOPS_SERVE_PORT": str(port), "MLOPS_SERVE_WAIT_MS": str(WAIT_MS)}
    path = os.pathsep.join([str(PROJECT_ROOT), str(PROJECT_ROOT / "tests" / "resources")])
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.acceptance.overload_server"],
        env={**os.environ, **names, "PYTHONPATH": path},
        cwd=PROJECT_ROOT,
        start_new_session=True,
    )
    try:
        up = Server(home, port, process)
        wait_until_up(up)
        up.publish(slope=3.0)
        up.until(lambda models: "trips" in models)
        yield up
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=60) == 0


@pytest.mark.parametrize("path", ["/v1/models/trips/predict", "/predict/trips?features=false"])
def test_beyond_capacity_some_are_sent_away_and_what_is_let_in_is_answered_rightly(server, path):
    """The second path is answered by threads behind the event loop."""
    port = int(server.address.rsplit(":", 1)[1])
    seen = load(port, path, CONNECTIONS, seconds=3.0)
    assert seen.wrong == []
    assert set(seen.statuses) == {200, 503}, seen.statuses
    alone = load(port, path, 1, seconds=0.3)
    assert set(alone.statuses) == {200} and alone.wrong == []
