"""Every partition is asked for exactly once, in order and never before it is over, whatever the clock and the calendar do."""

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_assets.ml.tables import Expectation
from mlops_assets.spec.calendar import Calendar
from mlops_assets.stages.ingestion import MOST_LOOKED_AT, Frontier, Line, State, in_order, lines_of
from mlops_assets.stages.tables import Arrival, Table
from tests.spec.calendars import calendars

DAY = timedelta(days=1)


def table(
    calendar: Calendar | None, lateness: timedelta = timedelta(), key: str = "loans/raw", **more
) -> Table:
    arrival = Arrival(lateness, DAY, lambda lake, since: [], lambda lake, span: None, lambda lake, name: {})
    return Table(
        key, lambda lake, span: pl.DataFrame(), Expectation({}, ()), calendar, arrival=arrival, **more
    )


def line_of(calendar: Calendar, lateness: timedelta = timedelta()) -> Line:
    return Line("", calendar, [table(calendar, lateness)])


class Life:
    """A line that is looked at from time to time; runs end as they are told to."""

    def __init__(self, line: Line, room: int = 1) -> None:
        self.line, self.room = line, room
        self.ingested: set[str] = set()
        self.running: list[str] = []
        self.asked: list[str] = []
        self.frontier = Frontier()

    def tick(self, now: datetime, forgets: bool = False) -> list[str]:
        """Ask; the frontier is a record that may be lost."""
        self.frontier = (Frontier() if forgets else self.frontier).moved(self.line.calendar, self.ingested)
        names = self.frontier.waiting(self.line, now)
        turn = in_order(
            names,
            self.room - len(self.running),
            True,
            lambda name: State.RUNNING if name in self.running else State.DUE,
        )
        for name in turn.due:
            end = self.line.calendar.partition(name).end
            assert end + self.line.lateness <= now, f"{name} is asked for at {now}, and over at {end}"
        self.running += turn.due
        self.asked += turn.due
        return turn.due

    def end(self, which: int = 0) -> None:
        if self.running:
            self.ingested.add(self.running.pop(which % len(self.running)))


@given(
    calendars(),
    st.timedeltas(timedelta(), timedelta(days=3)),
    st.integers(1, 3),
    st.lists(st.tuples(st.floats(-2, 6), st.booleans(), st.integers(0, 3)), min_size=1, max_size=25),
)
def test_every_partition_is_asked_for_once_in_order_and_not_before_it_is_over(
    calendar, lateness, room, steps
):
    life = Life(line_of(calendar, lateness), room)
    long = calendar.first.end - calendar.first.start
    now = calendar.first.start
    furthest = now
    for partitions, forgets, ended in steps:
        now += partitions * long
        furthest = max(furthest, now)
        life.tick(now, forgets)
        for which in range(ended):
            life.end(which)
    over = calendar.names(furthest - lateness) if furthest - lateness > calendar.first.start else []
    for _ in range(len(over) + 1):
        while life.running:
            life.end()
        life.tick(furthest)
    assert life.asked == over


@pytest.mark.parametrize(
    ("calendar", "first", "last"),
    [
        (
            {"cadence": "daily", "start": "2024-03-08", "timezone": "America/New_York"},
            "2024-03-08",
            "2024-03-11",
        ),
        (
            {"cadence": "daily", "start": "2024-11-01", "timezone": "America/New_York"},
            "2024-11-01",
            "2024-11-04",
        ),
        (
            {"cadence": "hourly", "start": "2024-11-03", "timezone": "America/New_York"},
            "2024-11-03T0400Z",
            "2024-11-04T0500Z",
        ),
        (
            {"cadence": "hourly", "start": "2024-03-31", "timezone": "Europe/Berlin"},
            "2024-03-30T2300Z",
            "2024-03-31T2200Z",
        ),
        ({"cadence": "daily", "start": "2024-02-27"}, "2024-02-27", "2024-03-02"),
        (
            {"cadence": "monthly", "start": "2023-12-01", "timezone": "Europe/Berlin"},
            "2023-12-01",
            "2024-04-01",
        ),
        (
            {"cadence": "weekly", "start": "2020-12-14", "timezone": "Europe/Berlin"},
            "2020-12-14",
            "2021-01-11",
        ),
        (
            {"cadence": "0 6 * * *", "start": "2024-10-25", "timezone": "Europe/Berlin"},
            "2024-10-25",
            "2024-10-29",
        ),
    ],
    ids=[
        "spring night",
        "autumn night",
        "an hour twice",
        "an hour never",
        "leap day",
        "ends of months",
        "a 53rd week",
        "six o'clock",
    ],
)
def test_no_partition_is_missed_or_doubled_around_odd_days(calendar, first, last):
    calendar = Calendar.model_validate(calendar)
    life = Life(line_of(calendar, timedelta(hours=6)), room=1)
    until = calendar.partition(last).end + timedelta(hours=6)
    now = calendar.first.start
    while now <= until:
        for _ in range(2):
            life.tick(now)
            life.end()
        now += timedelta(minutes=30)
    assert life.asked == calendar.names(calendar.partition(last).end)
    assert (life.asked[0], life.asked[-1]) == (first, last)
    ends = [calendar.partition(name).end for name in life.asked]
    assert [calendar.partition(name).start for name in life.asked[1:]] == ends[:-1]


DAILY = Calendar.model_validate({"cadence": "daily", "start": "2024-01-01"})


def moment(day: int, hour: int = 0) -> datetime:
    return datetime(2024, 1, 1, tzinfo=UTC) + (day - 1) * DAY + timedelta(hours=hour)


def test_a_gap_is_waited_for_before_what_is_new_and_found_again_when_the_record_is_lost():
    there = {"2024-01-01", "2024-01-03", "2024-01-04"}
    for before in (Frontier(), Frontier().moved(DAILY, {"2024-01-01"})):
        found = before.moved(DAILY, there)
        assert found.waiting(line_of(DAILY), moment(7)) == ["2024-01-02", "2024-01-05", "2024-01-06"]


def test_a_partition_that_was_removed_from_the_lake_is_asked_for_again():
    all_there = Frontier().moved(DAILY, {"2024-01-01", "2024-01-02", "2024-01-03"})
    assert all_there.moved(DAILY, {"2024-01-01", "2024-01-03"}).gaps == ("2024-01-02",)


def test_a_tick_looks_at_the_first_of_many_new_partitions_however_long_the_machine_was_off():
    found = Frontier("2024-01-01", (), 1).waiting(line_of(DAILY), moment(20_000))
    assert found == DAILY.names(moment(2 + MOST_LOOKED_AT), after="2024-01-01")


def test_those_behind_one_that_waits_are_not_asked_for_and_those_behind_one_beyond_its_limit_are():
    states = {"a": State.PASSED, "b": State.DUE, "c": State.HOLDS, "d": State.DUE}
    turn = in_order("abcd", 5, True, states.__getitem__)
    assert (turn.due, turn.held) == (["b"], "c")


def test_where_partitions_look_back_one_waits_for_the_run_of_the_one_before():
    states = {"a": State.RUNNING, "b": State.DUE}
    assert in_order("ab", 5, False, states.__getitem__).due == []
    assert in_order("ab", 5, True, states.__getitem__).due == ["b"]
    assert in_order("bb", 5, False, states.__getitem__).due == ["b"]


def test_what_looks_back_is_found_over_tables_that_are_made_of_tables():
    middle = Table("l/m", lambda lake, span: pl.DataFrame(), Expectation({}, ()), DAILY, {"loans/raw": DAY})
    last = Table("l/l", lambda lake, span: pl.DataFrame(), Expectation({}, ()), DAILY, {"l/m": 2 * DAY})
    line = Line("", DAILY, [table(DAILY), middle, last])
    assert line.reach == 3 * DAY
    looking = line.looking_back(DAILY.partition("2024-01-05"))
    assert looking == ["2024-01-05", "2024-01-06", "2024-01-07", "2024-01-08", "2024-01-09"][: len(looking)]
    assert "2024-01-08" in looking and "2024-01-10" not in looking


def test_tables_of_longer_partitions_are_a_line_of_their_own_and_come_first():
    weekly, monthly = DAILY.coarser("weekly"), DAILY.coarser("monthly")
    tables = [
        table(weekly, key="l/w"),
        table(DAILY, key="l/d"),
        table(None, key="l/s"),
        table(monthly, key="l/m"),
    ]
    found = [(line.cadence, [one.key for one in line.tables]) for line in lines_of(DAILY, tables)]
    assert found == [("monthly", ["l/m"]), ("weekly", ["l/w"]), ("", ["l/d", "l/s"])]
