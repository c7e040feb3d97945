"""Dagster's partitions of a calendar have the calendar's names and bounds, and room where the calendar has no end."""

from datetime import UTC, date, datetime, timedelta

import dagster as dg
from dagster._core.definitions.partitions.context import partition_loading_context
from hypothesis import given
from hypothesis import strategies as st

from mlops_assets.kit.partitions import by_time, time_windows
from mlops_assets.spec.calendar import Calendar
from tests.spec.calendars import ZONES, calendars
from tests.spec.test_calendar import COUNT, some
from tests.spec.weeks_of_before import weekly


def at(moment: datetime):
    """Dagster's clock at a moment."""
    return partition_loading_context(effective_dt=moment)


@given(calendars(), COUNT, COUNT)
def test_names_and_bounds_are_those_of_dagster(calendar, skip, count):
    definition = time_windows(calendar)
    found = some(calendar, skip, count + 1)
    with at(found[-1].end + timedelta(days=1)):
        for one in found:
            window = definition.time_window_for_partition_key(one.name)
            bounds = [moment.timestamp() for moment in (window.start, window.end, one.start, one.end)]
            assert bounds[:2] == bounds[2:]
            assert definition.has_partition_key(one.name)
            assert definition.get_partition_key_for_timestamp(one.start.timestamp()) == one.name


@given(calendars(), COUNT)
def test_dagster_lists_the_names_that_are_over_and_those_it_has_room_for(calendar, skip):
    newest = some(calendar, skip, 1)[0]
    definition = time_windows(calendar)
    with at(newest.end):
        listed = definition.get_partition_keys()
    over = calendar.names(newest.end)
    if calendar.end:
        assert listed == calendar.names(calendar.over or newest.end)[: len(listed)]
        assert listed[: len(over)] == over
    else:
        assert listed[: len(over)] == over
        assert len(listed) == len(over) + definition.end_offset


@given(calendars(ends=False), COUNT, st.timedeltas(timedelta(0), timedelta(minutes=59)))
def test_a_worker_whose_clock_is_an_hour_late_has_the_newest_partition(calendar, skip, late):
    newest = some(calendar, skip, 1)[0]
    with at(newest.end - late):
        assert time_windows(calendar).has_partition_key(newest.name)


@given(st.dates(date(1970, 1, 1), date(2040, 1, 1)), st.integers(1, 300), st.sampled_from(ZONES))
def test_weeks_have_the_definition_of_before(start, count, timezone):
    end = start + timedelta(days=7 * count)
    before = weekly(start, end, timezone)
    now = time_windows(Calendar(cadence="weekly", start=start, end=end, timezone=timezone))
    assert now == before
    assert now.get_serializable_unique_identifier() == before.get_serializable_unique_identifier()


def test_a_calendar_with_an_end_needs_no_clock():
    calendar = Calendar(cadence="daily", start=date(2024, 1, 1), end=date(2024, 1, 4))
    with at(datetime(2100, 1, 1, tzinfo=UTC)):
        assert time_windows(calendar).get_partition_keys() == ["2024-01-01", "2024-01-02", "2024-01-03"]


def test_an_asset_of_hours_is_made_under_its_name():
    calendar = Calendar(cadence="hourly", timezone="Asia/Kolkata", start=date(2024, 1, 1))
    made = []

    @dg.asset(partitions_def=time_windows(calendar))
    def hour(context: dg.AssetExecutionContext) -> None:
        made.append((context.partition_key, context.partition_time_window.start))

    assert dg.materialize([hour], partition_key="2024-01-01T0430Z").success
    assert made == [("2024-01-01T0430Z", datetime(2024, 1, 1, 4, 30, tzinfo=UTC))]


START = date(2024, 1, 1)
DAYS = Calendar(cadence="daily", timezone="Europe/Berlin", start=START)
WEEKS = DAYS.coarser("weekly")


def upstream(below: Calendar, name: str, back: timedelta, above: Calendar) -> list[str]:
    """The partitions of `above` on which Dagster has one of `below` depend."""
    definition = time_windows(below)
    with at(datetime(2025, 1, 1, tzinfo=UTC)):
        mapping = by_time(below, back, above) or dg.TimeWindowPartitionMapping()
        found = mapping.get_upstream_mapped_partitions_result_for_partitions(
            definition.subset_with_partition_keys([name]), definition, time_windows(above)
        )
        return sorted(found.partitions_subset.get_partition_keys())


def test_a_partition_depends_on_all_that_overlap_it_or_lie_so_long_before():
    assert upstream(DAYS, "2024-03-06", timedelta(0), DAYS) == ["2024-03-06"]
    assert upstream(DAYS, "2024-03-06", timedelta(days=2), DAYS) == ["2024-03-04", "2024-03-05", "2024-03-06"]
    assert upstream(DAYS, "2024-03-06", timedelta(0), WEEKS) == ["2024-03-04"]
    assert upstream(DAYS, "2024-03-06", timedelta(days=3), WEEKS) == ["2024-02-26", "2024-03-04"]
    assert upstream(WEEKS, "2024-03-04", timedelta(days=14), WEEKS) == [
        "2024-02-19",
        "2024-02-26",
        "2024-03-04",
    ]
    assert len(upstream(WEEKS, "2024-03-25", timedelta(0), DAYS)) == 7


@given(st.integers(0, 300), st.integers(0, 40), st.sampled_from(["daily", "weekly", "monthly"]))
def test_dagster_names_every_partition_that_the_work_reads(day, back, cadence):
    above = DAYS.coarser(cadence)
    span = some(DAYS, day, 1)[0]
    read = above.covering(DAYS.days_before(span.start, back), span.end)
    found = upstream(DAYS, span.name, timedelta(days=back), above)
    assert found == read


def test_hours_of_a_zone_and_its_days_depend_on_one_another_whole():
    hours = DAYS.model_copy(update={"cadence": "hourly"})
    mapping = by_time(DAYS, timedelta(0), hours)
    assert isinstance(mapping, dg.AllPartitionMapping)
