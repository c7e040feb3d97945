"""Flights asked of the real endpoint code over real stores, in this process, with what was served logged."""

import hashlib
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import numpy as np
import polars as pl

from mlops_assets.spec.files import declared_specs
from mlops_assets.stages.served import code_of
from mlops_assets.use_cases.flights.request import FlightRequest
from resources.serving.code import Code
from resources.serving.live_models import LiveModels
from resources.serving.log import ServingLogResource
from resources.serving.log_writer import ServingLog
from resources.serving.parts import Features
from resources.serving.ray_serve import Endpoint

SERVICE = "flight_delay_v1"
BATCH = 1000
SCORER = "tests.flights.served:Temperature"
FIELDS = list(FlightRequest.model_fields)


class Temperature:
    """Stands in for a model: its score is the temperature at the origin, -1000 where that is not known."""

    def __init__(self, content: bytes) -> None:
        assert content == b"temperature"

    def predict(self, frame: pl.DataFrame) -> np.ndarray:
        return frame["temp"].fill_null(-1000.0).to_numpy()


def declared(name: str) -> Code:
    """What the repository declares for flights, with the temperature in the place of a model."""
    code = code_of(declared_specs()[name])
    return replace(code, names={**code.names, "scorer": frozenset({SCORER})}, scorer=Temperature)


def publish(folder: Path, moment: datetime, clock: str = "data") -> None:
    """The record of a model that asks for flights and answers with the temperature."""
    path = folder / "temperature.model"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"temperature")
    endpoint = Endpoint(folder=str(folder))
    endpoint.advance(moment, "flights")
    endpoint.publish(
        {
            "name": "flight_delay",
            "version": 7,
            "task": "regression",
            "model_path": str(path),
            "model_sha256": hashlib.sha256(b"temperature").hexdigest(),
            "scorer": SCORER,
            "feature_service": SERVICE,
            "rows": "mlops_assets.use_cases.flights.request:entity_rows",
            "request": "mlops_assets.use_cases.flights.request:FlightRequest",
            "key": ["flight_id"],
            "time": "prediction_time",
            "clock": clock,
        }
    )


def serve(home: Path, features: Features, flights: pl.DataFrame, moment: datetime) -> ServingLogResource:
    """Ask for every flight as of a moment; returns the log of what was served."""
    publish(home / "serving", moment)
    log = ServingLog(home / "serving_log")
    models = LiveModels(home / "serving", features, declared, log)
    models.look()
    assert not models.problems, models.problems
    requests = [FlightRequest.model_validate(row) for row in flights.select(FIELDS).to_dicts()]
    for first in range(0, len(requests), BATCH):
        models.predict(models.served["flight_delay"], requests[first : first + BATCH])
    log.close()
    return ServingLogResource(folder=str(log.folder))
