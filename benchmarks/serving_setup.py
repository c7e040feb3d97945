"""What the servers of the serving benchmark stand on: a lake of flights, its online store, and a published model."""

import json
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from mlops_assets.use_cases.flights.request import FlightRequest, entity_rows
from resources.tracking.model_folder import write_model
from tests.flights import lakes
from tests.flights.endpoint_state import NOW, SERVICE, State

NAME = "flight_delay"
MODEL, MLFLOW_MODEL, MLFLOW_BARE = "model.ubj", "mlflow_model", "mlflow_bare"
ENCODED = "encoded.json"
"""Rows of different flights as the model's own file takes them, with its columns' names."""

FLIGHTS = 4000
ASKED = 400
SEED = 5
ROUNDS = 150


def prepare(folder: Path) -> None:
    """The state of an endpoint, below `state`, and the booster alone; as MLflow's, the way a run logs it, and bare."""
    from mlflow.xgboost import save_model

    state = State(folder / "state", "", {NAME: {"rounds": ROUNDS}}, SEED, FLIGHTS)
    state.endpoint.advance(NOW)  # where the endpoint of before looks
    (folder / MODEL).write_bytes(state.models[NAME])
    booster = _booster(folder)
    _log(folder, state)
    booster.feature_names = booster.feature_types = None  # rows come as numbers
    save_model(booster, str(folder / MLFLOW_BARE))


def _log(folder: Path, state: State) -> None:
    """The model as the platform logs it, with a signature, and rows to ask it with."""
    from mlops_assets.ml.training.trainers.xgboost import example_frame

    asked = entity_rows(state.flights.head(ASKED))
    joined = state.store.historical(SERVICE, asked, "prediction_time")
    logged = SimpleNamespace(artifact_location=str(folder / MLFLOW_MODEL), model_id="m-benchmark")
    write_model(folder / MLFLOW_MODEL, MODEL, state.models[NAME], joined.head(5), logged, "benchmark")
    rows = example_frame(_booster(folder), joined)
    (folder / ENCODED).write_text(rows.to_json(orient="split", index=False))


def named_bodies(folder: Path, rows: int) -> list[Any]:
    """Bodies of so many rows each for a model of MLflow's with a signature: columns by name, of different flights."""
    split = json.loads((folder / ENCODED).read_text())
    columns, data = split["columns"], split["data"]
    return [
        {"dataframe_split": {"columns": columns, "data": data[first : first + rows]}}
        for first in range(0, len(data) - rows + 1, rows)
    ]


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
    plain = [json.loads(FlightRequest.model_validate(one).model_dump_json()) for one in found[:ASKED]]
    if rows == 1:
        return plain
    return [plain[first : first + rows] for first in range(0, len(plain) - rows + 1, rows)]
