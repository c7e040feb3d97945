"""Calendars tile time: names in its order, no gap and no overlap, whatever the clocks do; what cannot work is refused."""

from datetime import UTC, date, datetime, timedelta
from urllib.parse import quote
from zoneinfo import ZoneInfo

import polars as pl
import pydantic
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from mlops_assets.spec.calendar import Calendar, Partition, PartitionError
from resources.lake.lake import Lake
from resources.lake.names import WHOLE
from tests.spec.calendars import ZONES, calendars
from tests.spec.weeks_of_before import week_bounds, week_names, weeks_back

COUNT = st.integers(0, 40)


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def some(calendar: Calendar, skip: int, count: int) -> list[Partition]:
    """So many partitions in a row, fewer at the end of a calendar; found by their names alone."""
    names: list[str] = [calendar.first.name]
    while len(names) < skip + count and (name := calendar.next(names[-1])):
        names.append(name)
    return [calendar.partition(name) for name in names[-count:]]


@given(calendars(), COUNT, COUNT)
def test_partitions_tile_time_and_their_names_sort_with_it(calendar, skip, count):
    found = some(calendar, skip, count + 1)
    assert all(p.start < p.end for p in found)
    assert [p.end for p in found[:-1]] == [p.start for p in found[1:]]
    assert [p.name for p in found] == sorted({p.name for p in found})
    assert calendar.over is None or found[-1].end <= calendar.over


@given(calendars(), COUNT, st.floats(0, 1, exclude_max=True))
def test_every_moment_lies_in_the_partition_that_is_found_for_it(calendar, skip, share):
    one = some(calendar, skip, 1)[0]
    moment = min(one.start + (one.end - one.start) * share, one.end - timedelta(microseconds=1))
    assert calendar.at(moment) == calendar.at(one.start) == one
    assert calendar.covering(moment, moment + timedelta(microseconds=1)) == [one.name]
    newest = calendar.newest(moment)
    assert newest == (calendar.partition(calendar.back(one.name, 1)[0]) if one != calendar.first else None)
    assert calendar.newest(one.end) == one


@given(calendars(), COUNT, COUNT)
def test_names_back_next_and_covering_say_the_same(calendar, skip, count):
    found = [p.name for p in some(calendar, skip, count + 1)]
    first, last = calendar.partition(found[0]), calendar.partition(found[-1])
    assert calendar.back(found[-1], len(found) - 1) == found
    assert calendar.covering(first.start, last.end) == found
    assert calendar.names(last.end)[-len(found) :] == found
    assert calendar.names(last.end, after=found[0]) == found[1:]
    assert calendar.names(last.end - timedelta(microseconds=1), after=found[0]) == found[1:-1]
    everything = calendar.back(found[-1], 10_000)
    assert everything == calendar.names(last.end)
    assert everything[0] == calendar.first.name


@given(
    calendars(["hourly", "daily", "0 6 * * *"], ends=False),
    st.sampled_from(["daily", "weekly", "monthly"]),
    COUNT,
)
def test_a_partition_lies_in_what_covers_it_and_is_one_of_those_that_cover_that(calendar, cadence, skip):
    assume(cadence != "daily" or calendar.cadence == "hourly")
    coarse = calendar.coarser(cadence)
    fine = some(calendar, skip, 1)[0]
    above = coarse.covering(fine.start, fine.end)
    whole = [coarse.partition(name) for name in above]
    assert whole[0].start <= fine.start < whole[0].end
    assert whole[-1].start < fine.end <= whole[-1].end
    assert len(above) == 1 or calendar.cadence == "0 6 * * *"
    for one in whole:
        assert fine.name in calendar.covering(one.start, one.end)


@given(
    st.dates(date(1970, 1, 1), date(2040, 1, 1)),
    st.integers(1, 300),
    st.sampled_from(ZONES),
    st.integers(0, 299),
)
def test_weeks_are_the_weeks_of_before(start, count, timezone, number):
    end = start + timedelta(days=7 * count)
    calendar = Calendar(cadence="weekly", start=start, end=end, timezone=timezone)
    names = calendar.names()
    assert names == week_names(start, end)
    name = names[number % count]
    found = calendar.partition(name)
    assert (found.start, found.end) == week_bounds(name, timezone)
    assert calendar.back(name, number) == weeks_back(start, name, number)
    assert calendar.days_between(found.start, found.end) == 7
    assert calendar.days_before(found.end, 7) == found.start


NEW_YORK = Calendar(cadence="daily", timezone="America/New_York", start=date(2013, 1, 1))


def hours(calendar: Calendar, name: str) -> float:
    found = calendar.partition(name)
    return (found.end - found.start).total_seconds() / 3600


def test_a_night_on_which_the_clock_is_changed_makes_a_day_of_23_or_25_hours():
    assert [hours(NEW_YORK, name) for name in ("2013-03-09", "2013-03-10", "2013-11-03")] == [24, 23, 25]
    havana = NEW_YORK.model_copy(update={"timezone": "America/Havana"})
    assert [hours(havana, name) for name in ("2013-03-10", "2013-11-03")] == [23, 25]
    lord_howe = NEW_YORK.model_copy(update={"timezone": "Australia/Lord_Howe"})
    assert [hours(lord_howe, name) for name in ("2013-04-07", "2013-10-06")] == [24.5, 23.5]


def test_each_hour_of_the_night_that_repeats_one_is_a_partition_and_the_skipped_one_is_none():
    calendar = NEW_YORK.model_copy(update={"cadence": "hourly"})
    autumn, spring = NEW_YORK.partition("2013-11-03"), NEW_YORK.partition("2013-03-10")
    repeated = calendar.covering(autumn.start, autumn.end)
    assert (len(repeated), len(calendar.covering(spring.start, spring.end))) == (25, 23)
    zone = ZoneInfo("America/New_York")
    local = [calendar.partition(name).start.astimezone(zone).hour for name in repeated]
    assert local == [0, 1, 1, *range(2, 24)]
    assert repeated[:3] == ["2013-11-03T0400Z", "2013-11-03T0500Z", "2013-11-03T0600Z"]


def test_hours_begin_where_the_hours_of_the_zone_do():
    calendar = Calendar(cadence="hourly", timezone="Asia/Kathmandu", start=date(2024, 1, 1))
    assert calendar.first == Partition("2023-12-31T1815Z", utc("2023-12-31T18:15"), utc("2023-12-31T19:15"))


def test_a_leap_day_is_a_day_and_months_end_where_the_next_begins():
    monthly = Calendar(cadence="monthly", start=date(2023, 11, 1), end=date(2024, 4, 1))
    assert monthly.over == utc("2024-04-01T00:00")
    assert monthly.names(monthly.over) == [
        "2023-11-01",
        "2023-12-01",
        "2024-01-01",
        "2024-02-01",
        "2024-03-01",
    ]
    assert [hours(monthly, name) / 24 for name in monthly.names(monthly.over)] == [30, 31, 31, 29, 31]
    daily = Calendar(cadence="daily", start=date(2023, 1, 1))
    assert [daily.next(day) for day in ("2024-02-28", "2024-02-29", "2023-02-28")] == [
        "2024-02-29",
        "2024-03-01",
        "2023-03-01",
    ]


def test_a_year_with_a_53rd_week_has_it():
    weekly = Calendar(cadence="weekly", start=date(2020, 1, 6))
    assert weekly.back("2021-01-04", 1) == ["2020-12-28", "2021-01-04"]
    assert weekly.partition("2020-12-28").start.isocalendar()[:2] == (2020, 53)
    assert len(weekly.names(utc("2021-01-04T00:00"))) == 52


def test_a_working_week_of_days_has_a_long_friday():
    calendar = Calendar(cadence="0 4 * * 1-5", timezone="Europe/Berlin", start=date(2024, 3, 25))
    assert calendar.next("2024-03-29") == "2024-04-01"
    assert hours(calendar, "2024-03-29") == 71
    assert calendar.at(utc("2024-03-31T12:00")).name == "2024-03-29"


@given(calendars())
def test_a_name_is_a_piece_of_a_path_and_of_an_objects_key_as_it_is(calendar):
    name = some(calendar, 3, 1)[0].name
    assert name != WHOLE
    assert quote(name, safe="") == name


def test_the_lake_lists_hours_in_order_of_time(tmp_path):
    calendar = NEW_YORK.model_copy(update={"cadence": "hourly"})
    autumn = NEW_YORK.partition("2013-11-03")
    names = calendar.covering(autumn.start, autumn.end)
    lake = Lake(root=str(tmp_path / "lake"))
    for name in reversed(names):
        lake.write("shop/sales", pl.DataFrame({"hour": [name]}), name, ["hour"])
    assert lake.partitions("shop/sales") == names
    assert lake.read("shop/sales", names[1:3])["hour"].to_list() == names[1:3]


WORDS = {"cadence": "daily", "start": "2024-01-01"}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            {"cadence": "fortnightly"},
            "cadence 'fortnightly' does not exist: choose from hourly, daily, weekly, monthly",
        ),
        ({"cadence": "@daily"}, "cadence '@daily' does not exist"),
        ({"cadence": "0 6 * *"}, "'0 6 * *' has 4 fields"),
        (
            {"cadence": "0 */6 * * *", "timezone": "Europe/Berlin"},
            "a clock that is set back would name two of them alike; write the line in UTC and timezone: UTC",
        ),
        (
            {"cadence": "30 2 * * *", "timezone": "Europe/Berlin"},
            "the clock of Europe/Berlin is changed at 02:30 on 2024-03-31, so that cadence '30 2 * * *' has no such "
            "moment then, or two: choose a time that every day has once, for example 0 4 * * *",
        ),
        (
            {"cadence": "hourly", "timezone": "Australia/Lord_Howe"},
            "hours in Australia/Lord_Howe do not begin at the same minute after 2024-04-0",
        ),
        (
            {"timezone": "Pacific/Apia", "start": "2011-12-01"},
            "2011-12-30 never was in Pacific/Apia",
        ),
        ({"cadence": "monthly", "start": "2024-01-15"}, "begins on that day; give 2024-01-01 or 2024-02-01"),
        (
            {"cadence": "0 6 * * 1", "start": "2024-01-02"},
            "begins on that day; give 2024-01-01 or 2024-01-08",
        ),
        (
            {"cadence": "monthly", "end": "2024-02-10"},
            "end 2024-02-10: no partition of cadence 'monthly' begins",
        ),
        ({"end": "2024-01-01"}, "end 2024-01-01 is not after start 2024-01-01"),
        ({"cadence": "weekly", "end": "2024-01-10"}, "weeks from 2024-01-01 to 2024-01-10 are 9 days"),
        ({"start": 20240101}, "20240101 is not a day"),
        ({"start": "2024-01-01", "weeks": 3}, "Extra inputs are not permitted"),
    ],
)
def test_a_calendar_that_cannot_work_is_refused_with_the_rule_and_the_fix(words, message):
    with pytest.raises(pydantic.ValidationError) as caught:
        Calendar.model_validate({**WORDS, **words})
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("words", "name", "message"),
    [
        (
            {"cadence": "weekly"},
            "2024-01-03",
            "2024-01-03 begins none of the 'weekly' partitions from 2024-01-01",
        ),
        ({"cadence": "weekly"}, "2024-01-03", "choose 2024-01-01 or 2024-01-08"),
        (
            {"cadence": "hourly"},
            "2024-01-01",
            "'2024-01-01' names no partition: write its start in UTC, for example",
        ),
        ({"cadence": "hourly"}, "2024-01-01T2500Z", "names no partition"),
        ({"cadence": "hourly"}, "2024-01-01T0530Z", "choose 2024-01-01T0500Z or 2024-01-01T0600Z"),
    ],
)
def test_a_name_that_is_none_is_refused_with_one_that_is(words, name, message):
    calendar = Calendar.model_validate({**WORDS, **words})
    for ask in (calendar.partition, calendar.next, lambda asked: calendar.back(asked, 1)):
        with pytest.raises(PartitionError) as caught:
            ask(name)
        assert message in str(caught.value)


def test_a_name_outside_of_the_ends_has_bounds_and_is_not_one_of_the_calendars():
    """A lake keeps what was made before the ends were moved."""
    calendar = Calendar.model_validate({**WORDS, "end": "2024-02-01"})
    assert calendar.partition("2023-12-31").end == calendar.first.start
    names = ("2023-12-31", "2024-01-01", "2024-01-31", "2024-02-01", "all")
    assert [calendar.has(name) for name in names] == [False, True, True, False, False]
    assert calendar.back("2023-12-31", 3) == []
    assert calendar.back("2024-01-02", 3) == ["2024-01-01", "2024-01-02"]


def test_a_moment_outside_of_a_calendar_is_in_none_of_its_partitions():
    calendar = Calendar.model_validate({**WORDS, "end": "2024-02-01"})
    for moment in (utc("2023-12-31T23:59"), utc("2024-02-01T00:00")):
        with pytest.raises(
            PartitionError, match="lies in none of the 'daily' partitions from 2024-01-01 to 2024-02-01"
        ):
            calendar.at(moment)
    assert calendar.newest(utc("2024-01-01T23:59")) is None
    assert calendar.newest(utc("2030-01-01T00:00")) == calendar.partition("2024-01-31")
    assert calendar.next("2024-01-31") is None
    assert calendar.covering(utc("2023-01-01T00:00"), utc("2024-01-02T00:00")) == ["2024-01-01"]
    assert calendar.covering(utc("2024-01-31T00:00"), utc("2025-01-02T00:00")) == ["2024-01-31"]
    assert calendar.covering(utc("2025-01-31T00:00"), utc("2025-02-02T00:00")) == []


@pytest.mark.parametrize(
    ("cadence", "start", "end"),
    [
        ("weekly", "2024-01-17", "2024-04-03"),
        ("monthly", "2024-01-01", "2024-04-01"),
        ("0 6 * * 1", "2024-01-15", "2024-04-01"),
    ],
)
def test_a_coarser_calendar_covers_the_finer_one(cadence, start, end):
    daily = Calendar.model_validate({**WORDS, "start": "2024-01-17", "end": "2024-03-28"})
    coarse = daily.coarser(cadence)
    assert (coarse.start.isoformat(), coarse.end and coarse.end.isoformat()) == (start, end)
    assert daily.coarser("daily") == daily


def test_a_calendar_without_an_end_lists_its_names_until_a_moment_alone():
    with pytest.raises(PartitionError, match="have no end: say until when, or give the calendar an end"):
        NEW_YORK.names()


@pytest.mark.parametrize(
    ("cadence", "back", "most"),
    [
        ("hourly", timedelta(days=35), 35 * 24),
        ("daily", timedelta(days=35), 35),
        ("weekly", timedelta(days=35), 5),
        ("weekly", timedelta(days=36), 6),
        ("monthly", timedelta(days=35), 2),
        ("0 4 * * 1-5", timedelta(days=3), 3),
        ("daily", timedelta(0), 0),
    ],
)
def test_the_partitions_that_a_time_has_room_for_are_counted_by_the_shortest(cadence, back, most):
    assert Calendar(cadence=cadence, start=date(2024, 1, 1)).most_within(back) == most


def test_a_cadence_that_is_finer_is_refused():
    with pytest.raises(ValueError, match="cadence 'hourly' is shorter than 'daily', which it stands below"):
        NEW_YORK.coarser("hourly")
