"""The flights' files held back: a week's come when it is over, its rows are waited for, and nothing tells of what is later."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from mlops_assets.stages.errors import SourceError
from mlops_assets.use_cases.flights import ingest
from mlops_assets.use_cases.flights.live import Files
from mlops_assets.use_cases.flights.tables import LATENESS, WEEKS, raw_table
from resources.lake.lake import Lake
from resources.settings import settings
from tests.flights.thinned import thin

FIRST, SECOND, THIRD = WEEKS.names()[:3]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return thin(tmp_path_factory.mktemp("whole"), every=20, before="2013-01-22")


@pytest.fixture
def files(whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Files:
    """Two weeks have come; the platform reads where they came."""
    held = Files(settings({"MLOPS_DATA": str(whole)}), tmp_path / "source")
    held.open()
    held.bring(FIRST)
    held.bring(SECOND)
    monkeypatch.setenv("MLOPS_DATA", str(tmp_path / "source"))
    return held


def of_week(rows: pl.DataFrame, column: str, name: str) -> pl.DataFrame:
    span = WEEKS.partition(name)
    return ingest.in_week(rows, column, span.start, span.end)


def test_a_week_that_has_come_is_the_week_of_the_whole_files(files, whole, tmp_path):
    there, all_of_it = ingest.tables(tmp_path / "source"), ingest.tables(whole)
    for table, column in (
        ("flights", "scheduled_departure"),
        ("schedule", "known_at"),
        ("weather", "time_hour"),
    ):
        for name in (FIRST, SECOND):
            one, other = (of_week(getattr(tables, table), column, name) for tables in (there, all_of_it))
            assert one.height and one.equals(other), (table, name)
    assert there.planes.equals(all_of_it.planes) and there.airports.equals(all_of_it.airports)


def test_of_what_is_later_only_the_plan_of_the_next_day_is_there_and_no_outcome(files, tmp_path):
    end = WEEKS.partition(SECOND).end
    later = ingest.tables(tmp_path / "source").flights.filter(pl.col("scheduled_departure") >= end)
    assert later.height and later["scheduled_departure"].max() < end + timedelta(days=1)
    assert later["arr_delay"].null_count() == later["dep_delay"].null_count() == later.height
    assert ingest.tables(tmp_path / "source").weather["time_hour"].max() < end


def test_the_sensor_waits_for_a_week_of_which_the_plan_alone_is_there(files, tmp_path):
    lake = Lake(root=str(tmp_path / "lake"))
    for table in ("flights/raw", "flights/weather"):
        arrival = raw_table(table).arrival
        assert arrival is not None and arrival.lateness == LATENESS
        assert arrival.awaited(lake, WEEKS.partition(SECOND)) is None
        waited_for = arrival.awaited(lake, WEEKS.partition(THIRD))
        assert waited_for is not None and waited_for.outcome == "late"
        before = arrival.states(lake, None)
        files.bring(THIRD)
        assert arrival.awaited(lake, WEEKS.partition(THIRD)) is None and arrival.states(lake, None) != before
        (tmp_path / "source" / f"flights-{THIRD}.parquet").unlink()
        (tmp_path / "source" / f"weather-{THIRD}.parquet").unlink()


def test_a_file_that_ends_in_its_middle_is_not_waited_for_and_is_mended_by_the_whole_week(files, tmp_path):
    lake, arrival = Lake(root=str(tmp_path / "lake")), raw_table("flights/raw").arrival
    assert arrival is not None
    name = files.spoil(THIRD)
    with pytest.raises(SourceError, match=name):
        arrival.awaited(lake, WEEKS.partition(THIRD))
    files.bring(THIRD)
    assert arrival.awaited(lake, WEEKS.partition(THIRD)) is None


def test_what_is_planted_changes_the_weather_or_the_labels_and_nothing_else(files, whole, tmp_path):
    files.bring(THIRD, "bad-labels")
    there, all_of_it = ingest.tables(tmp_path / "source"), ingest.tables(whole)
    turned, true = (of_week(one.flights, "scheduled_departure", THIRD) for one in (there, all_of_it))
    known = true["arr_delay"].is_not_null()
    assert ((turned["arr_delay"] > 15) != (true["arr_delay"] > 15)).filter(known).all()
    assert turned["dep_delay"].equals(true["dep_delay"])
    files.bring(THIRD, "drift")
    there = ingest.tables(tmp_path / "source")
    assert of_week(there.flights, "scheduled_departure", THIRD).equals(true)
    shifted, measured = (of_week(one.weather, "time_hour", THIRD) for one in (there, all_of_it))
    assert (shifted["temp"] - (measured["temp"] - 32) / 1.8).abs().max() < 1e-9
    assert shifted["pressure"].equals(measured["pressure"])


def test_the_names_are_the_weeks_of_which_there_are_flights(files):
    assert files.names() == [FIRST, SECOND, THIRD, WEEKS.names()[3]]
    assert files.rows(FIRST)["scheduled_departure"].max() < datetime(2013, 1, 7, 5, tzinfo=UTC)
