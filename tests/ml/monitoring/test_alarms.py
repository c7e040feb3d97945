"""The drift alarm keeps its stated rate where nothing changes but from day to day, finds what is planted, and reads rows as defined."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from mlops_assets.ml.dataset import DatasetError
from mlops_assets.ml.monitoring.alarms import Chart, statistics, watched
from mlops_assets.ml.monitoring.drift import reference_profile
from mlops_assets.ml.monitoring.readings import Readings, places_among, ratio, readings
from mlops_assets.ml.monitoring.run_length import (
    LEAST_THRESHOLD,
    calibrated,
    partitions_needed,
    threshold_for,
)

EVERY, EFFECT, WEEKS, HISTORIES, WATCHED = 20, 0.05, 16, 30, 60
READINGS = 4


def weeks_of(count: int, random: np.random.Generator) -> list[Readings]:
    """Weeks of days that remember the day before, of readings that move together."""
    days, states = 7 * count, np.zeros(READINGS)
    levels = np.empty((days, READINGS))
    for day in range(days):
        states = 0.6 * states + random.normal(size=READINGS) + 0.7 * random.normal()
        levels[day] = 0.5 + 0.05 * states
    counts = np.full((days, READINGS), 200.0) + random.integers(0, 60, (days, 1))
    names = tuple((f"c{number}", "place") for number in range(READINGS))
    parts = [slice(7 * week, 7 * week + 7) for week in range(count)]
    return [Readings(names, (levels * counts)[part], counts[part]) for part in parts]


def means(weeks: list[Readings]) -> np.ndarray:
    return np.array([ratio(week.sums.sum(axis=0), week.counts.sum(axis=0)) for week in weeks])


@pytest.fixture(scope="module")
def lives():
    """Of each history its calibration, and the weeks after it."""
    found = []
    for seed in range(HISTORIES):
        random = np.random.default_rng(seed)
        known = calibrated(
            Readings.joined(weeks_of(WEEKS, random)), WEEKS, 7.0, EVERY, EFFECT, seed, paths=40
        )
        found.append((known, means(weeks_of(WATCHED, random))))
    return found


def alarms(lives, threshold=None, shift=0.0):
    return [
        [
            one.alarm
            for one in watched(
                values + shift, known.means, known.deviations, EFFECT, threshold or known.threshold
            )
        ]
        for known, values in lives
    ]


def rate_is_kept(said) -> bool:
    """Whether alarms are no more than the stated rate gives, but for luck of one in a thousand, by history (they share their luck)."""
    shares = [np.mean(each) for each in said]
    error = np.std(shares, ddof=1) / np.sqrt(len(shares))
    return bool(np.mean(shares) - stats.t.ppf(0.999, len(shares) - 1) * error <= 1 / EVERY)


def test_where_nothing_changes_alarms_are_as_rare_as_stated(lives):
    said = alarms(lives)
    assert rate_is_kept(said)
    assert np.mean(said) > 1 / EVERY / 10


def test_a_threshold_that_is_not_calibrated_does_not_keep_the_rate(lives):
    assert not rate_is_kept(alarms(lives, threshold=1.0))


def test_a_planted_shift_is_found_within_weeks(lives):
    first = [each.index(True) if True in each else WATCHED for each in alarms(lives, shift=0.2)]
    assert np.median(first) <= 4


def test_an_effect_under_the_smallest_is_no_alarm_however_sure_it_is():
    values = np.full((50, 1), 0.5 + 0.04)
    assert not any(one.alarm for one in watched(values, np.array([0.5]), np.array([0.001]), 0.05, 3.0))
    assert watched(values + 0.03, np.array([0.5]), np.array([0.001]), 0.05, 3.0)[0].alarm


def test_after_an_alarm_the_sums_begin_again():
    told = watched(np.full((6, 1), 0.9), np.array([0.5]), np.array([0.1]), 0.05, 6.0)
    assert [one.alarm for one in told] == [False, True, False, True, False, True]
    assert [one.since[0] for one in told] == [1, 2, 1, 2, 1, 2]


def test_a_week_without_a_row_leaves_the_sums_as_they_are():
    chart = Chart.at_zero(1).after(np.array([0.3]), np.array([0.05]))
    assert np.array_equal(chart.after(np.array([np.nan]), np.array([0.05])).sums, chart.sums)


def test_a_path_alone_is_what_all_paths_together_are():
    paths = np.random.default_rng(0).normal(0, 0.1, (3, 20, 2))
    together = statistics(paths, np.full((3, 1, 2), 0.1), 0.05)
    alone = [statistics(path[None], np.full((1, 1, 2), 0.1), 0.05)[0] for path in paths]
    assert np.allclose(together, alone)


@settings(max_examples=40)
@given(st.integers(0, 2**32 - 1), st.integers(4, 60))
def test_the_threshold_is_the_lowest_whose_mean_run_length_is_long_enough(seed, every):
    walks = np.random.default_rng(seed).exponential(3.0, (20, 2 * every))
    threshold, length = threshold_for(walks, every)
    first = [next((week + 1 for week, one in enumerate(walk) if one >= threshold), None) for walk in walks]
    watched_weeks = sum(one or 2 * every for one in first)
    assert threshold >= LEAST_THRESHOLD
    assert length == pytest.approx(watched_weeks / max(1, sum(one is not None for one in first)))
    assert length >= every or threshold > walks.max()


def test_the_same_history_gives_the_same_threshold():
    one, two = (
        calibrated(Readings.joined(weeks_of(8, np.random.default_rng(1))), 8, 7.0, 10, EFFECT, 3, paths=10)
        for _ in "ab"
    )
    assert one.threshold == two.threshold and np.array_equal(one.deviations, two.deviations)


@pytest.mark.parametrize(("days", "needed"), [(7.0, 8), (1.0, 56), (30.0, 8), (1 / 24, 1344)])
def test_a_history_is_as_long_as_eight_partitions_and_eight_weeks(days, needed):
    assert partitions_needed(days) == needed


VALUES = st.lists(st.integers(-5, 5).map(float), min_size=1, max_size=60)


@settings(max_examples=40)
@given(VALUES, VALUES)
def test_a_place_is_the_share_of_reference_rows_below_with_ties_counting_half(reference, now):
    frame = pl.DataFrame({"x": reference})
    profile = reference_profile(frame, ["x"])["columns"]["x"]
    known, values = np.array(reference), np.array(now)
    expected = [((known < value).sum() + (known == value).sum() / 2) / len(known) for value in values]
    assert np.allclose(places_among(profile, values), expected)


def test_shares_of_a_category_add_up_and_a_new_value_is_among_the_others():
    profile = reference_profile(pl.DataFrame({"c": ["a", "a", "b", None]}), ["c"], ["c"])
    read = readings(profile, pl.DataFrame({"c": ["a", "z", None, "b"]}), pl.Series([1, 1, 2, 2]))
    told = dict(zip(read.names, read.means, strict=True))
    assert told == {
        ("c", "= a"): 0.25,
        ("c", "= b"): 0.25,
        ("c", "any other value"): 0.25,
        ("c", "missing"): 0.25,
    }
    assert read.days == 2 and read.counts.sum() == 4 * 4


def test_an_empty_frame_is_refused():
    profile = reference_profile(pl.DataFrame({"x": [1.0]}), ["x"])
    with pytest.raises(DatasetError, match="at least one row"):
        readings(profile, pl.DataFrame({"x": []}, schema={"x": pl.Float64}), pl.Series([], dtype=pl.Int64))
