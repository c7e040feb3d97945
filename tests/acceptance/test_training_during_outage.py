"""A training whose MLflow is killed and started again succeeds, and everything it logged is there exactly once."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import requests

from mlops_assets.stages import training
from mlops_assets.stages.training import train_challenger
from resources.lake.lake import Lake
from resources.settings import PROJECT_ROOT, USAGE_REPORTS_OFF
from resources.systems import Systems
from resources.tracking.client import client_of
from resources.tracking.tracking import Tracking
from tests.pumps.project import SPEC, WEEKS

NAME, NAMES = SPEC.name, WEEKS.names()
AWAY_S = 12.0
"""Until it is started again; starting takes about as long."""
MOST_REQUESTS = 33
LOG_AND_WAIT = """
import sys
import polars as pl
from resources.tracking.tracking import Tracking
from resources.systems import Systems
uri, folder, model = sys.argv[1:]
Tracking(uri=uri, artifacts=folder).log_fit(
    "other_model", open(model, "rb").read(), kind="challenger", identity="killed", params={"depth": 3},
    history={"loss": [0.5, 0.4]}, metrics={"auc": 0.7}, tags={"team": "water"},
    example=pl.DataFrame({"vibration": [1.0]}), artifacts={"notes/why.txt": b"because"}, file="model.bin")
"""


class Server:
    """A real `mlflow server` on one port, over one database, that can be killed and started again."""

    def __init__(self, folder: Path, port: int):
        self.uri = f"http://127.0.0.1:{port}"
        self._command = [
            *(sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port)),
            *("--workers", "1", "--backend-store-uri", f"sqlite:///{folder}/mlflow.db"),
            *("--artifacts-destination", str(folder / "artifacts")),
        ]
        self._log = (folder / "server.log").open("w")
        self.deaths = 0

    def start(self) -> None:
        environment = {**os.environ, **USAGE_REPORTS_OFF, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
        self._process = subprocess.Popen(
            self._command, env=environment, stdout=self._log, stderr=self._log, start_new_session=True
        )

    def wait(self) -> None:
        for _ in range(1200):
            try:
                if requests.get(f"{self.uri}/health", timeout=1).ok:
                    return
            except requests.ConnectionError:
                time.sleep(0.1)
        raise TimeoutError(f"no MLflow at {self.uri}")

    def kill(self) -> None:
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self.deaths += 1


pytestmark = pytest.mark.usefixtures("pumps_features")


@pytest.fixture(scope="module")
def server(tmp_path_factory, free_port) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("server")
    client_of(f"sqlite:///{folder}/mlflow.db")
    server = Server(folder, free_port())
    server.start()
    server.wait()
    yield server
    server.kill()


@pytest.fixture(scope="module")
def lake(tmp_path_factory) -> Lake:
    """A lake with eight weeks of pumps, joined."""
    lake = Lake(root=str(tmp_path_factory.mktemp("lake")))
    for name in NAMES[:-1]:
        write_week(lake, name)
    return lake


def write_week(lake: Lake, name: str) -> None:
    span = WEEKS.partition(name)
    start, end = span.start, span.end
    times = pl.datetime_range(start, end, "1h", closed="left", eager=True, time_unit="us", time_zone="UTC")
    dice = np.random.default_rng(int(start.timestamp()))
    vibration = dice.exponential(1.0, len(times))
    rows = pl.DataFrame({"check_id": [str(t) for t in times], "checked_at": times, "known_at": times})
    rows = rows.with_columns(
        vibration=vibration, stopped_minutes=np.where(dice.random(len(times)) < vibration / 4, 30.0, 0.0)
    )
    notes = {"features": ["vibration"], "feature definitions": "one"}
    lake.write(f"{NAME}/training_set", rows, name, notes=notes)


@pytest.fixture(scope="module")
def tracking(server, tmp_path_factory) -> Tracking:
    folder = tmp_path_factory.mktemp("tracking")
    return Tracking(uri=server.uri, artifacts=str(folder / "artifacts"), patience_s=120)


@pytest.fixture
def on_request(monkeypatch) -> Callable[[Callable[[str, str], None], Callable[[str, str], None]], None]:
    """Calls one function with method and address before each request to MLflow, and another after its answer."""

    def watch(before: Callable[[str, str], None], after: Callable[[str, str], None]) -> None:
        send = requests.Session.request

        def request(session, method, url, *args, **kwargs):
            before(method, url)
            answer = send(session, method, url, *args, **kwargs)
            after(method, url)
            return answer

        monkeypatch.setattr(requests.Session, "request", request)

    return watch


def logged(tracking: Tracking, number: int) -> dict[str, Any]:
    """All that MLflow holds of the run behind a version, without ids and moments."""
    client, version = client_of(tracking.uri), tracking.version(NAME, number)
    run = client.get_run(version.run_id)
    metrics = {
        key: [(m.step, m.value) for m in client.get_metric_history(version.run_id, key)]
        for key in run.data.metrics
    }
    model = client.get_logged_model(run.data.tags["model_id"])
    return {
        "params": run.data.params,
        "tags": {k: v for k, v in run.data.tags.items() if k not in ("model_id", "mlflow.runName")},
        "metrics": metrics,
        "artifacts": {f.path: f.file_size for f in client.list_logged_model_artifacts(model.model_id)},
        "model": (model.params, str(model.status), json.loads(model.tags["mlflow.modelVersions"])),
        "model bytes": tracking.load(version),
        "version tags": version.tags,
        "status": run.info.status,
    }


def names(found: dict[str, Any]) -> dict[str, Any]:
    """Which things there are, whatever their values."""
    parts = ("params", "tags", "metrics", "artifacts", "version tags")
    return {**{part: sorted(found[part]) for part in parts}, "model": sorted(found["model"][0])}


def test_a_training_takes_few_requests(server, lake, tracking, on_request):
    seen: list[str] = []
    on_request(
        lambda method, url: seen.append(f"{method} {url.split('/2.0/')[-1].split('?')[0]}"), lambda *_: None
    )
    train_challenger(SPEC, Systems(lake, tracking=tracking), {})
    assert len(seen) <= MOST_REQUESTS, Counter(seen)
    assert sum("log-batch" in request for request in seen) == 1


def test_an_mlflow_that_dies_twice_during_a_training_delays_it_and_loses_nothing(
    server, lake, tracking, on_request, monkeypatch, tmp_path
):
    before = logged(tracking, 1)
    write_week(lake, NAMES[-1])
    (tmp_path / "model.ubj").write_bytes(before["model bytes"])

    def fit(*args, **kwargs):
        server.kill()
        killed = time.monotonic()
        log_and_be_killed(tracking, tmp_path)
        threading.Timer(max(0.0, AWAY_S - (time.monotonic() - killed)), server.start).start()
        return training_fit(*args, **kwargs)

    def lose_the_answer(method: str, url: str) -> None:
        if url.endswith("model-versions/create") and server.deaths == 1:
            server.kill()
            server.start()
            raise requests.ConnectionError("the server died before it answered")

    training_fit = training.fit
    monkeypatch.setattr(training, "fit", fit)
    on_request(lambda *_: None, lose_the_answer)
    version, fitted, _ = train_challenger(SPEC, Systems(lake, tracking=tracking), {})
    assert server.deaths == 2
    assert [v.number for v in tracking.versions(NAME)] == [1, 2]
    assert tracking.challenger(NAME) == version
    after = logged(tracking, 2)
    assert names(after) == names(before)
    assert after["params"]["rounds"] == str(fitted.rounds)
    assert after["metrics"].pop("validation_logloss") == list(enumerate(fitted.history["validation_logloss"]))
    assert {len(rows) for rows in after["metrics"].values()} == {1}
    assert (after["model bytes"], after["status"]) == (fitted.model, "FINISHED")
    assert after["model"][2] == [{"name": NAME, "version": 2}]
    client = client_of(tracking.uri)
    experiment = client.get_experiment_by_name(NAME).experiment_id
    assert len(client.search_runs([experiment])) == len(client.search_logged_models([experiment])) == 2
    tracking.deliver()
    delivered_once(tracking)


def log_and_be_killed(tracking: Tracking, folder: Path) -> None:
    """A process that logs while the server is away, and is killed as soon as what it logs is on the disk."""
    command = [
        sys.executable,
        "-c",
        LOG_AND_WAIT,
        tracking.uri,
        tracking.artifacts,
        str(folder / "model.ubj"),
    ]
    spool = Path(tracking.artifacts).with_name("spool")
    with subprocess.Popen(command, cwd=PROJECT_ROOT) as process:
        while not list(spool.glob("[!.]*.fit.zip")):
            assert process.poll() is None, "it ended before it was killed"
            time.sleep(0.05)
        process.kill()


def delivered_once(tracking: Tracking) -> None:
    """What the killed process logged is in MLflow, once, and no longer in the spool."""
    client = client_of(tracking.uri)
    experiment = client.get_experiment_by_name("other_model").experiment_id
    (run,) = client.search_runs([experiment])
    assert (run.data.params, run.data.tags["team"]) == ({"depth": "3"}, "water")
    assert [m.value for m in client.get_metric_history(run.info.run_id, "loss")] == [0.5, 0.4]
    assert [f.path for f in client.list_artifacts(run.info.run_id, "notes")] == ["notes/why.txt"]
    assert len(client.search_logged_models([experiment])) == 1
    assert list(Path(tracking.artifacts).with_name("spool").iterdir()) == []
