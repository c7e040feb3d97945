"""Columns of Python values are encoded as a frame of them is."""

from typing import Any

import numpy as np
import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops_assets.ml.column_encoding import ColumnEncoder, RowBuffer
from mlops_assets.ml.dataset import Encoding

TYPES: dict[str, tuple[Any, st.SearchStrategy[Any]]] = {
    "whole": (pl.Int64, st.integers(-(2**63), 2**63 - 1)),
    "single": (pl.Float32, st.floats(width=32)),
    "double": (pl.Float64, st.floats()),
    "flag": (pl.Boolean, st.booleans()),
    "text": (pl.String, st.sampled_from(["a", "b", "1", "01", "1.0", "true", "other"])),
    "number": (pl.Int64, st.integers(0, 5)),
    "fraction": (pl.Float32, st.sampled_from([0.1, 0.5, 1.0, 7.0, float("nan")])),
    "yes": (pl.Boolean, st.booleans()),
}
ENCODING = Encoding(
    tuple(TYPES),
    {"text": ("1", "a"), "number": ("1", "2"), "fraction": ("0.1", "1"), "yes": ("true",)},
    {"number": "number", "fraction": "number", "yes": "boolean"},
)


def rows() -> st.SearchStrategy[list[tuple[Any, ...]]]:
    one = st.tuples(*[st.none() | values for _, values in TYPES.values()])
    return st.lists(one, min_size=1, max_size=12)


@settings(max_examples=150, deadline=None)
@given(rows())
def test_the_matrix_and_what_is_unseen_are_those_of_a_frame(drawn):
    frame = pl.DataFrame(drawn, {name: kind for name, (kind, _) in TYPES.items()}, orient="row", strict=False)
    matrix, unseen = ColumnEncoder(ENCODING).matrix(frame.to_dict(as_series=False), frame.height)
    wanted = ENCODING.matrix(frame)
    assert matrix.dtype == np.float32 and matrix.flags.c_contiguous
    assert np.array_equal(matrix, wanted, equal_nan=True)
    assert np.array_equal(np.signbit(matrix[~np.isnan(matrix)]), np.signbit(wanted[~np.isnan(wanted)]))
    assert unseen == ENCODING.unseen(frame)


@settings(max_examples=150, deadline=None)
@given(rows())
def test_a_row_that_is_filled_again_and_again_holds_what_its_matrix_does_or_says_that_it_cannot(drawn):
    encoder = ColumnEncoder(ENCODING)
    buffer = RowBuffer(len(encoder.names))
    for values in drawn:
        given = dict(zip(TYPES, values, strict=True))
        wanted, unseen = encoder.matrix({name: [value] for name, value in given.items()}, 1)
        row, told = encoder.row(given)
        assert told == unseen
        if buffer.fill(row):
            assert np.array_equal(buffer.matrix, wanted, equal_nan=True)
        else:
            assert any(value is not None and abs(value) >= 2**53 for value in row)
