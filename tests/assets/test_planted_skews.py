"""Six skews planted between a real online and a real offline store: each is found and named, and a clean run has none."""

import re
import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import numpy as np
import polars as pl
import pytest

from mlops_assets.assets.skew import skew, skew_check
from mlops_assets.kit.reuse import BECAUSE, SKIPPED
from mlops_assets.ml.skew.cells import EXPIRED, LATE, MISSING, ROUNDING, STALE
from mlops_assets.stages.skew_replay import Replayed, replay
from resources.features.store import FeatureStoreResource
from resources.features.vectors import OnlineVectors
from resources.lake.lake import Lake
from resources.local import local_resources
from resources.serving.log import ServingLogResource
from resources.settings import Settings
from tests.flights import lakes
from tests.flights.served import SERVICE, serve
from tests.flights.shortened import short_spec

START, NOW = lakes.bounds(lakes.MONDAYS[0])[0], lakes.bounds(lakes.MONDAYS[1])[1]
HOUR = timedelta(hours=1)


class World:
    """A lake with two weeks of features, a feature store over it, and flights to ask for."""

    def __init__(self, folder: Path, until: datetime = NOW) -> None:
        self.lake, self.flights = folder / "lake", lakes.random_flights(7, 1500)
        lakes.write(self.lake, self.flights, lakes.random_weather(7), lakes.some_planes())
        self.store = FeatureStoreResource(
            repository="mlops_assets.use_cases.flights.features",
            lake_root=str(self.lake),
            home=str(folder / "feast"),
        )
        self.store.apply()
        self.store.materialize(self.store.views(SERVICE), until - timedelta(days=14), until)

    def replay(self, log: ServingLogResource) -> Replayed:
        frame = log.read("flight_delay", 10_000)
        return replay(frame, log.definitions("flight_delay"), self.store, Lake(root=str(self.lake)))

    def asked(
        self, folder: Path, features=None, moment: datetime = NOW, flights: int = 300
    ) -> ServingLogResource:
        some = self.flights.sample(flights, with_replacement=True, seed=3)
        return serve(folder, features or self.store, some, moment)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return World(tmp_path_factory.mktemp("world"))


def verdicts(found: Replayed) -> set[str]:
    return set(found.by_verdict)


def test_a_clean_run_of_a_hundred_thousand_cells_has_no_skew(world: World, tmp_path: Path) -> None:
    found = world.replay(world.asked(tmp_path, flights=2000))
    assert found.compared.total() >= 100_000
    assert found.cells.is_empty() and not found.refused
    known = found.log.select(pl.col("^.*__timestamp$").is_not_null().mean()).row(0)
    assert sum(known) / len(known) > 0.5, "most cells are null, so that little was compared"


def test_a_clean_run_stays_clean_after_values_have_expired(world: World, tmp_path: Path) -> None:
    found = world.replay(world.asked(tmp_path, moment=NOW + 4 * HOUR))
    assert found.cells.is_empty()
    assert found.log["weather__temp"].null_count() == found.log.height


class Altered:
    """The real store, but for what a test does to the answers."""

    def __init__(self, store: FeatureStoreResource) -> None:
        self.store = store

    def __getattr__(self, name: str):
        return getattr(self.store, name)

    def of(self, use_case: str) -> "Altered":
        return self


class WithoutTtl(Altered):
    """Values that were valid once are served for ever, as stock Feast does."""

    def online_vectors(self, service: str, rows: pl.DataFrame, as_of: datetime) -> OnlineVectors:
        return self.store.online_vectors(service, rows, NOW)


def test_a_time_to_live_that_serving_ignores_is_named_expired(world: World, tmp_path: Path) -> None:
    found = world.replay(world.asked(tmp_path, WithoutTtl(world.store), NOW + 4 * HOUR))
    assert verdicts(found) == {EXPIRED}
    assert {"weather", "origin_traffic"} <= set(found.cells["view"])
    assert (
        found.cells.filter(view="weather")["replayed"].null_count()
        == found.cells.filter(view="weather").height
    )


def test_an_online_store_an_hour_behind_is_named_stale_and_by_how_much(tmp_path: Path) -> None:
    world = World(tmp_path, until=NOW - HOUR - timedelta(minutes=1))
    found = world.replay(world.asked(tmp_path))
    assert verdicts(found) == {STALE}
    weather = found.cells.filter(view="weather")
    behind = weather.select(pl.col("offline_event") - pl.col("served_event")).to_series()
    assert set(behind) == {HOUR}
    assert "trip" in set(found.cells["view"]), (
        "a feature computed on demand is as stale as what it is computed from"
    )


def observation(moment: datetime, temp: float) -> pl.DataFrame:
    """A pushed observation at Newark."""
    instant = pl.Datetime("us", "UTC")
    return pl.DataFrame(
        {"origin": ["EWR"], "event_timestamp": [moment], "temp": [temp], "created": [datetime.now(UTC)]},
        schema={"origin": pl.String, "event_timestamp": instant, "temp": pl.Float32, "created": instant},
    )


def test_a_row_that_got_in_after_the_request_is_named_late(tmp_path: Path) -> None:
    world = World(tmp_path)
    log = world.asked(tmp_path)
    assert world.replay(log).cells.is_empty()
    world.store.push("weather_observation", observation(NOW - timedelta(minutes=7), 71.5), "offline")
    found = world.replay(log)
    assert verdicts(found) == {LATE}
    assert set(found.cells["view"]) == {"weather"}
    assert found.cells.filter(feature="temp")["replayed"].unique().to_list() == ["71.5"]


def test_a_week_written_again_with_other_values_is_named_late(tmp_path: Path) -> None:
    world = World(tmp_path)
    log = world.asked(tmp_path)
    path = world.lake / "flights" / "features" / "weather" / f"{lakes.MONDAYS[1]:%Y-%m-%d}.parquet"
    pl.read_parquet(path).with_columns(pl.col("temp") + 1).write_parquet(path)
    found = world.replay(log)
    assert verdicts(found) == {LATE} and set(found.cells["feature"]) == {"temp"}


def test_a_row_that_offline_had_and_online_never_got_is_named_stale(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.store.push("weather_observation", observation(NOW - timedelta(minutes=7), 71.5), "offline")
    found = world.replay(world.asked(tmp_path))
    assert verdicts(found) == {STALE} and set(found.cells["view"]) == {"weather"}


def test_an_entity_that_the_online_store_lost_is_named_missing(tmp_path: Path) -> None:
    world = World(tmp_path)
    with sqlite3.connect(Path(world.store.home) / "online.db") as connection:
        connection.execute('DELETE FROM "mlops_aircraft" WHERE instr(entity_key, ?)', (b"N1",))
    found = world.replay(world.asked(tmp_path))
    assert verdicts(found) == {MISSING}
    assert set(found.cells["view"]) == {"aircraft", "trip"}


class Rounded(Altered):
    """Floats come back one step of float32 away."""

    def online_vectors(self, service: str, rows: pl.DataFrame, as_of: datetime) -> OnlineVectors:
        vectors = self.store.online_vectors(service, rows, as_of)
        step = pl.Series(np.nextafter(vectors.frame["temp"].to_numpy(), np.float32(np.inf)), dtype=pl.Float32)
        frame = vectors.frame.with_columns(temp=step.fill_nan(None))
        return OnlineVectors(frame, vectors.event_times, vectors.statuses)


def test_a_float_that_was_rounded_is_named_so_and_passes(world: World, tmp_path: Path) -> None:
    found = world.replay(world.asked(tmp_path, Rounded(world.store)))
    assert verdicts(found) == {ROUNDING}
    assert set(found.cells["feature"]) == {"temp"}
    assert found.cells["gap"].max() < 1e-5


def test_no_requests_is_said_in_words_and_breaks_nothing(world: World, tmp_path: Path) -> None:
    spec = short_spec("flight_delay")
    resources = {
        "lake": Lake(root=str(tmp_path / "lake")),
        "feature_store": world.store,
        "serving_log": ServingLogResource(folder=str(tmp_path / "nothing")),
    }
    result = dg.materialize([skew(spec)], resources=resources)
    (materialization,) = result.asset_materializations_for_node("flight_delay__skew")
    assert "no request is logged yet" in str(materialization.metadata["skew"].value)
    assert result.get_asset_check_evaluations()[0].passed


def test_the_asset_shows_verdicts_features_and_cells_and_fails_its_check(tmp_path: Path) -> None:
    world = World(tmp_path, until=NOW - HOUR)
    spec = short_spec("flight_delay")
    resources = {
        "lake": Lake(root=str(world.lake)),
        "feature_store": world.store,
        "serving_log": world.asked(tmp_path),
    }
    result = dg.materialize([skew(spec)], resources=resources)
    assert result.success, "a skew is reported and stops nothing"
    (materialization,) = result.asset_materializations_for_node("flight_delay__skew")
    shown = {name: str(value.value) for name, value in materialization.metadata.items()}
    assert re.fullmatch(r"15,300 cells of 300 requests: [\d,]+ stale, the rest equal", shown["skew"])
    assert "| stale |" in shown["verdicts"] and "svg" in shown["cells by verdict"]
    assert "aircraft_slack_minutes" in shown["by feature"]
    assert "| 7 |" in shown["requests"]
    (check,) = result.get_asset_check_evaluations()
    assert (check.passed, check.severity) == (False, dg.AssetCheckSeverity.ERROR)
    kept = pl.read_parquet(world.lake / "flight_delay" / "skew" / "all.parquet")
    assert kept.height > 0 and kept["__request_id"].null_count() == 0


def without_cost(shown: dict[str, str]) -> dict[str, str]:
    return {name: text for name, text in shown.items() if not name.startswith("run ")}


def test_requests_that_were_replayed_are_replayed_again_only_when_something_changed(tmp_path: Path) -> None:
    world, spec = World(tmp_path, until=NOW - HOUR), short_spec("flight_delay")
    resources = {"lake": Lake(root=str(world.lake)), "feature_store": world.store}

    def told(log: ServingLogResource) -> tuple[dict[str, str], bool]:
        result = dg.materialize([skew(spec)], resources=resources | {"serving_log": log})
        (shown,) = result.asset_materializations_for_node("flight_delay__skew")
        passed = result.get_asset_check_evaluations()[0].passed
        return {name: str(value.value) for name, value in shown.metadata.items()}, passed

    log = world.asked(tmp_path)
    first, second = told(log), told(log)
    assert second[0].pop(SKIPPED).startswith("nothing changed since ")
    assert first[0].pop(BECAUSE) == "it was not made before"
    assert without_cost(first[0]) == without_cost(second[0])
    assert first[1] is second[1] is False
    world.store.push("weather_observation", observation(NOW - timedelta(minutes=7), 71.5), "offline")
    assert told(log)[0][BECAUSE] == "changed: flights/features/weather"
    assert told(world.asked(tmp_path, flights=20))[0][BECAUSE] == "changed: requests"


def test_late_data_alone_warns(tmp_path: Path) -> None:
    world = World(tmp_path)
    log = world.asked(tmp_path)
    world.store.push("weather_observation", observation(NOW - timedelta(minutes=7), 71.5), "offline")
    check = skew_check(world.replay(log))
    assert (check.passed, check.severity) == (False, dg.AssetCheckSeverity.WARN)


def test_the_skew_is_looked_at_every_morning(local_settings: Settings) -> None:
    defs = dg.Definitions([skew(short_spec("flight_delay"))], resources=local_resources(local_settings))
    midnight, cursor, asked = datetime(2026, 1, 5, tzinfo=UTC), None, []
    with dg.DagsterInstance.ephemeral() as instance:
        for hour in range(0, 49, 3):
            tick = dg.evaluate_automation_conditions(
                defs, instance, cursor=cursor, evaluation_time=midnight + hour * HOUR
            )
            cursor = tick.cursor
            asked += [hour] * tick.total_requested
    assert asked == [6, 30]
