"""An endpoint at half of what it can, for minutes, while versions are promoted, events pushed and features written online.

`MLOPS_SOAK_MINUTES` says for how long; ten unless told otherwise. What is compared are thirds of the same run, never times.
"""

import asyncio
import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import httpx
import numpy as np
import psutil
import pytest

from mlops_assets.ml.dataset import labelled
from mlops_assets.ml.training.fit import fit
from mlops_assets.use_cases.flights.request import entity_rows
from resources.settings import PROJECT_ROOT
from tests import forked
from tests.acceptance.soak_client import Met, ask
from tests.flights.endpoint_state import NOW, SERVICE, VERSION, State
from tests.small_year import serving

NAME, MINUTES = "flight_delay", "MLOPS_SOAK_MINUTES"
CONNECTIONS = 32
PROBE_S = 8
WARM = 0.15
"""The share of a run that is not looked at: caches fill, and the allocator finds its size."""

MEMORY_MARGIN = 1.08
"""The last third may have so many times the memory of the first; what leaks a kilobyte a request has twice after minutes."""

P99_MARGIN = 4
"""So many times the first third's 99th percentile may the last have: neighbours on the machine come and go."""


class Watched:
    """Memory of their own, file descriptors and threads of a process and all that it started, by the second.

    What they share with others counts for none: it is more by itself when another process of the machine ends.
    """

    def __init__(self, process: psutil.Process) -> None:
        self._process, self.rows = process, list[tuple[float, float, int, int]]()
        self.memories = list[dict[str, float]]()
        """Of each process by the end of its command."""

    def look(self, at: float) -> None:
        """Note how it is now."""
        family = [self._process, *self._process.children(recursive=True)]
        own = {" ".join(one.cmdline())[-40:]: one.memory_full_info().uss / 1e6 for one in family}
        self.memories.append(own)
        self.rows.append(
            (
                at,
                sum(own.values()),
                sum(one.num_fds() for one in family),
                sum(one.num_threads() for one in family),
            )
        )


@pytest.mark.nightly
def test_it_stays_as_it_is_at_half_of_what_it_can(tmp_path: Path, free_port: Callable[[], int]) -> None:
    seconds = 60 * float(os.environ.get(MINUTES, "10"))
    state, port = State(tmp_path, "", {NAME: {"rounds": 60}}), free_port()
    versions, requests = _two_versions(state), _requests(state, port)
    with serving(tmp_path, port) as process:
        _wait_until_up(port)
        watched = Watched(psutil.Process(process.pid))
        most = _most(port, requests)
        with _meanwhile(
            promoting=_promoting(state, versions), pushing=_pushing(port), writing=_writing(state)
        ) as others:
            met = _soaked(port, requests, most / 2, seconds, watched)
    print(_told(most, met, watched, seconds), others)
    assert set(met.statuses) == {"200"}, (met.statuses, Counter(map(int, met.refused)))
    assert set(met.versions) == {b"%d" % version for version, _ in versions}
    assert all(type(times) is int for times in others.values()), others
    first, last = (_third(watched, seconds, n) for n in (0, 2))
    assert np.median(last[:, 1]) <= MEMORY_MARGIN * np.median(first[:, 1])
    assert last[:, 2].max() <= first[:, 2].max() + 2 and last[:, 3].max() <= first[:, 3].max()
    assert _p99(met, seconds, 2) <= P99_MARGIN * _p99(met, seconds, 0)


def _two_versions(state: State) -> list[tuple[int, bytes]]:
    """The version that is served, and one of other trees."""
    spec = state.specs[NAME]
    joined = state.store.historical(SERVICE, entity_rows(state.flights), "prediction_time")
    rows = labelled(joined, spec, NOW + timedelta(days=9))
    return [
        (VERSION, state.models[NAME]),
        (VERSION + 1, fit(rows, spec, state.store.feature_columns(SERVICE), rounds=30).model),
    ]


def _requests(state: State, port: int) -> list[bytes]:
    """Predictions as they go over the wire."""
    bodies = [one.model_dump_json().encode() for one in state.requests(200)]
    head = f"POST /predict/{NAME} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\n"
    return [f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body for body in bodies]


def _wait_until_up(port: int) -> None:
    for _ in range(600):
        try:
            if httpx.get(f"http://127.0.0.1:{port}/readyz", timeout=5).status_code == 200:
                return
        except httpx.HTTPError:
            pass
        time.sleep(0.1)
    raise AssertionError("the endpoint does not answer")


def _most(port: int, requests: list[bytes]) -> float:
    """Requests a second that it answers when there is always one waiting."""
    rate = 100.0
    while True:
        met = asyncio.run(ask(port, requests, rate, PROBE_S / 4, CONNECTIONS))
        assert set(met.statuses) <= {"200", "503"}, met.statuses
        answered = met.statuses["200"] / max(due + took for due, took in zip(met.due, met.took, strict=True))
        if answered < 0.9 * rate:
            return answered
        rate *= 1.5


def _soaked(port: int, requests: list[bytes], rate: float, seconds: float, watched: Watched) -> Met:
    """Requests at the rate, while it is watched."""
    began, ended = time.perf_counter(), threading.Event()

    def look() -> None:
        while not ended.wait(seconds / 150):
            watched.look(time.perf_counter() - began)

    looking = threading.Thread(target=look)
    looking.start()
    try:
        return asyncio.run(ask(port, requests, rate, seconds, CONNECTIONS))
    finally:
        ended.set()
        looking.join()


@contextmanager
def _meanwhile(**loops: Callable[[int], float]) -> Iterator[dict[str, int | str]]:
    """What goes on beside the requests: each does one thing, and says after how many seconds it does the next.

    How often each did, or what went wrong, is known at the end.
    """
    ended, done = threading.Event(), dict[str, int | str]()

    def go(name: str, step: Callable[[int], float]) -> None:
        n = 0
        try:
            while not ended.wait(step(n)):
                n += 1
            done[name] = n + 1
        except Exception as error:  # noqa: BLE001 -- told by the test
            done[name] = f"failed after {n}: {error!r}"

    threads = [threading.Thread(target=go, args=one) for one in loops.items()]
    for thread in threads:
        thread.start()
    try:
        yield done
    finally:
        ended.set()
        for thread in threads:
            thread.join()


def _promoting(state: State, versions: list[tuple[int, bytes]]) -> Callable[[int], float]:
    def promote(n: int) -> float:
        state.publish(state.specs[NAME], *versions[(n + 1) % 2])
        return 10

    return promote


def _pushing(port: int) -> Callable[[int], float]:
    client = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60)

    def push(n: int) -> float:
        event = {
            "origin": ["EWR", "JFK", "LGA"][n % 3],
            "event_timestamp": (NOW + timedelta(seconds=n)).isoformat(),
            "temp": n % 100,
        }
        reply = client.post("/push/weather_observation", json=event)
        assert reply.status_code == 200, reply.text
        return 1

    return push


WRITING = """
import sys
from resources.features.stores import FeatureStores
from tests.flights.endpoint_state import NOW, SERVICE, START
lake, home = sys.argv[1:]
store = FeatureStores(lake_root=lake, home=home).of("flights")
store.materialize(store.views(SERVICE), START, NOW)
"""


def _writing(state: State) -> Callable[[int], float]:
    def write(n: int) -> float:
        done = forked.run(["-c", WRITING, state.home.lake, str(state.home.feast)], os.environ, PROJECT_ROOT)
        assert done.returncode == 0, done.stderr[-2000:]
        return 15

    return write


def _third(watched: Watched, seconds: float, number: int) -> np.ndarray:
    """What was seen in a third of the time after it was warm."""
    rows, (start, end) = np.array(watched.rows), _span(seconds, number)
    return rows[(rows[:, 0] >= start) & (rows[:, 0] < end)]


def _p99(met: Met, seconds: float, number: int) -> float:
    due, took = np.array(met.due), np.array(met.took)
    start, end = _span(seconds, number)
    return float(np.percentile(took[(due >= start) & (due < end)], 99))


def _span(seconds: float, number: int) -> tuple[float, float]:
    third = seconds * (1 - WARM) / 3
    return seconds * WARM + third * number, seconds * WARM + third * (number + 1)


def _told(most: float, met: Met, watched: Watched, seconds: float) -> str:
    """The figures of a run."""
    lines = [f"at most {most:.0f} requests a second; {len(met.due)} in {seconds:.0f} s: {dict(met.statuses)}"]
    for n in range(3):
        third = _third(watched, seconds, n)
        lines.append(
            f"third {n + 1}: {np.median(third[:, 1]):.1f} MB, {third[:, 2].max():.0f} descriptors, "
            f"{third[:, 3].max():.0f} threads, p99 {_p99(met, seconds, n) * 1e3:.1f} ms"
        )
    tenths = watched.memories[:: max(1, len(watched.memories) // 10)]
    for command in sorted(set().union(*tenths)):
        own = ", ".join(f"{one[command]:.0f}" if command in one else "-" for one in tenths)
        lines.append(f"MB of ...{command}: {own}")
    return "\n".join(lines)
