"""Declared aggregates are what one works out by hand: at every moment, for every key, in every cell."""

import math
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops_assets.ml.aggregates.covering import different, largest, two_largest
from mlops_assets.ml.aggregates.exact import nearest, summed, whole_numbers
from mlops_assets.ml.aggregates.timeline import aggregate_rows
from mlops_assets.ml.aggregates.versions import AggregateError
from mlops_assets.spec.aggregates import Aggregates
from tests.generated import slow_cases
from tests.ml.aggregates.by_hand import (
    ASKED,
    DAYS,
    FOR_EVER,
    LATEST,
    MICRO,
    SHAPE,
    begins,
    by_hand,
    frame,
    same,
    timelines,
)

NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)
ORDER: dict[str, Any] = {
    "order_id": 1,
    "customer": 1,
    "bought_at": NOON,
    "recorded_at": NOON,
    "amount": 10.0,
    "pieces": 1,
    "shop": "a",
    "returned": False,
}


def whole(asked, calendar, rows):
    names = calendar.names(calendar.first.start + timedelta(days=DAYS + 1, hours=2))
    return aggregate_rows(
        frame(rows), asked, SHAPE, calendar.first.start, calendar.partition(names[-1]).end
    ), names


@pytest.mark.parametrize("asked", [ASKED, FOR_EVER], ids=["windows", "lifetimes"])
@slow_cases(10)
@given(timeline=timelines())
def test_at_every_moment_the_newest_row_says_what_one_works_out_by_hand(asked, timeline):
    calendar, rows = timeline
    made, _ = whole(asked, calendar, rows)
    happens = {moment for row in rows for moment in (row["bought_at"], row["recorded_at"])}
    ends = {row["bought_at"] + one.window for row in rows for one in asked.features.values() if one.window}
    last = calendar.first.start + timedelta(days=DAYS + 1)
    moments = {m + d for m in {*happens, *ends} for d in (-MICRO, timedelta(), timedelta(minutes=61))}
    for key in {tuple(row[name] for name in asked.key) for row in rows}:
        mine = made.filter(
            *(pl.col(name).eq_missing(pl.lit(value)) for name, value in zip(asked.key, key, strict=True))
        )
        for moment in {*moments, *mine["event_timestamp"]}:
            if not calendar.first.start <= moment < last:
                continue
            newest = mine.filter(pl.col("event_timestamp") <= moment).tail(1).to_dicts()
            first = None if None in key else begins(asked, rows, key)
            assert bool(newest) == (first is not None and first <= moment)
            wanted = by_hand(asked, rows, key, moment)
            for name in asked.features if newest else ():
                assert same(newest[0][name], wanted[name]), (name, key, moment, newest[0][name], wanted[name])


@pytest.mark.parametrize("asked", [ASKED, FOR_EVER], ids=["windows", "lifetimes"])
@slow_cases(10)
@given(timeline=timelines())
def test_day_by_day_it_is_what_it_is_at_once_from_no_more_rows_than_can_count(asked, timeline):
    calendar, rows = timeline
    made, names = whole(asked, calendar, rows)
    days = []
    for name in names:
        day = calendar.partition(name)
        back = max(asked.longest or timedelta(days=DAYS + 1), LATEST)
        there = [row for row in rows if day.start - back <= row["bought_at"] < day.end]
        days.append(aggregate_rows(frame(there), asked, SHAPE, day.start, day.end))
    keys = [*asked.key, "event_timestamp"]
    assert pl.concat(days).sort(keys).equals(made.sort(keys))


@settings(max_examples=14, deadline=None)
@given(timeline=timelines(), asked=st.sampled_from([ASKED, FOR_EVER]), day=st.integers(0, DAYS - 1))
def test_what_becomes_known_later_changes_nothing_before(timeline, asked, day):
    calendar, rows = timeline
    now = calendar.first.start + timedelta(days=day)
    made, _ = whole(asked, calendar, rows)
    before, _ = whole(asked, calendar, [row for row in rows if row["recorded_at"] < now])
    earlier = pl.col("event_timestamp") < now
    keys = [*asked.key, "event_timestamp"]
    assert made.filter(earlier).sort(keys).equals(before.filter(earlier).sort(keys))


def test_a_row_leaves_at_the_moment_at_which_it_is_as_old_as_the_window():
    asked = Aggregates.model_validate(
        {
            "key": ["customer"],
            "features": {"n": {"count": "rows", "over": "1h"}, "s": {"sum": "amount", "over": "1h"}},
        }
    )
    found = aggregate_rows(frame([ORDER]), asked, SHAPE, NOON, NOON + timedelta(days=1))
    assert found.rows() == [(1, NOON, 1, 10.0), (1, NOON + timedelta(hours=1), 0, 0.0)]


def test_a_version_counts_from_when_it_was_known_and_takes_the_place_of_the_one_before():
    asked = Aggregates.model_validate(
        {"key": ["customer"], "features": {"s": {"sum": "amount", "over": "1d"}}}
    )
    later = ORDER | {"amount": 4.0, "recorded_at": NOON + timedelta(hours=2)}
    moved = ORDER | {"customer": 2, "recorded_at": NOON + timedelta(hours=3)}
    found = aggregate_rows(frame([moved, later, ORDER, later]), asked, SHAPE, NOON, NOON + timedelta(hours=9))
    hour = {n: NOON + timedelta(hours=n) for n in range(4)}
    assert found.rows() == [(1, hour[0], 10.0), (1, hour[2], 4.0), (1, hour[3], 0.0), (2, hour[3], 10.0)]


def test_two_versions_known_at_one_moment_are_refused():
    with pytest.raises(AggregateError, match=r"same row \(order_id\).*amount 1[01]\.0.*amount 1[01]\.0"):
        aggregate_rows(frame([ORDER, ORDER | {"amount": 11.0}]), ASKED, SHAPE, NOON, NOON + timedelta(days=1))


@pytest.mark.parametrize(
    ("column", "values", "said"),
    [("pieces", [2**62, 2**62], "more than 64 bits"), ("amount", [3e38, 3e38], "more than 32 bits")],
)
def test_a_sum_that_no_feature_holds_is_refused(column, values, said):
    rows = [ORDER | {"order_id": n, column: value} for n, value in enumerate(values)]
    asked = Aggregates.model_validate({"key": ["customer"], "features": {"s": {"sum": column, "over": "1d"}}})
    with pytest.raises(AggregateError, match=said):
        aggregate_rows(frame(rows), asked, SHAPE, NOON, NOON + timedelta(days=1))


def test_no_rows_are_no_features_with_all_columns():
    found = aggregate_rows(frame([]), ASKED, SHAPE, NOON, NOON + timedelta(days=1))
    assert found.height == 0 and found.columns == ["customer", "event_timestamp", *ASKED.features]


finite = st.floats(-1e300, 1e300, allow_nan=False)


@given(st.lists(st.one_of(finite, st.sampled_from([0.1, 1e16, -1e16, 5e-324, 0.0])), min_size=1, max_size=20))
def test_sums_are_those_of_fsum(values):
    found = nearest(summed(np.array(values), np.cumsum))
    assert found.tolist() == [math.fsum(values[: n + 1]) for n in range(len(values))]


@given(st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=9))
def test_sums_of_whole_numbers_are_exact_or_known_not_to_fit(values):
    sums = summed(np.array(values), np.cumsum)
    (found, lost), floats = whole_numbers(sums), nearest(sums)
    for n in range(len(values)):
        wanted = sum(values[: n + 1])
        assert floats[n] == float(wanted)
        assert lost[n] if not -(2**63) <= wanted < 2**63 else found[n] == wanted


ranges = st.lists(
    st.tuples(st.integers(0, 29), st.integers(1, 30), st.integers(0, 5)).map(
        lambda one: (one[0], min(one[0] + one[1], 30), one[2])
    ),
    min_size=1,
    max_size=12,
)


@given(ranges)
def test_the_largest_and_the_number_of_different_ones_of_what_covers_a_place(found):
    low, high, rank = (np.array(each) for each in zip(*found, strict=True))
    best, many = largest(low, high, rank, 30), different(low, high, rank, 30)
    for place in range(30):
        over = [one[2] for one in found if one[0] <= place < one[1]]
        assert (best[place], many[place]) == (max(over, default=-1), len(set(over)))


@given(ranges)
def test_the_two_largest_of_what_covers_a_place(found):
    low, high, _ = (np.array(each) for each in zip(*found, strict=True))
    rank = np.random.default_rng(0).permutation(low.size)
    best, second = two_largest(low, high, rank, 30)
    for place in range(30):
        over = sorted((r for (a, b, _), r in zip(found, rank, strict=True) if a <= place < b), reverse=True)
        assert [best[place], second[place]] == [*over, -1, -1][:2]
