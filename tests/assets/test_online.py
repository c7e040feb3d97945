"""The asset `flights/features/online`, with SQLite and with Redis: what it says of a run, and what is served after it."""

from collections.abc import Callable, Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from mlops_assets.assets.online import online_store
from mlops_assets.kit.reuse import BECAUSE, FORCE_TAG, SKIPPED
from mlops_assets.spec.calendar import Calendar
from mlops_assets.use_cases.flights.request import entity_rows
from mlops_assets.use_cases.flights.schema import FEATURES
from resources.features.store import FeatureStoreResource, _open
from resources.lake.lake import Lake
from resources.serving.ray_serve import Endpoint
from tests.flights import lakes

Run = Callable[..., dict[str, Any]]
WEEKS = Calendar(cadence="weekly", start=date(2013, 3, 4), end=date(2013, 3, 18), timezone="America/New_York")
SERVICE = "flight_delay_v1"
FIRST, SECOND = (f"{monday:%Y-%m-%d}" for monday in lakes.MONDAYS)
END = lakes.bounds(lakes.MONDAYS[1])[1]


@pytest.fixture(params=["sqlite", "redis"])
def platform(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, object]:
    """The resources over a lake of two random weeks, with nothing online yet."""
    address = ""
    if request.param == "redis":
        import redis

        port = request.getfixturevalue("redis_port")
        with redis.Redis(port=port, db=5) as client:
            client.flushdb()
        address = f"redis://127.0.0.1:{port}/5"
    lakes.write(tmp_path, lakes.random_flights(7, 700), lakes.random_weather(7), lakes.some_planes())
    store = FeatureStoreResource(
        repository="mlops_assets.use_cases.flights.features",
        lake_root=str(tmp_path),
        home=str(tmp_path / "feast"),
        online_store=address,
    )
    store.apply()
    return {
        "lake": Lake(root=str(tmp_path)),
        "feature_store": store,
        "endpoint": Endpoint(folder=str(tmp_path / "s")),
    }


@pytest.fixture(scope="module")
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


@pytest.fixture
def run(platform: dict[str, object], instance: dg.DagsterInstance) -> Callable[..., dict[str, Any]]:
    """Materialises the asset for some weeks; returns its metadata, and adds what is said of each week under its name."""

    def materialised(*weeks: str, **more: str) -> dict[str, Any]:
        asset = online_store("flights", WEEKS, list(FEATURES))
        tags = {
            "dagster/asset_partition_range_start": weeks[0],
            "dagster/asset_partition_range_end": weeks[-1],
        }
        done = dg.materialize([asset], resources=platform, tags=tags | more, instance=instance)
        told = done.asset_materializations_for_node("flights__features__online")
        by_week = {str(one.partition): {k: v.value for k, v in one.metadata.items()} for one in told}
        return {name: value.value for name, value in told[-1].metadata.items()} | by_week

    return materialised


def served_and_joined(platform: dict[str, object]) -> tuple[pl.DataFrame, pl.DataFrame]:
    store = platform["feature_store"].of("flights")
    assert isinstance(store, FeatureStoreResource)
    flights = lakes.random_flights(7, 700).with_columns(
        prediction_time=pl.lit(END).cast(pl.Datetime("us", "UTC"))
    )
    asked = entity_rows(flights)
    return store.online(SERVICE, asked, END), store.historical(SERVICE, asked, "prediction_time")


def test_after_week_by_week_what_is_served_is_what_the_join_gives(
    platform: dict[str, object], run: Run
) -> None:
    run(FIRST)
    metadata = run(SECOND)
    assert_frame_equal(*served_and_joined(platform), check_exact=True)
    assert metadata["up to"] == str(END)
    table = str(metadata["views"])
    assert all(f"| {view} |" in table for view in FEATURES)
    rows = {line.split(" | ")[0].strip("| "): line.split(" | ") for line in table.splitlines()[2:]}
    assert sum(int(row[1].replace(",", "")) for row in rows.values()) == metadata["dagster/row_count"]
    newest = pl.read_parquet(f"{platform['lake'].root}/flights/features/weather/*.parquet")["event_timestamp"]  # type: ignore[attr-defined]
    known = newest.filter(newest <= END).max()
    assert rows["weather"][3:] == [str(known), f"{END - known} |"]  # type: ignore[operator]


def test_a_first_week_ingested_again_after_the_second_sets_nothing_back(
    platform: dict[str, object], run: Run
) -> None:
    run(FIRST, SECOND)
    before, _ = served_and_joined(platform)
    again = run(FIRST, **{FORCE_TAG: "true"})
    after, joined = served_and_joined(platform)
    assert_frame_equal(after, before, check_exact=True)
    assert_frame_equal(after, joined, check_exact=True)
    assert again["up to"] == str(END)


def test_the_moment_reaches_what_is_deployed(platform: dict[str, object], run: Run) -> None:
    run(FIRST)
    store = platform["feature_store"].of("flights")
    assert isinstance(store, FeatureStoreResource)
    rows = entity_rows(lakes.random_flights(7, 50))
    first_end = END - timedelta(days=7)
    vectors = store.online_vectors(SERVICE, rows, first_end)
    assert vectors.event_times.select(pl.max_horizontal(pl.all()).max()).item() <= first_end
    assert set(vectors.statuses["temp"]) == {"PRESENT", "NULL_VALUE"} or set(vectors.statuses["temp"]) == {
        "PRESENT"
    }


def test_weeks_that_are_online_already_are_skipped_and_a_changed_one_is_brought(
    platform: dict[str, object], run: Run
) -> None:
    first = run(FIRST, SECOND)
    assert {first[week][BECAUSE] for week in (FIRST, SECOND)} == {"it was not made before"}
    again = run(FIRST, SECOND)
    assert all(again[week][SKIPPED].startswith("nothing changed since ") for week in (FIRST, SECOND))
    assert again["views"] == first["views"]
    lake = platform["lake"]
    assert isinstance(lake, Lake)
    warmer = lake.read("flights/features/weather", [SECOND]).with_columns(pl.col("temp") + 1)
    lake.write("flights/features/weather", warmer, SECOND, ["origin", "event_timestamp"])
    changed = run(FIRST, SECOND)
    assert SKIPPED in changed[FIRST]
    assert changed[SECOND][BECAUSE] == "changed: flights/features/weather"
    assert_frame_equal(*served_and_joined(platform), check_exact=True)


def test_an_online_store_that_was_emptied_is_filled_again(
    platform: dict[str, object], run: Run, tmp_path: Path
) -> None:
    run(FIRST, SECOND)
    store = platform["feature_store"].of("flights")
    assert isinstance(store, FeatureStoreResource)
    if store.online_store:
        import redis

        with redis.Redis.from_url(store.online_store) as client:
            client.flushdb()
    else:
        for path in (tmp_path / "feast").glob("*online*"):
            path.unlink()
        _open.cache_clear()
    again = run(FIRST, SECOND)
    assert {again[week][BECAUSE] for week in (FIRST, SECOND)} == {"what was stored is missing or changed"}
    assert_frame_equal(*served_and_joined(platform), check_exact=True)
