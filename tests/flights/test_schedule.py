"""`flights/schedule`: cut by when a schedule became known, so that a request for a flight after "now" has it too."""

from datetime import date, timedelta
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from mlops_assets.spec.calendar import Calendar
from mlops_assets.stages.tables import TableError, build_partition
from mlops_assets.use_cases.flights import feature_tables, ingest
from mlops_assets.use_cases.flights.request import FlightRequest, entity_rows, request_rows
from mlops_assets.use_cases.flights.schema import SCHEDULE_LEAD, TABLES
from mlops_assets.use_cases.flights.tables import WEEKS, raw_table, table_of
from resources.features.stores import FeatureStores
from resources.lake.lake import Lake
from tests.flights.thinned import thin

SERVICE = "flight_delay_v1"
CALENDAR = Calendar(cadence="weekly", start=date(2012, 12, 31), end=date(2013, 2, 4), timezone=WEEKS.timezone)
LAST = CALENDAR.names()[-1]
NOW = CALENDAR.partition(LAST).end
FEATURES = [
    "schedule_departures",
    "schedule_departures_before",
    "schedule_departures_after",
    "schedule_destinations",
]
MADE = [raw_table("flights/airports", CALENDAR), raw_table("flights/raw", CALENDAR)]
MADE += [raw_table("flights/schedule", CALENDAR), table_of("schedule", CALENDAR)]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five weeks of every fourth flight in the lake; the files go on for three more days."""
    home = tmp_path_factory.mktemp("schedule")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLOPS_DATA", str(thin(home / "data", every=4, before="2013-02-07")))
        for name in CALENDAR.names():
            ingested(Lake(root=str(home / "lake")), name)
    return home


def ingested(lake: Lake, name: str) -> None:
    for table in MADE:
        found, _ = build_partition(lake, table, name if table.calendar else None)
        assert all(one.holds for one in found), (table.key, name, found)


def lake_of(home: Path) -> Lake:
    return Lake(root=str(home / "lake"))


def test_it_holds_what_was_planned_a_day_ahead_and_nothing_of_what_became_of_it(home):
    schedule, flown = lake_of(home).read("flights/schedule"), ingest.tables(home / "data").flights
    assert_frame_equal(
        schedule, ingest.schedule(flown).filter(pl.col("known_at") < NOW), check_row_order=False
    )
    assert schedule["scheduled_departure"].max() > NOW + timedelta(hours=20)
    assert (schedule["scheduled_departure"] - schedule["known_at"]).unique().to_list() == [SCHEDULE_LEAD]
    outcomes = {"tailnum", "departed_at", "arrived_at", "dep_delay", "arr_delay", "cancelled", "diverted"}
    assert not outcomes & TABLES["flights/schedule"].keys()


def test_the_features_of_flights_that_flew_are_the_counts_of_all_flights_as_before(home):
    """History, cell by cell: each row is what a count over `flights/raw` alone gives, whole weeks at a time."""
    lake = lake_of(home)
    raw, made = lake.read("flights/raw"), lake.read("flights/features/schedule")
    span = CALENDAR.partition(CALENDAR.names()[0])
    known = feature_tables.schedule(raw, span.start - timedelta(days=2), NOW)
    of_the_weeks = known.filter(pl.col("event_timestamp") < NOW - timedelta(days=1))
    assert of_the_weeks.height > 500
    same = made.filter(pl.col("event_timestamp") < NOW - timedelta(days=1))
    assert_frame_equal(same.sort(same.columns[:3]), of_the_weeks.sort(same.columns[:3]), check_exact=True)


def test_a_request_for_a_flight_after_now_has_the_features_of_its_schedule(home):
    flights = ingest.tables(home / "data").flights
    store = FeatureStores(lake_root=str(home / "lake"), home=str(home / "feast")).of("flights")
    store.apply()
    store.materialize(["schedule"], CALENDAR.partition(LAST).start, NOW)
    ahead = pl.col("scheduled_departure").is_between(NOW + timedelta(hours=2), NOW + timedelta(hours=21))
    asked = flights.filter(ahead).select(list(FlightRequest.model_fields)).to_dicts()
    rows = entity_rows(request_rows([FlightRequest.model_validate(one) for one in asked], NOW))
    online = store.online(SERVICE, rows, NOW)
    assert len(asked) > 100 and online.select(FEATURES).null_count().row(0) == (0,) * len(FEATURES)
    made = lake_of(home).read("flights/features/schedule").unique(["origin", "departure_hour"])
    keys, both = ["origin", "departure_hour"], rows.select("origin", "departure_hour")
    assert_frame_equal(
        online.select(*keys, *FEATURES),
        both.join(made, on=keys, how="left", maintain_order="left").select(*keys, *FEATURES),
    )
    too_early = rows.with_columns(pl.col("departure_hour") + 48 * 3600)
    assert store.online(SERVICE, too_early, NOW).select(FEATURES).null_count().row(0) == (len(asked),) * len(
        FEATURES
    ), "what is planned for the day after tomorrow is not known yet"


def test_a_partition_that_an_earlier_release_ingested_without_it_is_not_counted_as_without_flights(
    home, tmp_path, monkeypatch
):
    monkeypatch.setenv("MLOPS_DATA", str(home / "data"))
    lake, (first, second) = Lake(root=str(tmp_path)), CALENDAR.names()[:2]
    for table in MADE[:2]:
        build_partition(lake, table, first if table.calendar else None)
    build_partition(lake, MADE[2], second)
    with pytest.raises(TableError, match=rf"flights/schedule {first} is not there, although flights/raw is"):
        build_partition(lake, MADE[3], second)
    ingested(lake, first)
    ingested(lake, second)
