"""Ticks keep every comparison between two sides, in any unit and zone."""

from datetime import UTC, date, datetime, timedelta

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from feature_repo.offline_store.kernel import NEVER
from feature_repo.offline_store.moments import MICROSECONDS, scale

UNITS = {"ms": 1_000_000, "us": 1_000, "ns": 1}
NANOSECONDS = st.one_of(
    st.integers(-3000, 3000), st.integers(-9_000_000_000, 9_000_000_000).map((10**9).__mul__)
)
"""A few around 1970, down to the nanosecond, and any second that nanoseconds reach."""


@st.composite
def columns(draw: st.DrawFn, least: int = 0) -> tuple[pl.Series, list[int | None]]:
    """A timestamp column and the nanoseconds of its moments."""
    unit = draw(st.sampled_from(list(UNITS)))
    drawn = draw(st.lists(st.one_of(NANOSECONDS, st.none()), min_size=least, max_size=8))
    numbers = [None if n is None else n // UNITS[unit] for n in drawn]
    if unit == "us" and draw(st.booleans()):
        numbers = [None if n is None else n * 20 for n in numbers]
    zone = draw(st.sampled_from([None, "UTC", "America/New_York"]))
    column = pl.Series(numbers, dtype=pl.Int64).cast(pl.Datetime(unit, zone))  # type: ignore[arg-type]
    return column, [None if n is None else n * UNITS[unit] for n in numbers]


@given(columns(), columns(), columns())
def test_ticks_compare_as_the_moments_do(asked, source, created):
    on = scale(asked[0], source[0], created[0])
    ours = on.ticks(asked[0]).tolist()
    for column, moments in (source, created):
        theirs = on.ticks(column).tolist()
        assert [tick == NEVER for tick in theirs] == [moment is None for moment in moments]
        for tick, now in zip(ours, asked[1], strict=True):
            for other, moment in zip(theirs, moments, strict=True):
                if now is not None and moment is not None:
                    assert (other <= tick) == (moment <= now)


@given(columns(), columns(), st.integers(0, 10_000))
def test_the_oldest_tick_compares_as_the_moment_a_time_to_live_before(asked, source, microseconds):
    on, ttl = scale(asked[0], source[0]), timedelta(microseconds=microseconds)
    oldest, theirs = on.oldest(asked[0], ttl).tolist(), on.ticks(source[0]).tolist()
    for limit, now in zip(oldest, asked[1], strict=True):
        for tick, moment in zip(theirs, source[1], strict=True):
            if now is not None and moment is not None:
                assert (tick >= limit) == (moment >= now - microseconds * 1000)


def test_ticks_are_microseconds_while_that_is_exact():
    whole = pl.Series([datetime(2024, 1, 1)]).cast(pl.Datetime("ns"))
    assert scale(whole, whole) is MICROSECONDS
    assert scale(whole, whole.dt.offset_by("1ns")) is not MICROSECONDS
    assert MICROSECONDS.ticks(pl.Series([date(1970, 1, 2), None])).tolist() == [86_400_000_000, NEVER]


def test_a_moment_in_the_hour_that_comes_twice_is_itself():
    """Clocks in New York went back at 06:00 UTC."""
    moments = [datetime(2013, 11, 3, 5, 30, tzinfo=UTC), datetime(2013, 11, 3, 6, 30, tzinfo=UTC)]
    local = pl.Series(moments).dt.convert_time_zone("America/New_York")
    assert local.dt.to_string("%H:%M").to_list() == ["01:30", "01:30"]
    assert MICROSECONDS.ticks(local).tolist() == MICROSECONDS.ticks(pl.Series(moments)).tolist()
