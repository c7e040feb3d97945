"""A real endpoint whose versions misbehave: started as a process of its own, followed over HTTP and through its log."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from resources.records.deployment import Deployment
from resources.records.split import Split
from resources.serving.log import ServingLogResource
from resources.serving.ray_serve import Endpoint
from resources.serving.version_counts import Traffic, version_counts
from resources.settings import PROJECT_ROOT
from tests.resources.versions.misbehaving import HERE

LEAVES = "2014-01-05T23:00:00-05:00"
UP_S = 60


def model_file(home: Path, version: str) -> Path:
    return home / "serving" / "models" / f"trips-{version}.model"


def record(home: Path, version: str, does: str, slope: float | None = None) -> Deployment:
    """The record of a version that multiplies by its number, or by a slope, after it did what it does."""
    content = json.dumps({"slope": int(version) if slope is None else slope, "does": does}).encode()
    path = model_file(home, version)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    told = {
        "name": "trips",
        "version": version,
        "task": "regression",
        "model_path": str(path),
        "model_sha256": hashlib.sha256(content).hexdigest(),
        "scorer": f"{HERE}:Misbehaving",
        "feature_service": "trips_v1",
        "time": "asked_at",
        "moment": "2014-01-06T05:00:00+00:00",
    }
    return Deployment.of(told, "a test's record")


class Server:
    def __init__(self, home: Path, port: int, process: subprocess.Popen) -> None:
        self.home, self.port, self.process = home, port, process
        self.endpoint = Endpoint(folder=str(home / "serving"))
        self.http = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60)

    def by_version(self, version: str, body: Any, query: str = "") -> httpx.Response:
        return self.http.post(f"/v1/models/trips/versions/{version}/predict{query}", json=body)

    def look(self, path: str) -> httpx.Response:
        """By a connection of its own: a kept one that idled is closed by the endpoint, at the moment at which it is used again too."""
        return httpx.get(f"http://127.0.0.1:{self.port}{path}", timeout=60)

    def divide(self, version: str, share: float, deadline_ms: int = 150, **more: float) -> None:
        given = {"name": "trips", "version": version, "share": share, "by": ["distance"]}
        self.endpoint.divide(Split.model_validate({**given, "deadline_ms": deadline_ms, **more}))

    def ask(self, distance: float) -> dict[str, Any]:
        reply = self.http.post("/v1/models/trips/predict", json=trip(distance))
        assert reply.status_code == 200, reply.text
        return reply.json()

    @property
    def log(self) -> ServingLogResource:
        return ServingLogResource(folder=str(self.home / "serving_log"))

    def counts(self) -> dict[str, Traffic]:
        return version_counts(self.log, "trips")


def until(holds: Any, what: str) -> Any:
    deadline = time.monotonic() + UP_S
    while not (found := holds()):
        assert time.monotonic() < deadline, f"not within {UP_S} s: {what}"
        time.sleep(0.05)
    return found


def _answers(http: httpx.Client) -> bool:
    try:
        return bool(http.get("/models").json())
    except httpx.TransportError:
        return False


def offer(home: Path, does: Mapping[str, str]) -> None:
    """Version 1, which answers, and others that may be asked, by what each does."""
    endpoint = Endpoint(folder=str(home / "serving"))
    endpoint.publish(record(home, "1", "well"))
    for version, what in does.items():
        endpoint.offer(record(home, version, what))


@contextmanager
def started(home: Path, port: int) -> Iterator[Server]:
    """An endpoint over a state folder, up, and killed at the end."""
    names = {"MLOPS_HOME": str(home), "MLOPS_SERVE_PORT": str(port), "MLOPS_SERVE_DEADLINE_S": "5", "MLOPS_SERVE_VERSION_MB": "700"}  # fmt: skip
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.resources.versions.server"],
        env={**os.environ, **names},
        cwd=PROJECT_ROOT,
        start_new_session=True,
    )
    try:
        server = Server(home, port, process)
        until(lambda: _answers(server.http), "the endpoint answers")
        yield server
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait(UP_S)


def trip(distance: float) -> dict[str, Any]:
    return {"distance": distance, "leaves_at": LEAVES}
