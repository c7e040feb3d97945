"""The endpoint's application over a small lake with real stores, to which events are pushed."""

import shutil
from datetime import datetime, timedelta
from pathlib import Path

import polars as pl
from fastapi.testclient import TestClient

from mlops_assets.use_cases.flights.request import entity_rows
from resources.features.push import Pusher
from resources.features.stores import FeatureStores
from resources.lake.lake import Lake
from resources.serving.http.predict import application
from resources.serving.live_models import LiveModels
from resources.serving.log_writer import ServingLog
from resources.serving.ray_serve import Endpoint
from tests.flights import lakes
from tests.flights.served import SERVICE, declared, publish
from tests.lake_files import path_of

START, NOW = lakes.bounds(lakes.MONDAYS[0])[0], lakes.bounds(lakes.MONDAYS[1])[1]
LATER = NOW + timedelta(minutes=20)
SOURCE = "weather_observation"
UNKNOWN = -1000.0
FLIGHT = {
    "carrier": "UA",
    "flight": 1,
    "tailnum": "N1",
    "origin": "EWR",
    "dest": "ORD",
    "scheduled_departure": "2013-03-18T08:00:00-04:00",
    "scheduled_arrival": "2013-03-18T10:30:00-05:00",
}


def event(moment: datetime = LATER, **values) -> dict:
    return {"origin": "EWR", "event_timestamp": moment.isoformat(), "temp": 71.5} | values


class Running:
    """The endpoint's application over a small lake with real stores, in this process; online in SQLite or a Redis."""

    def __init__(self, folder: Path, redis: str = "") -> None:
        self.folder, self.lake = folder, Lake(root=str(folder / "lake"))
        stores = FeatureStores(lake_root=self.lake.root, home=str(folder / "feast"), online_store=redis)
        self.store = stores.of("flights")
        self.endpoint = Endpoint(folder=str(folder / "serving"))

    def prepare(self) -> None:
        lakes.write(
            Path(self.lake.root), lakes.random_flights(7, 60), lakes.random_weather(7), lakes.some_planes()
        )
        self.store.apply()
        self.store.materialize(self.store.views(SERVICE), START, NOW)
        publish(self.folder / "serving", NOW)

    def client(self) -> TestClient:
        """The application as it is after a start of the process."""
        log = ServingLog(self.folder / "serving_log")
        self.models = LiveModels(self.folder / "serving", self.store, declared, log)
        self.models.look()
        pusher = Pusher(self.store, self.models.pushed, self.models.now_of_view, self.models.ingested)
        return TestClient(application(self.models, "http://here", log, pusher), base_url="http://localhost")

    def predict(self, http: TestClient, **changes) -> dict:
        reply = http.post("/predict/flight_delay?features=true", json=FLIGHT | changes)
        assert reply.status_code == 200, reply.text
        return reply.json()

    def offline(self, moment: datetime) -> dict:
        """What the offline join gives for the flight as of a moment."""
        row = {k: datetime.fromisoformat(v) if k.startswith("scheduled") else v for k, v in FLIGHT.items()}
        flights = pl.DataFrame([row]).with_columns(
            pl.col("^scheduled_.*$").dt.convert_time_zone("UTC"),
            prediction_time=pl.lit(moment, pl.Datetime("us", "UTC")),
        )
        return self.store.historical(SERVICE, entity_rows(flights), "prediction_time").row(0, named=True)

    def pushed_files(self) -> list[Path]:
        table = "flights/features/weather"
        return [path_of(self.lake, table, name) for name in self.lake.pushed(table)]


def prepared_state(folder: Path) -> Path:
    """A state folder with the lake, its features online in SQLite, and a model that is served; to be copied."""
    Running(folder).prepare()
    return folder


def copied(prepared: Path, folder: Path, redis: str = "") -> Running:
    """A state folder of one's own."""
    shutil.copytree(prepared, folder)
    running = Running(folder, redis)
    running.store.apply()
    publish(running.folder / "serving", NOW)
    return running
