"""What the servers of the serving benchmark stand on: a lake of flights, its online store, and a published model."""

import json
from functools import cache
from pathlib import Path
from typing import Any

from mlops_assets.use_cases.flights.request import FlightRequest
from tests.flights import lakes
from tests.flights.endpoint_state import NOW, State

NAME = "flight_delay"
MODEL, MLFLOW_MODEL = "model.ubj", "mlflow_model"
FLIGHTS = 4000
SEED = 5
ROUNDS = 150


def prepare(folder: Path) -> None:
    """The state of an endpoint, below `state`, and the booster alone, also as MLflow's."""
    from mlflow.xgboost import save_model

    state = State(folder / "state", "", {NAME: {"rounds": ROUNDS}}, SEED, FLIGHTS)
    state.endpoint.advance(NOW)  # where the endpoint of before looks
    (folder / MODEL).write_bytes(state.models[NAME])
    booster = _booster(folder)
    booster.feature_names = booster.feature_types = None  # rows come as numbers
    save_model(booster, str(folder / MLFLOW_MODEL))


def encoded_rows(folder: Path, rows: int) -> list[list[float]]:
    """Rows of zeros as the bare booster takes them."""
    return [[0.0] * _booster(folder).num_features()] * rows


def _booster(folder: Path) -> Any:
    import xgboost

    return xgboost.Booster({"nthread": 1}, model_file=str(folder / MODEL))


@cache
def _flights() -> Any:
    return lakes.random_flights(SEED, FLIGHTS)


@cache
def bodies(rows: int) -> list[Any]:
    """Bodies of requests of so many rows each, of different flights."""
    names = list(FlightRequest.model_fields)
    found = _flights().select(names).to_dicts()
    plain = [json.loads(FlightRequest.model_validate(one).model_dump_json()) for one in found[:400]]
    if rows == 1:
        return plain
    return [plain[first : first + rows] for first in range(0, len(plain) - rows + 1, rows)]
