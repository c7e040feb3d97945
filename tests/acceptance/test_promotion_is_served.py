"""A promotion reaches the running endpoint: no restart, no failed request."""

import shutil
import threading
import time
from pathlib import Path

import httpx
import pytest

from mlops_assets.commands.train import varied
from mlops_assets.definitions import specs
from mlops_assets.promotion.records import record_evaluated
from mlops_assets.spec.gate import Gate
from mlops_assets.stages.deploying import deploy
from mlops_assets.stages.judging import judge_challenger
from mlops_assets.stages.training import train_challenger
from mlops_assets.use_cases.flights.request import EXAMPLE
from resources.local import local_resources
from resources.settings import settings
from resources.systems import Systems
from tests.flights.shortened import UNGUARDED
from tests.small_year import serving

WITHIN_SECONDS = 10


@pytest.fixture
def endpoint(small_home: Path, tmp_path: Path, free_port):
    """The shipped endpoint over a copy of a replayed state, and the copy."""
    home = tmp_path / "home"
    shutil.copytree(small_home, home)
    number = free_port()
    with serving(home, number):
        yield home, f"http://127.0.0.1:{number}/predict/flight_delay"


def answer(address: str) -> httpx.Response | None:
    try:
        return httpx.post(address, json=EXAMPLE, timeout=30)
    except httpx.ConnectError:
        return None


def answered_by(address: str, version: str, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = answer(address)
        if found is not None and found.status_code == 200 and found.json()["version"] == version:
            return True
        time.sleep(0.2)
    return False


def promoted(home: Path) -> str:
    """Train, judge and deploy a shallower variant with the pipeline's own steps; its version number."""
    resources = local_resources(settings({"MLOPS_HOME": str(home)}))
    systems = Systems.of(resources)
    shipped = specs()["flight_delay"]
    anything_passes = Gate.model_validate(
        {"metric": "log_loss", "floors": {"auc": 0.3}, "tolerance": 5} | UNGUARDED
    )
    spec = varied(shipped, ["max_depth=3"]).model_copy(update={"gate": anything_passes})
    train_challenger(spec, systems, {})
    judged = judge_challenger(spec, systems, {})
    assert judged.verdict.promote
    record_evaluated(resources["audit"], spec, judged.attempt, {})
    version, _, _ = deploy(spec, systems, {})
    return str(version.number)


def test_the_running_endpoint_answers_with_the_new_champion(endpoint):
    home, address = endpoint
    assert answered_by(address, "2", 120), "the endpoint never answered with the first champion"
    seen: list[tuple[int, str]] = []
    stop = threading.Event()

    def ask() -> None:
        while not stop.is_set():
            found = answer(address)
            assert found is not None
            seen.append((found.status_code, found.json()["version"]))

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        new = promoted(home)
        assert answered_by(address, new, WITHIN_SECONDS), (
            f"version {new} did not answer in {WITHIN_SECONDS} s"
        )
    finally:
        stop.set()
        asking.join()
    assert {status for status, _ in seen} == {200}
    versions = [version for _, version in seen]
    assert set(versions) == {"2", new}
    assert versions == sorted(versions, key=[*dict.fromkeys(versions)].index), "an old version answered again"
