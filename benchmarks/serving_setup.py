"""What the servers of the serving benchmark stand on: a lake of flights, its online store, and a published model."""

import hashlib
import json
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any

from mlops_assets.ml.dataset import labelled
from mlops_assets.ml.training.fit import fit
from mlops_assets.spec.files import declared_specs
from mlops_assets.use_cases.flights.request import FlightRequest, entity_rows
from resources.features.stores import FeatureStores
from resources.serving.ray_serve import Endpoint
from resources.settings import settings
from tests.flights import lakes

NAME = "flight_delay"
SERVICE = "flight_delay_v1"
MODEL = "model.ubj"
FLIGHTS = 4000
START, NOW = lakes.bounds(lakes.MONDAYS[0])[0], lakes.bounds(lakes.MONDAYS[1])[1]


def prepare(folder: Path) -> None:
    """The state of an endpoint, below `state`, and the booster alone."""
    home = settings({"MLOPS_HOME": str(folder / "state")})
    flights = _flights()
    lakes.write(Path(home.lake), flights, lakes.random_weather(5), lakes.some_planes())
    store = FeatureStores(lake_root=home.lake, home=str(home.feast)).of("flights")
    store.apply()
    store.materialize(store.views(SERVICE), START, NOW)
    spec = declared_specs()[NAME]
    joined = store.historical(SERVICE, entity_rows(flights), "prediction_time")
    rows = labelled(joined, spec, NOW + timedelta(days=9))
    model = fit(rows, spec, store.feature_columns(SERVICE), rounds=150).model
    path = home.serving / "models" / f"{NAME}-1.model"
    path.parent.mkdir(parents=True)
    for one in (path, folder / MODEL):
        one.write_bytes(model)
    Endpoint(folder=str(home.serving)).publish(
        {
            "name": NAME,
            "version": 1,
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
    )


@cache
def _flights() -> Any:
    return lakes.random_flights(5, FLIGHTS)


@cache
def bodies(rows: int) -> list[Any]:
    """Bodies of requests of so many rows each, of different flights."""
    names = list(FlightRequest.model_fields)
    found = _flights().select(names).to_dicts()
    plain = [json.loads(FlightRequest.model_validate(one).model_dump_json()) for one in found[:400]]
    if rows == 1:
        return plain
    return [plain[first : first + rows] for first in range(0, len(plain) - rows + 1, rows)]
