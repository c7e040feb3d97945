"""A text is one moment or none: ISO 8601 is read exactly, everything else is refused with the value and the fix."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from feature_repo.offline_store.iso8601 import MomentError, read_day, read_moment
from tests.moment_texts import AMBIGUOUS, moments, spellings


@given(moments, st.data())
def test_every_spelling_of_a_moment_is_that_moment(now: datetime, data: st.DataObject) -> None:
    assert read_moment(data.draw(spellings(now))) == now
    assert read_moment(data.draw(spellings(now))).tzinfo is UTC


@pytest.mark.parametrize("text", AMBIGUOUS)
def test_what_could_be_two_moments_is_refused_with_the_value_and_an_example(text: object) -> None:
    with pytest.raises(MomentError, match=r"is not a moment: .*; for example 2024-02-01T10:00:00Z") as caught:
        read_moment(text)
    assert repr(text)[:40] in str(caught.value)


@given(
    st.dates(date(1, 1, 1), date(9999, 12, 31)),
    st.sampled_from(["{0:%d/%m/%Y}", "{0:%m/%d/%Y}", "{0:%d.%m.%Y}"]),
)
def test_a_day_whose_month_could_be_its_day_is_no_moment_and_no_day(any_day: date, form: str) -> None:
    for text in (form.format(any_day), form.format(any_day) + " 10:00", form.format(any_day) + "T10:00:00Z"):
        for read in (read_moment, read_day):
            with pytest.raises(MomentError):
                read(text)
        with pytest.raises(MomentError):
            read_moment(text, without_zone=UTC)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("2016-12-31T23:59:60Z", "leap second"),
        ("2024-02-01T24:00:00Z", "00:00 of the next one"),
        ("0000-01-01T00:00:00Z", "year"),
        ("2024-02-30T10:00:00Z", "day"),
        ("2024-02-01T10:61:00Z", "minute must be in 0..59"),
        ("0001-01-01T00:00:00+14:00", "from 1677-09-22 to 2262-04-11"),
        ("9999-12-31T23:59:59-12:00", "from 1677-09-22 to 2262-04-11"),
        ("2300-01-01T00:00:00Z", "from 1677-09-22 to 2262-04-11"),
        ("2024-02-01T10:00:00.1234567Z", "below the microsecond"),
        ("2024-02-01T10:00:00", "without a timezone"),
        ("2024-02-01", "a day is not a moment"),
        ("1706781600", "a number says neither unit nor zone"),
    ],
)
def test_a_moment_that_is_none_says_which_rule_it_breaks(text: str, why: str) -> None:
    with pytest.raises(MomentError, match=why):
        read_moment(text)


def test_without_a_zone_a_moment_is_read_by_the_rule_that_is_named() -> None:
    assert read_moment("2024-07-01 10:00", UTC) == datetime(2024, 7, 1, 10, tzinfo=UTC)
    assert read_moment(datetime(2024, 7, 1, 10), ZoneInfo("America/New_York")).hour == 14
    with pytest.raises(MomentError, match="without a timezone"):
        read_moment(datetime(2024, 7, 1, 10))


def test_digits_that_are_zero_are_no_loss() -> None:
    assert read_moment("2024-02-01T10:00:00.123456000Z").microsecond == 123456


def test_both_hours_of_a_clock_that_was_put_back_keep_apart() -> None:
    zone = ZoneInfo("America/New_York")
    first, second = (datetime(2024, 11, 3, 1, 30, tzinfo=zone, fold=fold) for fold in (0, 1))
    assert read_moment(second) - read_moment(first) == timedelta(hours=1)


@pytest.mark.parametrize(
    "value", [pd.NaT, pd.Timestamp(1, tz="UTC"), b"2024-02-01T10:00:00Z", date(2024, 2, 1), None]
)
def test_what_is_neither_text_nor_whole_microseconds_is_refused(value: object) -> None:
    with pytest.raises(MomentError):
        read_moment(value)


def test_a_day_is_year_month_and_day_and_nothing_else() -> None:
    assert read_day("2024-02-29") == read_day(date(2024, 2, 29)) == date(2024, 2, 29)
    for other in (
        "20240229",
        "2024-2-29",
        "2023-02-29",
        "2024-02-29T00:00:00Z",
        20240229,
        True,
        "9999-12-31",
    ):
        with pytest.raises(MomentError, match="is not a day"):
            read_day(other)
    with pytest.raises(MomentError):
        read_day(datetime(2024, 2, 29, tzinfo=UTC))
