"""A table may have longer partitions than its use case: what holds in a span is found by time, never by name alone."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_assets.ml.tables import Expectation
from mlops_assets.spec.calendar import Calendar, Partition
from mlops_assets.stages.held import reaching, standing
from mlops_assets.stages.online import bring_online, content_of
from mlops_assets.stages.tables import Table, build_partition, recent
from mlops_assets.stages.training_set import join_partition
from resources.lake.lake import Lake, LakeError
from resources.lake.names import WHOLE
from resources.local import local_resources
from resources.settings import settings
from tests.pumps.project import SPEC, WEEKS, checks, states

DAYS = Calendar(cadence="daily", start=WEEKS.start, end=WEEKS.end)
UTC_TIME = pl.Datetime("us", "UTC")
HOURLY = Expectation(schema={"at": UTC_TIME}, keys=("at",), time="at")
CADENCES = ["daily", "weekly", "monthly"]


def hours(lake: Lake, span: Partition) -> pl.DataFrame:
    return pl.datetime_range(span.start, span.end, "6h", closed="left", eager=True, time_unit="us").to_frame(
        "at"
    )


def table(calendar: Calendar, **more: Any) -> Table:
    return Table("shop/hours", hours, HOURLY, calendar, **more)


@pytest.fixture(scope="module")
def lakes(tmp_path_factory) -> dict[str, Lake]:
    """Six-hourly rows of nine weeks, cut at each cadence, and once written whole."""
    made = {}
    for cadence in CADENCES:
        made[cadence] = lake = Lake(root=str(tmp_path_factory.mktemp(cadence)))
        calendar = DAYS.coarser(cadence)
        for name in calendar.names():
            build_partition(lake, table(calendar), name)
    made[WHOLE] = Lake(root=str(tmp_path_factory.mktemp(WHOLE)))
    build_partition(made[WHOLE], Table("shop/hours", lambda lake, _: hours(lake, DAYS.first), HOURLY), None)
    return made


@given(
    st.sampled_from(CADENCES),
    st.integers(0, 62),
    st.none() | st.timedeltas(timedelta(0), timedelta(days=40)),
)
def test_what_reaches_into_a_span_is_all_that_overlaps_it(lakes, cadence, day, before):
    calendar = DAYS.coarser(cadence)
    until = DAYS.partition(DAYS.names()[day]).start + timedelta(hours=7)
    since = None if before is None else until - before
    found = reaching(lakes[cadence], "shop/hours", DAYS, since, until)
    spans = [calendar.partition(name) for name in calendar.names()]
    assert found == [s.name for s in spans if s.start <= until and (since is None or s.end > since)]


@given(st.sampled_from(["daily", "weekly", "monthly"]), st.integers(0, 62), st.integers(0, 40))
def test_recent_rows_are_those_of_the_days_however_the_table_is_cut(lakes, cadence, day, back):
    span = DAYS.partition(DAYS.names()[day])
    rows = recent(lakes[cadence], "shop/hours", DAYS.coarser(cadence), span, timedelta(days=back))
    since = max(span.start - timedelta(days=back), DAYS.first.start)
    inside = rows.filter(pl.col("at").is_between(since, span.end, closed="left"))
    wanted = hours(lakes[cadence], Partition("", since, span.end))
    assert inside["at"].to_list() == wanted["at"].to_list()


def test_a_table_reads_the_partitions_of_another_cadence_that_it_needs():
    weeks = DAYS.coarser("weekly")
    below = table(
        DAYS, deps={"shop/weeks": timedelta(days=7), "shop/hours": None}, calendars={"shop/weeks": weeks}
    )
    span = DAYS.partition("2024-01-17")
    assert below.reads("shop/weeks", span) == ["2024-01-08", "2024-01-15"]
    assert below.reads("shop/hours", span) == ["2024-01-17"]


def test_what_stands_for_a_day_is_its_week_or_the_week_before_while_that_is_not_there(lakes, tmp_path):
    day = DAYS.partition("2024-01-17")
    assert standing(lakes["weekly"], "shop/hours", DAYS, day) == ["2024-01-15"]
    assert standing(lakes["daily"], "shop/hours", DAYS, day) == ["2024-01-17"]
    assert standing(lakes[WHOLE], "shop/hours", DAYS, day) == [WHOLE]
    few = Lake(root=str(tmp_path / "few"))
    weeks = DAYS.coarser("weekly")
    build_partition(few, table(weeks), "2024-01-08")
    assert standing(few, "shop/hours", DAYS, day) == ["2024-01-08"]
    assert standing(few, "shop/hours", DAYS, DAYS.partition("2024-01-08")) == ["2024-01-08"]


def test_a_day_that_is_missing_from_a_table_of_days_is_asked_for(tmp_path):
    lake = Lake(root=str(tmp_path))
    build_partition(lake, table(DAYS), "2024-01-16")
    with pytest.raises(LakeError, match="has no manifest for '2024-01-17': materialize it first"):
        standing(lake, "shop/hours", DAYS, DAYS.partition("2024-01-17"))


def test_a_partition_of_an_earlier_release_lies_where_the_calendar_says(tmp_path):
    """Its manifest has no note of its bounds."""
    lake = Lake(root=str(tmp_path))
    for name in WEEKS.names()[:3]:
        build_partition(lake, table(WEEKS), name)
        path = tmp_path / "shop" / "hours" / "_manifests" / f"{name}.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | {"notes": None}))
    moment = datetime(2024, 1, 16, tzinfo=UTC)
    assert reaching(lake, "shop/hours", WEEKS, moment - timedelta(days=7), moment) == [
        "2024-01-08",
        "2024-01-15",
    ]


STATE = Expectation(
    schema={"pump": pl.String, "event_timestamp": UTC_TIME, "vibration": pl.Float32, "score": pl.Float32},
    keys=("pump", "event_timestamp"),
    time="event_timestamp",
)
CHECK = Expectation(
    schema={
        "check_id": pl.String,
        "pump": pl.String,
        "checked_at": UTC_TIME,
        "stopped_minutes": pl.Float64,
        "known_at": UTC_TIME,
    },
    keys=("check_id",),
    time="checked_at",
)


def of_a_week(build):
    """The rows of a span, made a week at a time, so that they are the same however they are cut."""

    def rows(lake: Lake, span: Partition) -> pl.DataFrame:
        weeks = [WEEKS.partition(name) for name in WEEKS.covering(span.start, span.end)]
        frame, time = (
            pl.concat([build(lake, week) for week in weeks]),
            "checked_at" if build is checks else "event_timestamp",
        )
        return frame.filter(pl.col(time).is_between(span.start, span.end, closed="left"))

    return rows


def joined(home, pumped: Calendar, checked: Calendar) -> pl.DataFrame:
    """Two weeks of pumps joined by a calendar for the checks, with the feature table cut by another one."""
    where = settings({"MLOPS_HOME": str(home)})
    parts = local_resources(where)
    lake, store = parts["lake"], parts["feature_store"].of("pumps")
    spec = SPEC.model_copy(update={"calendar": checked})
    until = WEEKS.partition("2024-01-15").start
    for calendar, name, build, expected in (
        (pumped, "pumps/features/pump_state", states, STATE),
        (checked, "pumps/checks", checks, CHECK),
    ):
        for partition in calendar.covering(WEEKS.first.start, until):
            build_partition(lake, Table(name, of_a_week(build), expected, calendar), partition)
    store.apply()
    for partition in checked.covering(WEEKS.first.start, until):
        assert join_partition(spec, lake, store, partition).manifest
        bring_online("pumps", checked, ["pump_state"], lake, store, [partition])
    assert len(content_of("pumps", checked, lake, ["pump_state"], "2024-01-08")) == 64
    frame = lake.read("pump_stops/training_set", checked.covering(WEEKS.first.start, until))
    return frame.filter(pl.col("checked_at") < until).sort("check_id")


def test_features_are_the_same_cell_by_cell_by_day_and_by_week(tmp_path, monkeypatch):
    monkeypatch.setenv("MLOPS_FEATURE_REPO", "tests.pumps.repo")
    weekly = joined(tmp_path / "weekly", WEEKS, WEEKS)
    assert weekly.height == 2 * 7 * 4 * 12
    assert weekly["vibration"].null_count() == 0
    assert joined(tmp_path / "daily", DAYS, DAYS).equals(weekly)
    assert joined(tmp_path / "mixed", WEEKS, DAYS).equals(weekly)
    assert joined(tmp_path / "open", DAYS, DAYS.model_copy(update={"end": None})).equals(weekly)
