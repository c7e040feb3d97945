"""Labels are seen only when live training could have seen them; splits never cut through a moment."""

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_assets.ml.dataset import (
    DatasetError,
    Encoding,
    between,
    label_counts,
    labelled,
    split_newest,
)

START = datetime(2020, 1, 6, tzinfo=UTC)
HOURS = st.lists(st.integers(0, 50), max_size=40)
TEXTS = st.lists(st.one_of(st.none(), st.text("abcé ", max_size=3)), min_size=1, max_size=40)


def moments(hours):
    times = [START + timedelta(hours=h) for h in hours]
    return pl.DataFrame({"at": pl.Series(times, dtype=pl.Datetime("us", "UTC")), "row": range(len(hours))})


def labels(values, known):
    times = [None if h is None else START + timedelta(hours=h) for h in known]
    return pl.DataFrame(
        {
            "delay": pl.Series(values, dtype=pl.Float64),
            "seen": pl.Series(times, dtype=pl.Datetime("us", "UTC")),
        }
    )


def test_a_label_is_positive_only_above_the_threshold(spec):
    frame = labelled(labels([15.0, 15.1, -3.0], [0, 0, 0]), spec, START)
    assert frame["_label"].to_list() == [0.0, 1.0, 0.0]
    assert frame.schema["_label"] == pl.Float32


def test_a_label_known_after_now_is_left_out_and_counted(spec):
    frame = labels([20.0, 20.0, None, float("nan"), 5.0], [0, 2, 0, 0, None])
    now = START + timedelta(hours=1)
    assert labelled(frame, spec, now).height == 1
    counts = label_counts(frame, spec, now)
    assert counts == {"rows": 5, "labelled": 1, "unlabelled": 2, "not_yet_known": 2}


def test_a_label_known_exactly_now_is_known(spec):
    assert labelled(labels([1.0], [3]), spec, START + timedelta(hours=3)).height == 1


def test_now_may_be_given_in_any_time_zone_but_not_in_none(spec):
    from zoneinfo import ZoneInfo

    frame = labels([1.0], [3])
    assert labelled(frame, spec, datetime(2020, 1, 5, 22, tzinfo=ZoneInfo("America/New_York"))).height == 1
    with pytest.raises(DatasetError, match="no time zone"):
        labelled(frame, spec, datetime(2020, 1, 6))


def test_a_regression_keeps_the_value(make_regression_spec):
    assert labelled(labels([-7.5], [0]), make_regression_spec(), START)["_label"].to_list() == [-7.5]


def test_a_missing_label_column_is_named(spec):
    with pytest.raises(DatasetError, match=r"late_parcel.* needs the columns seen"):
        labelled(pl.DataFrame({"delay": [1.0]}), spec, START)


@given(HOURS, st.floats(0.01, 0.99))
def test_a_split_keeps_every_row_once_and_every_moment_on_one_side(hours, share):
    older, newest = split_newest(moments(hours), "at", share)
    assert sorted([*older["row"], *newest["row"]]) == list(range(len(hours)))
    if older.height and newest.height:
        assert older["at"].max() < newest["at"].min()  # type: ignore[operator]
    if len(set(hours)) > 1 and older.height + newest.height > 1 / min(share, 1 - share):
        assert older.height and newest.height


@given(HOURS, st.integers(0, 50), st.integers(0, 50))
def test_a_window_holds_its_start_and_not_its_end(hours, first, last):
    frame = between(moments(hours), "at", START + timedelta(hours=first), START + timedelta(hours=last))
    assert sorted(frame["row"]) == [i for i, h in enumerate(hours) if first <= h < last]


def test_a_window_may_be_open_on_either_side():
    frame, middle = moments([1, 2, 3]), START + timedelta(hours=2)
    assert between(frame, "at", None, middle)["row"].to_list() == [0]
    assert between(frame, "at", middle, None)["row"].to_list() == [1, 2]


@given(TEXTS, TEXTS)
def test_categories_become_codes_in_sorted_order_and_unseen_ones_nan(training, scoring):
    train = pl.DataFrame({"c": pl.Series(training, dtype=pl.String)})
    score = pl.DataFrame({"c": pl.Series(scoring, dtype=pl.String)})
    encoding = Encoding.fit(train, ["c"], ["c"])
    order = {value: code for code, value in enumerate(sorted({v for v in training if v is not None}))}
    expected = np.array([order.get(v, np.nan) for v in scoring], np.float32)[:, None]
    np.testing.assert_array_equal(encoding.matrix(score), expected)


@given(st.lists(st.tuples(st.sampled_from(["a", "b", None]), st.floats(width=32)), min_size=1, max_size=30))
def test_few_rows_are_encoded_as_many_are(rows):
    frame = pl.DataFrame(rows, schema={"c": pl.String, "x": pl.Float32}, orient="row")
    encoding = Encoding.fit(frame, ["x", "c"], ["c"])
    one_by_one = np.vstack([encoding.matrix(frame[i]) for i in range(frame.height)])
    np.testing.assert_array_equal(encoding.matrix(pl.concat([frame] * 9))[: frame.height], one_by_one)


@given(TEXTS)
def test_an_encoding_survives_json(values):
    frame = pl.DataFrame({"x": [1.0] * len(values), "c": pl.Series(values, dtype=pl.String)})
    encoding = Encoding.fit(frame, ["x"], ["c"])
    assert encoding.features == ("x", "c")
    assert Encoding.from_json(encoding.to_json()) == encoding


def test_whole_numbers_flags_and_nulls_become_float32():
    frame = pl.DataFrame({"n": [1, None], "flag": [True, None], "x": [None, 0.5]})
    matrix = Encoding.fit(frame, frame.columns, []).matrix(frame)
    assert matrix.dtype == np.float32
    np.testing.assert_array_equal(matrix, [[1, 1, np.nan], [np.nan, np.nan, 0.5]])


def test_a_text_feature_that_is_no_category_is_named():
    with pytest.raises(DatasetError, match=r"feature 'c' is String.*trainer.categories"):
        Encoding.fit(pl.DataFrame({"c": ["a"]}), ["c"], [])
