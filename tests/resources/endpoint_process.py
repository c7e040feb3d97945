"""A real endpoint of the tests: started as a process of its own on stand-in features, asked over HTTP, told to end."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from resources.serving.log import ServingLogResource
from resources.serving.ray_serve import Endpoint
from resources.settings import PROJECT_ROOT

SERVE = "from resources.serving import {how} as how; import serving_fakes; raise SystemExit(how.main(serving_fakes.build))"
TRIP = {"distance": 3.0, "leaves_at": "2014-01-05T23:00:00-05:00"}
JSON = {"content-type": "application/json"}
MOMENT = "2014-01-06T05:00:00+00:00"


class Server:
    """A running endpoint, its records, and a client."""

    def __init__(self, home: Path, port: int, process: subprocess.Popen) -> None:
        self.home, self.process, self.address = home, process, f"http://127.0.0.1:{port}"
        self.endpoint = Endpoint(folder=str(home / "serving"), address=self.address)
        self.http = httpx.Client(base_url=self.address, timeout=30)

    def publish(self, name="trips", version="1", slope=2.0, **changes):
        content = json.dumps({"slope": slope}).encode()
        path = self.home / "serving" / f"{name}-{version}.model"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
        record = {
            "name": name,
            "version": version,
            "task": "regression",
            "model_path": str(path),
            "model_sha256": hashlib.sha256(content).hexdigest(),
            "scorer": "serving_fakes:FakeScorer",
            "feature_service": "trips_v1",
            "time": "asked_at",
            "moment": MOMENT,
            "owner": "team@example.org",
        }
        return self.endpoint.publish({**record, **changes})

    def models(self):
        return {model["name"]: model for model in self.http.get("/models").json()}

    def until(self, holds, seconds=10.0):
        deadline = time.monotonic() + seconds
        while not holds(self.models()):
            assert time.monotonic() < deadline, f"not within {seconds} s: {self.models()}"
            time.sleep(0.05)

    def stop(self):
        """Tell it to stop, if it has not been told; it must end with 0."""
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(timeout=60) == 0

    def withdraw_all(self):
        for path in (self.home / "serving").glob("*.json"):
            path.unlink()
        self.until(lambda models: not models)


def wait_until_up(server):
    deadline = time.monotonic() + 120
    while True:
        assert server.process.poll() is None, "the endpoint ended while it started"
        try:
            return server.http.get("/healthz").raise_for_status()
        except httpx.HTTPError:
            assert time.monotonic() < deadline
            time.sleep(0.2)


@contextmanager
def running(
    home: Path, port: int, ends_on: signal.Signals = signal.SIGTERM, how: str = "process"
) -> Iterator[Server]:
    """A server of its own, up, as a plain process or by `ray_serve`; it must end with 0 when it is told to stop."""
    names = {"MLOPS_HOME": str(home), "MLOPS_SERVE_PORT": str(port)}
    path = os.pathsep.join([str(PROJECT_ROOT), str(Path(__file__).parent)])
    process = subprocess.Popen(
        [sys.executable, "-c", SERVE.format(how=how)],
        env={**os.environ, **names, "PYTHONPATH": path},
        start_new_session=True,
    )
    try:
        server = Server(home, port, process)
        wait_until_up(server)
        yield server
    finally:
        process.send_signal(ends_on)
        code = process.wait(timeout=60)
    assert code == (-signal.SIGKILL if ends_on == signal.SIGKILL else 0)


def logged(home: Path, model: str = "trips") -> set[str]:
    log = ServingLogResource(folder=str(home / "serving_log")).read(model, 1000)
    return set(log["__request_id"]) if log.width else set()


def ask(server: Server, count: int, model: str = "trips") -> set[str]:
    return {server.http.post(f"/predict/{model}", json=TRIP).json()["request_id"] for _ in range(count)}
