"""By the wall clock each request is replayed as of its own arrival: no skew, and what was ingested later is named late."""

import os
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest

from mlops_assets.ml.skew.cells import LATE
from mlops_assets.use_cases.flights.request import FlightRequest
from resources.clock import Clock
from resources.serving.live_models import LiveModels
from resources.serving.log import REQUESTED_AT, ServingLogResource
from resources.serving.log_writer import ServingLog
from tests.assets.test_planted_skews import NOW, World
from tests.flights.served import FIELDS, declared, publish

MINUTE = timedelta(minutes=1)
ARRIVALS = [NOW + minutes * MINUTE for minutes in (0, 30, 20, 45, 100, 35, 240)]
"""Later and later, but for two requests at which the clock has been set back by ten minutes and by an hour."""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return World(tmp_path_factory.mktemp("world"))


def asked(world: World, folder: Path, arrivals: Sequence = ARRIVALS) -> ServingLogResource:
    """Forty flights asked for at each arrival, by an endpoint whose record says `wall`."""
    publish(folder / "serving", NOW, "wall")
    log = ServingLog(folder / "serving_log")
    models = LiveModels(folder / "serving", world.store, declared, log, Clock())
    models.look()
    assert not models.problems, models.problems
    some = world.flights.sample(40, seed=3).select(FIELDS).to_dicts()
    requests = [FlightRequest.model_validate(row) for row in some]
    for arrived in arrivals:
        answers = models.predict(models.served["flight_delay"], requests, arrived=arrived)
        assert {answer["as_of"] for answer in answers} == {arrived.isoformat()}
    log.close()
    return ServingLogResource(folder=str(log.folder))


def test_requests_of_many_moments_have_no_skew_and_each_expires_by_its_own(world, tmp_path):
    found = world.replay(asked(world, tmp_path))
    assert found.log.height == 40 * len(ARRIVALS) and not found.refused
    assert found.cells.is_empty(), found.by_verdict
    known = (
        found.log.group_by(REQUESTED_AT).agg(pl.col("weather__temp").is_not_null().mean()).sort(REQUESTED_AT)
    )
    shares = known["weather__temp"].to_list()
    assert shares[0] > 0.9 and shares[-1] == 0.0


def test_what_is_ingested_after_the_answer_is_late_data_and_nothing_else(tmp_path):
    """The hour before the request gets online after it: by the wall clock that is the normal case."""
    world = World(tmp_path / "world", until=NOW - 61 * MINUTE)
    tables = [file for file in world.lake.rglob("*.parquet") if "features" in file.parts]
    for file in tables:
        frame = pl.read_parquet(file)
        file.with_suffix(".held").write_bytes(file.read_bytes())
        early = frame.filter(pl.col("event_timestamp") <= NOW - 61 * MINUTE)
        early.write_parquet(file)
        os.utime(file, (1, 1))
    log = asked(world, tmp_path, [NOW])
    for file in tables:
        held = pl.read_parquet(file.with_suffix(".held"))
        held.filter(pl.col("event_timestamp") > NOW - 61 * MINUTE).write_parquet(
            file.with_name(f"later-{file.name}")
        )
        file.with_suffix(".held").unlink()
    found = world.replay(log)
    assert set(found.by_verdict) == {LATE} and found.by_verdict[LATE] > 50
