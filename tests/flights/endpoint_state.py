"""A small real state of flights as an endpoint finds it: features online, and real models fitted on them and published."""

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl

from mlops_assets.ml.dataset import labelled
from mlops_assets.ml.training.fit import fit
from mlops_assets.spec.files import declared_specs
from mlops_assets.spec.model import ModelSpec
from mlops_assets.stages.served import SCORER, code_of
from mlops_assets.use_cases.flights.request import FlightRequest, entity_rows
from resources.features.stores import FeatureStores
from resources.serving.code import Code
from resources.serving.live_models import LiveModels
from resources.serving.ray_serve import Endpoint
from resources.settings import Settings, settings
from tests.flights import lakes

SERVICE = "flight_delay_v1"
START, NOW = lakes.bounds(lakes.MONDAYS[0])[0], lakes.bounds(lakes.MONDAYS[1])[1]
MOMENTS = (NOW - timedelta(days=3, hours=5), NOW, NOW + timedelta(days=40))
"""Before the newest values, at them, and when all have expired that do."""

TRAINERS: dict[str, dict[str, Any]] = {
    "flight_delay": {"kind": "xgboost", "categories": ["carrier", "origin"], "rounds": 20},
    "arrival_minutes": {"kind": "lightgbm", "categories": ["carrier", "dest"], "rounds": 20},
}
FIELDS = list(FlightRequest.model_fields)
VERSION = 7


class State:
    """MLOPS_HOME with a lake of two random weeks, its online store, and the models fitted on them, published as version 7."""

    def __init__(
        self,
        home: Path,
        online_store: str = "",
        trainers: Mapping[str, Mapping[str, Any]] | None = None,
        seed: int = 17,
        count: int = 900,
    ) -> None:
        """`trainers` has what a model's spec says otherwise of its trainer, by the model's name."""
        self.home: Settings = settings({"MLOPS_HOME": str(home), "MLOPS_ONLINE_STORE": online_store})
        self.flights = lakes.random_flights(seed, count)
        lakes.write(Path(self.home.lake), self.flights, lakes.random_weather(seed), lakes.some_planes())
        stores = FeatureStores(lake_root=self.home.lake, home=str(self.home.feast), online_store=online_store)
        self.store = stores.of("flights")
        self.store.apply()
        self.store.materialize(self.store.views(SERVICE), START, NOW)
        self.endpoint = Endpoint(folder=str(self.home.serving))
        self.endpoint.advance(NOW, "flights")
        changes = TRAINERS if trainers is None else trainers
        self.specs = {name: _spec(name, change) for name, change in changes.items()}
        joined = self.store.historical(SERVICE, entity_rows(self.flights), "prediction_time")
        self.models = {name: self._published(spec, joined) for name, spec in self.specs.items()}

    def _published(self, spec: ModelSpec, joined: pl.DataFrame) -> bytes:
        rows = labelled(joined, spec, NOW + timedelta(days=9))
        model = fit(rows, spec, self.store.feature_columns(SERVICE), rounds=spec.trainer.rounds).model
        self.publish(spec, VERSION, model)
        return model

    def publish(self, spec: ModelSpec, version: int, model: bytes) -> None:
        """Make a version of a model the one that the endpoint answers with."""
        record = {
            "name": spec.name,
            "version": version,
            "task": spec.task,
            "model_path": str(self.endpoint.keep(spec.name, version, model)),
            "model_sha256": hashlib.sha256(model).hexdigest(),
            "scorer": SCORER,
            "feature_service": SERVICE,
            "rows": spec.prediction.rows,
            "request": spec.prediction.request,
            "key": spec.prediction.key,
            "time": spec.prediction.time,
        }
        self.endpoint.publish(record)

    def declared(self, name: str) -> Code:
        return code_of(self.specs[name])

    def live(self, log: Any = None) -> LiveModels:
        """The models as the endpoint loads them."""
        models = LiveModels(self.home.serving, self.store, self.declared, log)
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


def _spec(name: str, trainer: Mapping[str, Any]) -> ModelSpec:
    given = declared_specs()[name].model_dump()
    kept = {} if "kind" in trainer else given["trainer"]
    return ModelSpec.model_validate(given | {"trainer": {**kept, **trainer}})


def as_of(models: LiveModels, moment: datetime) -> LiveModels:
    """The models, whose now is a moment of the test's."""
    models.now = lambda model, arrived=None: moment  # type: ignore[method-assign]
    return models
