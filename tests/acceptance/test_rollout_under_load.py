"""Roll-outs of misbehaving versions under constant load at a real endpoint: back by themselves, and nobody sees a failed request."""

import shutil
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import numpy as np
import polars as pl
import pytest

from mlops_assets.promotion.champion import Change
from mlops_assets.promotion.rollouts import Act, act, begin
from mlops_assets.spec.model import ModelSpec
from mlops_assets.stages import rollout_rows, rollout_scores
from mlops_assets.stages.rolling_out import advance
from resources.audit.log import Audit
from resources.clock import Clock, wall
from resources.lake.lake import Lake
from resources.records.rollout import Rollout
from resources.serving.ray_serve import Endpoint
from resources.systems import Systems
from tests.acceptance.versioned import Server, model_file, offer, record, started, trip
from tests.pumps.project import SPEC
from tests.resources.versions.misbehaving import HERE, read_alone

DOES = {
    "2": "well",
    "3": "raises for one row in fifty",
    "4": "gives nan",
    "5": "breaks at load",
    "6": "exits",
    "7": "sleeps",
    "8": "gives another shape",
    "9": "leaks",
    "10": "takes ten times as long",
}
JUDGED = {"11": "says one thing", "12": "is wrong for short trips"}
"""What only labels show: they answer like any other, and multiply as version 1 does but for that."""

STEP = {"bake": "3s", "minimum_samples": 20}
ENDS_S, WITHIN_S, CLIENTS, PAUSE_S = 60, 5.0, 4, 0.005
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


def with_limits(deadline_ms: int = 150, **limits: Any) -> ModelSpec:
    content = TRIPS.model_dump()
    content["rollout"]["deadline_ms"] = deadline_ms
    content["rollout"]["limits"] |= limits
    return ModelSpec.model_validate(content)


SLOW = with_limits(deadline_ms=20_000, latency_ms=10.0)
"""However busy the machine is, no answer is too late: it is slow, beside a champion that is not."""

LABELLED = ModelSpec.model_validate(
    with_limits(metric_worse_by=0.0).model_dump()
    | {
        "task": "regression",
        "label": {"column": "minutes", "known_at": "known_at"},
        "calendar": {"cadence": "weekly", "start": "2024-01-01"},
        "prediction": {"table": "trips/raw", "key": ["trip"], "time": "asked_at"},
        "gate": {"metric": "mae", "floors": {"mae": 1e6}, "cluster": "route"},
    }
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, free_port: Any) -> Iterator[Server]:
    home = tmp_path_factory.mktemp("rollouts")
    offer(home, DOES)
    for version, does in JUDGED.items():
        Endpoint(folder=str(home / "serving")).offer(record(home, version, does, slope=1.0))
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
                time.sleep(PAUSE_S)
                reply = http.post("/v1/models/trips/predict", json=trip(distance))
                if reply.status_code == 200:
                    self.answers.append((time.monotonic(), reply.json()["version"]))
                else:
                    self.failures.append(f"{reply.status_code} {reply.text}")

    def since(self, moment: float) -> set[str]:
        return {version for at, version in self.answers if at > moment}


def rolled_out(server: Server, systems: Systems, version: str, spec: ModelSpec = TRIPS) -> Rollout:
    change = Change("promoted", "trips", int(version), 1, wall(), "ada", "to see", {"sha256": version})
    assert spec.rollout is not None
    slope = 1.0 if version in JUDGED else None
    offered = record(server.home, version, (DOES | JUDGED)[version], slope)
    return begin(systems, change, offered, spec.rollout, "by_hand")


def looked_until(systems: Systems, holds: Any, what: str, spec: ModelSpec = TRIPS) -> Rollout:
    """Look as the sensor does, but four times a second, until something holds of the state."""
    deadline = time.monotonic() + ENDS_S
    while time.monotonic() < deadline:
        found = advance(spec, systems)
        if found is not None and holds(found.state):
            return found.state
        time.sleep(0.25)
    raise AssertionError(f"not within {ENDS_S} s: {what}")


@pytest.mark.parametrize("version", [str(n) for n in range(3, 11)], ids=lambda version: DOES[version])
def test_a_bad_version_is_rolled_back_by_itself_and_no_request_fails(server, systems, version):
    spec = SLOW if DOES[version] == "takes ten times as long" else TRIPS
    with Load(server) as load:
        rolled_out(server, systems, version, spec)
        state = looked_until(systems, lambda state: state.ended, "it ends", spec)
        decided = time.monotonic()
        time.sleep(WITHIN_S + 1)
        asked_since = load.since(decided + WITHIN_S)
    assert state.phase == "rolled_back", state.waits
    assert spec is TRIPS or state.transitions[-1].evidence["decided by"] == "latency"
    assert load.failures == [] and len(load.answers) > 100
    assert asked_since == {"1"}


class Files:
    """The registry's part in a look: the versions by their numbers, and their files."""

    def __init__(self, home: Path) -> None:
        self.home = home

    def __bool__(self) -> bool:
        return False

    def version(self, name: str, number: int) -> SimpleNamespace:
        return SimpleNamespace(number=number, trainer=None)

    def load(self, version: SimpleNamespace) -> bytes:
        return model_file(self.home, str(version.number)).read_bytes()


def labelled(lake: Lake, began: datetime) -> None:
    """Trips of twenty routes since then, each of which took as long as version 1 says, more or less."""
    count, luck = 400, np.random.default_rng(7)
    distance = np.arange(count, dtype=float) % 40 + 1
    times = pl.datetime_range(began, wall(), eager=True, interval="1us").gather_every(1000)[:count]
    rows = pl.DataFrame({"trip": [f"trip {n}" for n in range(len(times))], "asked_at": times}).with_columns(
        known_at="asked_at",
        route=pl.int_range(pl.len()) % 20,
        distance=distance[: len(times)],
        distance_squared=distance[: len(times)] ** 2,
        minutes=distance[: len(times)] ** 2 + luck.normal(0, 1, len(times)),
    )
    week = LABELLED.calendar.at(began)
    lake.write("trips/training_set", rows, week.name)


@pytest.fixture
def labels_of_its_own(systems: Systems) -> Iterator[None]:
    """What a test has labelled is gone after it: other tests of the module have rows of another shape."""
    yield
    shutil.rmtree(Path(systems.lake.root) / "trips" / "training_set")


@pytest.mark.usefixtures("labels_of_its_own")
@pytest.mark.parametrize("version", list(JUDGED), ids=lambda version: JUDGED[version])
def test_a_version_that_only_labels_show_to_be_worse_is_rolled_back_before_anybody_is_answered_by_it(
    server, systems, monkeypatch, version
):
    monkeypatch.setattr(rollout_scores, "SCORER", f"{HERE}:read_alone")
    monkeypatch.setattr(
        rollout_rows, "here", lambda model: read_alone(model.content, code=(), kind=None, name=model.name)
    )
    judged = replace(systems, tracking=Files(server.home))
    began = wall()
    with Load(server) as load:
        rolled_out(server, judged, version, LABELLED)
        looked_until(judged, lambda state: state.traffic.requests > 0, "it scores copies", LABELLED)
        labelled(systems.lake, began)
        state = looked_until(judged, lambda state: state.ended, "it ends", LABELLED)
    assert (state.phase, state.transitions[-1].evidence["decided by"]) == ("rolled_back", "metric")
    assert state.transitions[-1].evidence["metric"]["clusters"] == 20
    assert load.failures == [] and {told for _, told in load.answers} == {"1"}


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
