"""Roll-outs of misbehaving versions under constant load at a real endpoint: back by themselves, and nobody sees a failed request."""

import threading
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from mlops_assets.promotion.champion import Change
from mlops_assets.promotion.rollouts import Act, act, begin
from mlops_assets.spec.model import ModelSpec
from mlops_assets.stages.rolling_out import advance
from resources.audit.log import Audit
from resources.clock import Clock, wall
from resources.lake.lake import Lake
from resources.records.rollout import Rollout
from resources.systems import Systems
from tests.acceptance.versioned import Server, offer, record, started, trip
from tests.pumps.project import SPEC

DOES = {
    "2": "well",
    "3": "raises for one row in fifty",
    "4": "gives nan",
    "5": "breaks at load",
    "6": "exits",
    "7": "sleeps",
    "8": "gives another shape",
    "9": "leaks",
}
STEP = {"bake": "3s", "minimum_samples": 20}
ENDS_S, WITHIN_S, CLIENTS = 60, 5.0, 4
TRIPS = ModelSpec.model_validate(
    SPEC.model_dump()
    | {
        "name": "trips",
        "clock": "wall",
        "rollout": {
            "answers_influence_labels": False,
            "shadow": STEP | {"cpu": 1.0},
            "canary": [STEP | {"share": 0.3}],
            "full": {"bake": "1h", "minimum_samples": 20},
            "limits": {"error_rate": 0.001, "latency_ms": 150, "slow_share": 0.5, "metric_worse_by": None},
            "deadline_ms": 150,
            "by": ["distance"],
        },
    }
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, free_port: Any) -> Iterator[Server]:
    home = tmp_path_factory.mktemp("rollouts")
    offer(home, DOES)
    with started(home, free_port()) as server:
        yield server


@pytest.fixture(scope="module")
def systems(server: Server) -> Systems:
    """What the controller works with; version 1 is champion by the log."""
    home = server.home
    audit = Audit(folder=str(home / "audit"))
    audit.record(
        "promoted", "trips", identity={"version": 1}, by="ada", why="the first", moment=wall(), evidence={}, version=1
    )  # fmt: skip
    return Systems(
        Lake(root=str(home / "lake")),
        endpoint=server.endpoint,
        audit=audit,
        serving_log=server.log,
        clock=Clock(),
    )


class Load:
    """Clients that ask all the time over connections that stay open; what they were told, and when."""

    def __init__(self, server: Server) -> None:
        self.server, self.over = server, threading.Event()
        self.answers: list[tuple[float, str]] = []
        self.failures: list[str] = []
        self.threads = [threading.Thread(target=self._ask, args=(number,)) for number in range(CLIENTS)]

    def __enter__(self) -> "Load":
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_: Any) -> None:
        self.over.set()
        for thread in self.threads:
            thread.join()

    def _ask(self, number: int) -> None:
        distance = float(number)
        with httpx.Client(base_url=f"http://127.0.0.1:{self.server.port}", timeout=30) as http:
            while not self.over.is_set():
                distance += CLIENTS
                reply = http.post("/v1/models/trips/predict", json=trip(distance))
                if reply.status_code == 200:
                    self.answers.append((time.monotonic(), reply.json()["version"]))
                else:
                    self.failures.append(f"{reply.status_code} {reply.text}")

    def since(self, moment: float) -> set[str]:
        return {version for at, version in self.answers if at > moment}


def rolled_out(server: Server, systems: Systems, version: str) -> Rollout:
    change = Change("promoted", "trips", int(version), 1, wall(), "ada", "to see", {"sha256": version})
    assert TRIPS.rollout is not None
    return begin(systems, change, record(server.home, version, DOES[version]), TRIPS.rollout, "by_hand")


def looked_until(systems: Systems, holds: Any, what: str) -> Rollout:
    """Look as the sensor does, but four times a second, until something holds of the state."""
    deadline = time.monotonic() + ENDS_S
    while time.monotonic() < deadline:
        found = advance(TRIPS, systems)
        if found is not None and holds(found.state):
            return found.state
        time.sleep(0.25)
    raise AssertionError(f"not within {ENDS_S} s: {what}")


@pytest.mark.parametrize("version", ["3", "4", "5", "6", "7", "8", "9"], ids=lambda version: DOES[version])
def test_a_bad_version_is_rolled_back_by_itself_and_no_request_fails(server, systems, version):
    with Load(server) as load:
        rolled_out(server, systems, version)
        state = looked_until(systems, lambda state: state.ended, "it ends")
        decided = time.monotonic()
        time.sleep(WITHIN_S + 1)
        asked_since = load.since(decided + WITHIN_S)
    assert state.phase == "rolled_back", state.waits
    assert load.failures == [] and len(load.answers) > 100
    assert asked_since == {"1"}


def test_a_good_version_takes_all_requests_and_the_champion_has_them_back_once_it_is_aborted(server, systems):
    with Load(server) as load:
        rolled_out(server, systems, "2")
        looked_until(systems, lambda state: state.step == 2, "it has all requests")
        full = time.monotonic()
        time.sleep(WITHIN_S + 2)
        at_full = load.since(full + WITHIN_S)
        state = act(systems, "trips", Act("aborted", "lin", "enough", wall(), {}))
        ended = time.monotonic()
        time.sleep(WITHIN_S + 1)
        after = load.since(ended + WITHIN_S)
    assert [one.kind for one in state.transitions] == ["started", "advanced", "advanced", "aborted"]
    assert "2" in at_full and after == {"1"}
    assert load.failures == []
