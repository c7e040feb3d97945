"""Parts of a change add up to the change of the mean raw score, by column and by slice."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops_assets.ml.dataset import DatasetError
from mlops_assets.ml.monitoring.attribution import Explained, by_column, by_slice, then_and_now

FEATURES = ("a", "b", "c")


def explained(seed: int, rows: int) -> tuple[Explained, pl.DataFrame]:
    draw = np.random.default_rng(seed)
    sites = pl.Series("site", draw.choice(["north", "south", None], rows).tolist(), pl.String)
    hours = pl.Series("hour", draw.integers(0, 3, rows))
    return Explained(FEATURES, np.full(rows, 0.3), draw.normal(size=(rows, 3))), pl.DataFrame([sites, hours])


@settings(max_examples=40)
@given(st.integers(0, 10**6), st.integers(1, 40), st.integers(1, 40))
def test_parts_add_up_to_the_change_of_the_mean_raw_score(seed, rows, more):
    (before, then), (now, today) = explained(seed, rows), explained(seed + 1, more)
    change = now.raw.mean() - before.raw.mean()
    columns = by_column(before, now)
    assert columns["change"].sum() == pytest.approx(change)
    assert columns["share"].sum() == pytest.approx(1) and columns["share"].is_sorted(descending=True)
    slices = by_slice(before, now, then, today, ["site", "hour", "not there"])
    for name in ("site", "hour"):
        of_one = slices.filter(pl.col("slice").str.starts_with(f"{name} "))
        assert of_one["change"].sum() == pytest.approx(change)
        assert (of_one["rows_before"].sum(), of_one["rows_now"].sum()) == (pytest.approx(1), pytest.approx(1))


def test_a_column_that_alone_moved_has_the_whole_change():
    before, _ = explained(0, 50)
    now = Explained(FEATURES, before.base, before.values + np.array([0.0, 0.7, 0.0]))
    first = by_column(before, now).row(0, named=True)
    assert (
        first["column"] == "b"
        and first["change"] == pytest.approx(0.7)
        and first["share"] == pytest.approx(1)
    )


def test_sides_of_other_features_or_without_rows_are_refused():
    before, _ = explained(0, 5)
    narrow = Explained(("a",), before.base, before.values[:, :1])
    for other in (narrow, Explained(FEATURES, np.array([]), np.empty((0, 3)))):
        with pytest.raises(DatasetError, match="explain both by one model"):
            by_column(before, other)


@given(
    st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=40),
    st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=40),
)
def test_pictures_count_each_finite_number_once(then, now):
    first, second = then_and_now(pl.Series([*then, None]), pl.Series([*now, float("inf")]))
    assert (first.sum(), second.sum()) == (len(then), len(now))


def test_of_a_side_without_a_value_there_is_no_picture():
    first, second = then_and_now(pl.Series([None, None], dtype=pl.Float64), pl.Series([1.0]))
    assert len(first) == len(second) == 0
