"""The asset `features/online`, with SQLite and with Redis: what it says of a run, and what is served after it."""

from datetime import date, timedelta
from pathlib import Path

import dagster as dg
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from mlops_assets.assets.features import online_store
from mlops_assets.flights.request import entity_rows
from mlops_assets.flights.schema import FEATURES
from mlops_assets.spec import Weeks
from resources.feature_store import FeatureStoreResource
from resources.lake import Lake
from resources.serving import Endpoint
from tests.flights import lake as lakes

WEEKS = Weeks(start=date(2013, 3, 4), end=date(2013, 3, 18), timezone="America/New_York")
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
    store = FeatureStoreResource(lake_root=str(tmp_path), home=str(tmp_path / "feast"), online_store=address)
    store.apply()
    return {
        "lake": Lake(root=str(tmp_path)),
        "feature_store": store,
        "endpoint": Endpoint(folder=str(tmp_path / "s")),
    }


def run(platform: dict[str, object], *weeks: str) -> dict[str, dg.MetadataValue]:
    """Materialise the asset for some weeks; returns its metadata."""
    asset = online_store(WEEKS, list(FEATURES))
    tags = {"dagster/asset_partition_range_start": weeks[0], "dagster/asset_partition_range_end": weeks[-1]}
    done = dg.materialize([asset], resources=platform, tags=tags)
    return dict(done.asset_materializations_for_node("features__online")[-1].metadata)


def served_and_joined(platform: dict[str, object]) -> tuple[pl.DataFrame, pl.DataFrame]:
    store = platform["feature_store"]
    assert isinstance(store, FeatureStoreResource)
    flights = lakes.random_flights(7, 700).with_columns(
        prediction_time=pl.lit(END).cast(pl.Datetime("us", "UTC"))
    )
    asked = entity_rows(flights)
    return store.online(SERVICE, asked, END), store.historical(SERVICE, asked, "prediction_time")


def test_after_week_by_week_what_is_served_is_what_the_join_gives(platform: dict[str, object]) -> None:
    run(platform, FIRST)
    metadata = run(platform, SECOND)
    assert_frame_equal(*served_and_joined(platform), check_exact=True)
    assert metadata["up to"].value == str(END)
    table = str(metadata["views"].value)
    assert all(f"| {view} |" in table for view in FEATURES)
    rows = {line.split(" | ")[0].strip("| "): line.split(" | ") for line in table.splitlines()[2:]}
    assert sum(int(row[1].replace(",", "")) for row in rows.values()) == metadata["dagster/row_count"].value
    newest = pl.read_parquet(f"{platform['lake'].root}/features/weather/*.parquet")["event_timestamp"]  # type: ignore[attr-defined]
    known = newest.filter(newest <= END).max()
    assert rows["weather"][3:] == [str(known), f"{END - known} |"]  # type: ignore[operator]


def test_a_first_week_ingested_again_after_the_second_sets_nothing_back(platform: dict[str, object]) -> None:
    run(platform, FIRST, SECOND)
    before, _ = served_and_joined(platform)
    again = run(platform, FIRST)
    after, joined = served_and_joined(platform)
    assert_frame_equal(after, before, check_exact=True)
    assert_frame_equal(after, joined, check_exact=True)
    assert again["up to"].value == str(END)


def test_the_moment_reaches_what_is_deployed(platform: dict[str, object]) -> None:
    run(platform, FIRST)
    store = platform["feature_store"]
    assert isinstance(store, FeatureStoreResource)
    rows = entity_rows(lakes.random_flights(7, 50))
    first_end = END - timedelta(days=7)
    vectors = store.online_vectors(SERVICE, rows, first_end)
    assert vectors.event_times.select(pl.max_horizontal(pl.all()).max()).item() <= first_end
    assert set(vectors.statuses["temp"]) == {"PRESENT", "NULL_VALUE"} or set(vectors.statuses["temp"]) == {
        "PRESENT"
    }
