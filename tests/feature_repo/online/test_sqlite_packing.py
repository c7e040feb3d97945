"""Packed rows say what the stock rows beside them say, and never speak of what is not theirs."""

import sqlite3
from typing import Any

import numpy as np
import pyarrow as pa
from feast.value_type import ValueType
from hypothesis import given
from hypothesis import strategies as st

from feature_repo.online_store.batch import Batch
from feature_repo.online_store.codec import decoding, encoding
from feature_repo.online_store.sqlite.cells import packed
from feature_repo.online_store.sqlite.packing import NAME, Form, Reader
from feature_repo.online_store.sqlite.reading import Query, cells_of
from tests.feature_repo.online.shop import TYPES

KINDS = {name: feast.to_value_type() if hasattr(feast, "to_value_type") else feast.value_type for name, (feast, _, _) in TYPES.items()}  # fmt: skip
rows = st.lists(st.tuples(*[st.integers(0, 3)] * len(TYPES)), min_size=1, max_size=20)


def batch_of(chosen: list[tuple[int, ...]]) -> Batch:
    """A row for each choice of one of the four values of every type."""
    features = {
        name: encoding.values(pa.array([values[row[place]] for row in chosen], arrow), KINDS[name])
        for place, (name, (_, arrow, values)) in enumerate(TYPES.items())
    }
    keys = pa.array([bytes([place]) for place in range(len(chosen))], encoding.BINARY)
    return Batch(keys, np.arange(len(chosen)) + 5, np.arange(len(chosen)), features)


@given(rows, st.permutations(list(TYPES)), st.integers(1, len(TYPES)), st.sets(st.integers(0, 19)))
def test_packed_rows_give_the_values_and_bytes_of_the_stock_rows(
    chosen: list[tuple[int, ...]], names: list[str], wanted: int, missing: set[int]
) -> None:
    batch, form = batch_of(chosen), Form(KINDS)
    found_cells = packed(form, batch)
    assert found_cells is not None
    cells = [None if place in missing else cell for place, cell in enumerate(found_cells.to_pylist())]
    read = Reader(form, names[:wanted]).read(cells)
    gone = [place for place in range(len(chosen)) if place in missing]
    assert list(read.apart) == gone
    assert read.times == [None if place in gone else place + 5 for place in range(len(chosen))]
    assert read.values is not None and len(read.values) == len(read.cells) == wanted
    for name, values, stored in zip(names[:wanted], read.values, read.cells, strict=True):
        expected = [b"" if n in gone else cell for n, cell in enumerate(batch.features[name].to_pylist())]
        assert list(stored) == expected
        assert values == decoding.column(expected, KINDS[name])


def test_a_row_of_other_names_or_types_says_nothing() -> None:
    batch = batch_of([(0,) * len(TYPES)])
    (cell,) = packed(Form(KINDS), batch).to_pylist()  # type: ignore[union-attr]
    others = [
        KINDS | {"floats": ValueType.DOUBLE},
        KINDS | {"words": ValueType.BYTES},
        {"floats": KINDS["floats"]},
    ]
    for form in map(Form, others):
        assert list(Reader(form, ["floats"]).read([cell, cell]).apart) == [0, 1]
    assert list(Reader(Form(KINDS), ["floats", "fleets"]).read([cell]).apart) == [0]


def test_values_of_another_type_than_declared_are_not_packed() -> None:
    for cells in ([b"\x29" + bytes(8)], [b"\x35" + np.float32(np.nan).tobytes()], [b"\x20\x05"]):
        batch = Batch(pa.array([b"k"]), np.zeros(1), np.zeros(1), {"a": pa.array(cells, encoding.BINARY)})
        assert packed(Form({"a": ValueType.FLOAT}), batch) is None
    batch = Batch(pa.array([b"k"]), np.zeros(1), np.zeros(1), {"a": pa.array([b"\x18\x05"], encoding.BINARY)})
    assert packed(Form({"a": ValueType.INT64}), batch) is None


def test_more_views_than_sqlite_joins_are_read_with_one_key() -> None:
    connection: Any = sqlite3.connect(":memory:")
    form = Form({"a": ValueType.INT64})
    batch = Batch(
        pa.array([b"k"], encoding.BINARY),
        np.array([7]),
        np.array([0]),
        {"a": pa.array([b"\x20\x05"], encoding.BINARY)},
    )
    connection.execute("CREATE TABLE t (entity_key, feature_name, value, event_ts, event_micros)")
    cells: Any = packed(form, batch)
    connection.execute("INSERT INTO t VALUES (?, ?, ?, 0, 0)", (b"k", NAME, cells[0].as_py()))
    answers = cells_of(connection, [Query("t", ("a",), Reader(form, ["a"]))] * 130, [b"none", b"k"])
    assert [(answer.times, answer.values) for answer in answers] == [([None, 7], [[None, 5]])] * 130
