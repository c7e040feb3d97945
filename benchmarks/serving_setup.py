"""What the servers of the serving benchmark stand on: a lake of flights, its online store, and a published model."""

import json
from functools import cache
from pathlib import Path
from typing import Any

from mlops_assets.use_cases.flights.request import FlightRequest
from tests.flights import lakes
from tests.flights.endpoint_state import NOW, State

NAME = "flight_delay"
MODEL = "model.ubj"
FLIGHTS = 4000
SEED = 5
ROUNDS = 150


def prepare(folder: Path) -> None:
    """The state of an endpoint, below `state`, and the booster alone."""
    state = State(folder / "state", "", {NAME: {"rounds": ROUNDS}}, SEED, FLIGHTS)
    state.endpoint.advance(NOW)  # where the endpoint of before looks
    (folder / MODEL).write_bytes(state.models[NAME])


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
