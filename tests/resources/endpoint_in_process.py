"""The endpoint's application in this process, over the fakes: a model, and a push source whose events go nowhere."""

import hashlib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
from fastapi import FastAPI
from fastapi.testclient import TestClient

from resources.clock import Clock
from resources.features.push import Pusher
from resources.features.push_sources import PushSource
from resources.serving.http.features import mount
from resources.serving.http.predict import application
from resources.serving.live_models import LiveModels
from resources.serving.log_writer import ServingLog
from resources.serving.ray_serve import Endpoint
from resources.serving_limits import Limits
from resources.storage.addresses import storage_at
from tests.resources.serving_fakes import FakeFeatures, declared

NOW = datetime(2014, 1, 6, 5, tzinfo=UTC)
TRIP = {"distance": 3.0, "leaves_at": "2014-01-05T23:00:00-05:00"}
EVENT = {"station": "EWR", "event_timestamp": "2014-01-06T05:10:00Z", "temp": 71.5, "gusts": 3}
MODEL = b'{"slope": 2.0}'


class Sink:
    """A feature store that forgets what is pushed."""

    def __init__(self, folder: Path) -> None:
        kinds = {"temp": "Float32", "gusts": "Int64", "seen": "UnixTimestamp", "codes": "Array(Int64)"}
        source = PushSource(
            "readings", ("weather",), {"station": "String"}, kinds, storage_at(folder / "weather")
        )
        self.sources = {"readings": source}

    def push_sources(self) -> dict[str, PushSource]:
        return self.sources

    def push(self, source: str, rows: pl.DataFrame, to: str) -> None:
        rows.to_pandas(use_pyarrow_extension_array=True)


def endpoint(
    home: Path,
    hosts: tuple[str, ...] = (),
    store: Any = None,
    features: Any = None,
    clock: Clock | None = None,
    log: ServingLog | None = None,
    limits: Limits | None = None,
    keys: tuple[str, ...] = (),
) -> FastAPI:
    """The application with the model `trips` and the push source `readings`; with a clock the model is asked by that."""
    models = home / "serving" / "models"
    models.mkdir(parents=True)
    (models / "trips-1.model").write_bytes(MODEL)
    record: dict[str, Any] = {
        "name": "trips",
        "version": "1",
        "task": "regression",
        "model_path": str(models / "trips-1.model"),
        "model_sha256": hashlib.sha256(MODEL).hexdigest(),
        "scorer": "tests.resources.serving_fakes:FakeScorer",
        "feature_service": "trips_v1",
        "time": "asked_at",
        "moment": NOW.isoformat(),
        "clock": "wall" if clock else "data",
    }
    Endpoint(folder=str(home / "serving")).publish(record)
    live = LiveModels(home / "serving", features or FakeFeatures(), declared, log, clock)
    live.look()
    assert not live.problems, live.problems
    told = (live.pushed, live.now_of_view, live.ingested, live.asked_by_the_wall_clock)
    pusher = Pusher(Sink(home), *told, clock)
    app = application(live, "http://localhost", log, pusher, hosts, limits, keys)
    app.state.models = live
    return mount(app, lambda _: store, live.moment)


def client(app: FastAPI, base_url: str = "http://localhost") -> TestClient:
    """One that asks by the name of this machine, and passes an exception of the application on as a 500."""
    return TestClient(app, base_url=base_url, raise_server_exceptions=False)
