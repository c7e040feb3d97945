"""A reference's summary is the same bytes for the same rows, says how far it is from them, and refuses what it cannot hold."""

import math
from decimal import Decimal

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_assets.ml.dataset import DatasetError
from mlops_assets.ml.monitoring.distances import moved
from mlops_assets.ml.monitoring.reference_summary import Categories, Numbers, Summary, summarize

VALUES = st.floats(-1e6, 1e6, width=32) | st.sampled_from([0.0, -0.0, 1.0])
NUMBERS = st.lists(
    st.none() | VALUES | st.sampled_from([math.nan, math.inf, -math.inf]), min_size=1, max_size=90
)
TEXTS = st.lists(st.none() | st.text(max_size=3), min_size=1, max_size=90)


def frame_of(values, kind=pl.Float64):
    return pl.DataFrame({"x": pl.Series(values, dtype=kind)})


def numbers(values, **kept) -> Numbers:
    column = summarize(frame_of(values), ["x"], **kept).columns["x"]
    assert isinstance(column, Numbers)
    return column


@given(NUMBERS, TEXTS, st.sampled_from([1, 5, 1000]), st.randoms(use_true_random=False))
def test_the_same_rows_in_any_order_give_the_same_bytes_and_they_are_read_back(values, texts, exact, random):
    rows = min(len(values), len(texts))
    frame = pl.DataFrame({"x": values[:rows], "c": pl.Series(texts[:rows], dtype=pl.String)}, strict=False)
    frame = frame.with_columns(pl.col("x").cast(pl.Float64))
    mixed = frame[random.sample(range(rows), rows)]
    content = summarize(frame, ["x", "c"], exact_values=exact, ranks=4).to_bytes()
    assert summarize(mixed, ["x", "c"], exact_values=exact, ranks=4).to_bytes() == content
    assert Summary.from_bytes(content).to_bytes() == content


@given(NUMBERS)
def test_a_column_that_is_kept_whole_has_every_value_with_its_rows(values):
    finite = [float(np.float32(v)) for v in values if v is not None and math.isfinite(v)]
    kept = numbers(values)
    assert np.repeat(kept.values, kept.counts).tolist() == sorted(finite)
    assert (kept.exact, kept.ks_error, kept.shifted) == (True, 0.0, 0.0)
    assert (kept.rows, kept.missing) == (len(finite), len(values) - len(finite))


@given(st.lists(VALUES, min_size=1, max_size=300), st.integers(1, 40))
def test_a_column_kept_by_ranks_is_as_far_from_its_rows_as_it_says(values, ranks):
    kept = numbers(values, exact_values=0, ranks=ranks)
    ordered = np.sort(np.asarray(values, np.float32).astype(float))
    found = moved(kept.values, kept.counts, ordered)
    assert len(kept.values) <= ranks + 1 and kept.rows == len(values)
    assert found.ks <= kept.ks_error + 1e-12 and kept.ks_error < 1 / ranks
    assert found.wasserstein == pytest.approx(kept.shifted, rel=1e-9, abs=1e-9)
    assert kept.values[[0, -1]].tolist() == ordered[[0, -1]].tolist()


@pytest.mark.parametrize(
    "kind", [pl.List(pl.Int64), pl.Struct({"a": pl.Int64}), pl.Array(pl.Float64, 1), pl.Object]
)
def test_lists_are_refused_by_name(kind):
    frame = pl.DataFrame({"x": [1.0], "spectrum": pl.Series([None], dtype=kind)})
    with pytest.raises(DatasetError, match=r"column 'spectrum' holds .*leave it out of drift\.columns"):
        summarize(frame, ["x", "spectrum"])


def test_numbers_flags_decimals_texts_and_moments_are_held():
    frame = pl.DataFrame(
        {
            "flag": [True, None, False],
            "price": [Decimal("1.50"), Decimal("1.5"), None],
            "whole": [1, 2, 2],
            "text": ["a", "b", None],
            "empty": pl.Series([None] * 3, dtype=pl.Float64),
        }
    )
    columns = summarize(frame, frame.columns, ["whole"]).columns
    assert {name: type(column) for name, column in columns.items()} == {
        **dict.fromkeys(("flag", "price", "empty"), Numbers),
        **dict.fromkeys(("whole", "text"), Categories),
    }
    assert {name: column.missing for name, column in columns.items()} == {
        "flag": 1, "price": 1, "whole": 0, "text": 1, "empty": 3,
    }  # fmt: skip
    assert columns["price"].values.tolist() == [1.5] and columns["whole"].values == ("1", "2")  # type: ignore[union-attr]
    assert Summary.from_bytes(summarize(frame, frame.columns).to_bytes()).rows == 3


def test_no_rows_another_format_and_bytes_that_are_cut_short_are_refused():
    with pytest.raises(DatasetError, match="at least one row"):
        summarize(frame_of([]), ["x"])
    content = summarize(frame_of([1.0, 2.5]), ["x"]).to_bytes()
    with pytest.raises(DatasetError, match="ends within column 'x'"):
        Summary.from_bytes(content[:-1])
    with pytest.raises(DatasetError, match="of format 7 cannot be read: this release reads format 1"):
        Summary.from_bytes(content.replace(b'"format":1', b'"format":7'))
