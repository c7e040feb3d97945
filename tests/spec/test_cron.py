"""A cron line names the minutes that Dagster's reader of cron lines names, or is refused with the rule and the fix."""

from datetime import datetime, timedelta

import pytest
from dagster._utils.schedules import CroniterShim
from hypothesis import assume, given
from hypothesis import strategies as st

from mlops_assets.spec.cron import Cron, CronError

MOMENTS = st.datetimes(datetime(2000, 1, 1), datetime(2040, 1, 1))


def field(low: int, high: int, words: tuple[str, ...] = ()) -> st.SearchStrategy[str]:
    number = st.integers(low, high).map(str)
    if words:
        number = number | st.sampled_from(words)
    span = st.sets(st.integers(low, high), min_size=2, max_size=2).map(lambda two: f"{min(two)}-{max(two)}")
    step = st.tuples(span | st.just("*"), st.integers(1, 20)).map(lambda two: f"{two[0]}/{two[1]}")
    return st.just("*") | st.lists(number | span | step, min_size=1, max_size=3).map(",".join)


LINES = st.one_of(
    *(
        st.tuples(field(0, 59), field(0, 23), days, field(1, 12, ("jan", "DEC")), weekdays).map(" ".join)
        for days, weekdays in ((field(1, 31), st.just("*")), (st.just("*"), field(0, 7, ("mon", "SUN"))))
    )
)


@given(LINES, MOMENTS)
def test_a_line_names_the_moments_that_dagster_reads_in_it(line, moment):
    try:
        cron = Cron.read(line)
    except CronError as error:
        assume("names no day" not in str(error))
        raise
    for reader in (line, cron.line):
        theirs = CroniterShim(reader, moment)
        assert cron.after(moment) == theirs.get_next(datetime)
        assert cron.floor(moment) == CroniterShim(reader, moment + timedelta(microseconds=1)).get_prev(
            datetime
        )


@given(LINES, MOMENTS)
def test_floor_ceil_and_after_are_neighbours(line, moment):
    try:
        cron = Cron.read(line)
    except CronError:
        assume(False)
    below, above = cron.floor(moment), cron.after(moment)
    assert below <= moment < above
    assert cron.after(below) == above
    assert cron.floor(above - timedelta(microseconds=1)) == below
    assert cron.ceil(moment) == (moment if below == moment else above)
    assert cron.ceil(above) == cron.floor(above) == above
    assert Cron.read(cron.line) == cron


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("0 6 * *", "'0 6 * *' has 4 fields: a cron line has five"),
        ("0 0 6 * * *", "has 6 fields"),
        ("60 6 * * *", "has '60' for its minute: write numbers from 0 to 59"),
        ("0 6 * * 8", "has '8' for its weekday"),
        ("0 6 * foo *", "has 'foo' for its month"),
        ("0 5-1 * * *", "has '5-1' for its hour"),
        ("0 5-5 * * *", "has '5-5' for its hour"),
        ("0 5/2 * * *", "has '5/2' for its hour"),
        ("0 */0 * * *", "has '*/0' for its hour"),
        ("0 6 L * *", "has 'l' for its day"),
        ("0 6 * * 1#2", "has '1#2' for its weekday"),
        ("0 6 ٣ * *", "for its day"),
        ("0 6 1 * 1", "names days of the month and of the week, and cron takes either"),
        ("0 6 30 2 *", "names no day of most years: day 30 is in none of its months"),
    ],
)
def test_a_line_that_is_none_is_refused_with_the_field_and_the_fix(line, message):
    with pytest.raises(CronError) as caught:
        Cron.read(line)
    assert message in str(caught.value)


def test_a_leap_day_is_found_over_a_century_without_one():
    """Only beside other days: a partition of four or eight years is a mistake, and Dagster loses the first of them."""
    cron = Cron.read("0 0 29 2,3 *")
    assert cron.after(datetime(2096, 3, 29)) == datetime(2097, 3, 29)
    assert cron.floor(datetime(2096, 3, 28)) == datetime(2096, 2, 29)
    with pytest.raises(CronError, match="names no day of most years: day 29 is in none of its months"):
        Cron.read("0 0 29 2 *")
