"""Two real models over a small real state of flights, loaded by the endpoint's own code."""

import hashlib
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl

from mlops_assets.ml.dataset import labelled
from mlops_assets.ml.training.fit import fit
from mlops_assets.spec.files import declared_specs
from mlops_assets.spec.model import ModelSpec
from mlops_assets.stages.served import code_of
from mlops_assets.use_cases.flights.request import FlightRequest, entity_rows
from resources.features.stores import FeatureStores
from resources.serving.code import Code
from resources.serving.live_models import LiveModels
from resources.serving.ray_serve import Endpoint
from tests.flights import lakes

SERVICE = "flight_delay_v1"
START, NOW = lakes.bounds(lakes.MONDAYS[0])[0], lakes.bounds(lakes.MONDAYS[1])[1]
MOMENTS = (NOW - timedelta(days=3, hours=5), NOW, NOW + timedelta(days=40))
"""Before the newest values, at them, and when all have expired that do."""

TRAINERS: dict[str, dict[str, Any]] = {
    "flight_delay": {"categories": ["carrier", "origin"], "rounds": 20},
    "arrival_minutes": {"kind": "lightgbm", "categories": ["carrier", "dest"], "rounds": 20},
}
FIELDS = list(FlightRequest.model_fields)


class State:
    """A lake of two random weeks, its online store, and the models fitted on them."""

    def __init__(self, folder: Path, online_store: str = "") -> None:
        self.folder = folder
        self.flights = lakes.random_flights(17, 900)
        lakes.write(folder / "lake", self.flights, lakes.random_weather(17), lakes.some_planes())
        stores = FeatureStores(
            lake_root=str(folder / "lake"), home=str(folder / "feast"), online_store=online_store
        )
        self.store = stores.of("flights")
        self.store.apply()
        self.store.materialize(self.store.views(SERVICE), START, NOW)
        self.specs = {name: self._spec(name) for name in TRAINERS}
        joined = self.store.historical(SERVICE, entity_rows(self.flights), "prediction_time")
        for spec in self.specs.values():
            self._publish(spec, joined)

    def _spec(self, name: str) -> ModelSpec:
        given = declared_specs()[name].model_dump()
        trainer = {"kind": "xgboost", **TRAINERS[name]}
        return ModelSpec.model_validate(given | {"trainer": trainer})

    def _publish(self, spec: ModelSpec, joined: pl.DataFrame) -> None:
        rows = labelled(joined, spec, NOW + timedelta(days=9))
        model = fit(rows, spec, self.store.feature_columns(SERVICE)).model
        path = self.folder / "serving" / f"{spec.name}.model"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(model)
        record = {
            "name": spec.name,
            "version": 7,
            "task": spec.task,
            "model_path": str(path),
            "model_sha256": hashlib.sha256(model).hexdigest(),
            "scorer": "mlops_assets.ml.training.fit:Scorer",
            "feature_service": SERVICE,
            "rows": spec.prediction.rows,
            "request": spec.prediction.request,
            "key": spec.prediction.key,
            "time": spec.prediction.time,
            "moment": NOW.isoformat(),
        }
        Endpoint(folder=str(path.parent)).publish(record)

    def declared(self, name: str) -> Code:
        return code_of(self.specs[name])

    def live(self, log: Any = None) -> LiveModels:
        """The models as the endpoint loads them."""
        models = LiveModels(self.folder / "serving", self.store, self.declared, log)
        models.look()
        assert not models.problems, models.problems
        return models

    def by_frames(self, log: Any = None) -> LiveModels:
        """The same models without their compiled way."""
        models = self.live(log)
        models.served = {name: replace(model, fast=None) for name, model in models.served.items()}
        return models

    def requests(self, count: int) -> list[FlightRequest]:
        rows = self.flights.head(count).select(FIELDS).to_dicts()
        return [FlightRequest.model_validate(row) for row in rows]


def as_of(models: LiveModels, moment: datetime) -> LiveModels:
    """The models, whose now is a moment of the test's."""
    models.now = lambda model, arrived=None: moment  # type: ignore[method-assign]
    return models
