"""The bytes made a column at a time are those that Feast makes a value at a time."""

import re
import struct
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from feast.infra.key_encoding_utils import serialize_entity_key
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value
from feast.type_map import feast_value_type_to_python_type, python_values_to_proto_values
from feast.value_type import ValueType
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import example, given, settings
from hypothesis import strategies as st

from feature_repo.online_store.codec import decoding, encoding, key_columns, keys

SMALL_FLOATS = st.floats(width=32, allow_nan=False) | st.just(0.0)
TEXT = st.text(st.characters(codec="utf-8"), max_size=200)
LONGS = st.integers(-(2**53), 2**53)
"""Feast takes integers with gaps through float64, so that larger ones come out wrong there."""

SECONDS = st.integers(-(2**35), 2**35)
CASES: dict[str, tuple[ValueType, pa.DataType, Any]] = {
    "float": (ValueType.FLOAT, pa.float32(), SMALL_FLOATS),
    "float of doubles": (ValueType.FLOAT, pa.float64(), SMALL_FLOATS),
    "double": (ValueType.DOUBLE, pa.float64(), st.floats(allow_nan=False)),
    "int64": (ValueType.INT64, pa.int64(), LONGS),
    "int64 of floats": (ValueType.INT64, pa.float64(), st.floats(-1e15, 1e15)),
    "int32": (ValueType.INT32, pa.int32(), st.integers(-(2**31), 2**31 - 1)),
    "int32 of shorts": (ValueType.INT32, pa.int16(), st.integers(-(2**15), 2**15 - 1)),
    "string": (ValueType.STRING, pa.string(), TEXT),
    "large string": (ValueType.STRING, pa.large_string(), TEXT),
    "bytes": (ValueType.BYTES, pa.binary(), st.binary(min_size=1, max_size=200)),
    "bool": (ValueType.BOOL, pa.bool_(), st.booleans()),
    "time in s": (ValueType.UNIX_TIMESTAMP, pa.timestamp("s"), SECONDS),
    "time in us": (ValueType.UNIX_TIMESTAMP, pa.timestamp("us", "UTC"), st.integers(-(2**50), 2**50)),
    "time in ns": (ValueType.UNIX_TIMESTAMP, pa.timestamp("ns"), st.integers(-(2**60), 2**60)),
    "float list": (ValueType.FLOAT_LIST, pa.list_(pa.float32()), st.lists(SMALL_FLOATS, max_size=40)),
    "double list": (ValueType.DOUBLE_LIST, pa.list_(pa.float64()), st.lists(st.floats(allow_nan=False))),
    "string list": (ValueType.STRING_LIST, pa.list_(pa.string()), st.lists(TEXT, max_size=5)),
    "int64 list": (ValueType.INT64_LIST, pa.list_(pa.int64()), st.lists(LONGS, max_size=5)),
    "int32 list": (ValueType.INT32_LIST, pa.list_(pa.int32()), st.lists(st.integers(-9, 9), max_size=5)),
    "bool list": (ValueType.BOOL_LIST, pa.list_(pa.bool_()), st.lists(st.booleans(), max_size=5)),
    "bytes list": (ValueType.BYTES_LIST, pa.list_(pa.binary()), st.lists(st.binary(), max_size=5)),
    "string set": (ValueType.STRING_SET, pa.list_(pa.string()), st.lists(TEXT, max_size=1)),
    "uuid": (ValueType.UUID, pa.string(), st.uuids().map(str)),
    "json": (ValueType.JSON, pa.string(), st.sampled_from(['{"a": 1}', "[1, 2]", "null"])),
}


def columns(case: str) -> st.SearchStrategy[pa.Array]:
    _, kind, elements = CASES[case]
    return st.lists(elements | st.none(), max_size=30).map(lambda values: pa.array(values, kind))


def stock(column: pa.Array, kind: ValueType) -> list[bytes]:
    protos = python_values_to_proto_values(column.to_numpy(zero_copy_only=False), kind)
    return [proto.SerializeToString() for proto in protos]


@pytest.mark.parametrize("case", CASES)
@settings(max_examples=40)
@given(data=st.data())
def test_values_have_the_bytes_that_feast_gives_them(case: str, data: st.DataObject) -> None:
    column = data.draw(columns(case))
    kind = CASES[case][0]
    assert encoding.values(column, kind).to_pylist() == stock(column, kind)
    if len(column) > 2:
        assert encoding.values(column[1:-1], kind).to_pylist() == stock(column[1:-1], kind)


@pytest.mark.parametrize("case", CASES)
@settings(max_examples=40)
@given(data=st.data())
def test_values_are_read_back_as_feast_reads_them(case: str, data: st.DataObject) -> None:
    kind = CASES[case][0]
    cells = encoding.values(data.draw(columns(case)), kind).to_pylist()
    for gaps in (cells, [None, *cells, b""]):
        expected = [feast_value_type_to_python_type(Value.FromString(c), kind) if c else None for c in gaps]
        assert decoding.column(gaps, kind) == expected


@given(
    st.lists(st.sampled_from(["float", "double", "int64", "string", "bool", "time in s"]), min_size=15),
    st.data(),
)
def test_a_column_of_mixed_content_is_read_value_by_value(cases: list[str], data: st.DataObject) -> None:
    cells = []
    for case in cases:
        kind, arrow, elements = CASES[case]
        cells += encoding.values(pa.array([data.draw(elements)], arrow), kind).to_pylist()
    expected = [feast_value_type_to_python_type(Value.FromString(cell)) for cell in cells]
    for kind in (ValueType.FLOAT, ValueType.DOUBLE, ValueType.INT64):
        assert decoding.column(cells, kind) == expected


@pytest.mark.parametrize("number", [2**53 + 1, 2**63 - 1, -(2**63)])
def test_large_integers_beside_nulls_stay_exact(number: int) -> None:
    cells = encoding.values(pa.array([number, None] * 20, pa.int64()), ValueType.INT64).to_pylist()
    assert decoding.column(cells, ValueType.INT64) == [number, None] * 20


def test_missing_and_not_a_number_are_both_the_empty_value() -> None:
    assert encoding.values(pa.array([float("nan"), None, 1.0]), ValueType.FLOAT).to_pylist()[:2] == [b"", b""]
    infinite = encoding.values(pa.array([float("inf"), 1e300]), ValueType.FLOAT).to_pylist()
    assert infinite[0] == infinite[1] == Value(float_val=float("inf")).SerializeToString()


@pytest.mark.parametrize(
    ("kind", "values"),
    [(ValueType.INT32, [2**31]), (ValueType.INT64, [2.0**63]), (ValueType.INT64, [-(2.0**64)])],
)
def test_a_number_that_does_not_fit_is_named(kind: ValueType, values: list[float]) -> None:
    with pytest.raises(ValueError, match=re.escape(f"{values[0]} does not fit into")):
        encoding.values(pa.array(values), kind)


NAMES = st.lists(
    st.text(st.characters(codec="utf-8"), min_size=1, max_size=9), min_size=1, max_size=4, unique=True
)
KEY_COLUMNS = {
    ValueType.INT64: (pa.int64(), st.integers(-(2**63), 2**63 - 1), "int64_val"),
    ValueType.INT32: (pa.int32(), st.integers(-(2**31), 2**31 - 1), "int32_val"),
    ValueType.STRING: (pa.string(), TEXT, "string_val"),
    ValueType.BYTES: (pa.binary(), st.binary(max_size=9), "bytes_val"),
    ValueType.UNIX_TIMESTAMP: (pa.int64(), SECONDS, "unix_timestamp_val"),
}


@given(names=NAMES, data=st.data())
def test_entity_keys_have_the_bytes_that_feast_gives_them(names: list[str], data: st.DataObject) -> None:
    kinds = {name: data.draw(st.sampled_from(list(KEY_COLUMNS))) for name in names}
    height = data.draw(st.integers(1, 5))
    values = {n: [data.draw(KEY_COLUMNS[kind][1]) for _ in range(height)] for n, kind in kinds.items()}
    expected = [
        serialize_entity_key(
            EntityKey(
                join_keys=names,
                entity_values=[Value(**{KEY_COLUMNS[kinds[name]][2]: values[name][row]}) for name in names],
            ),
            entity_key_serialization_version=3,
        )
        for row in range(height)
    ]
    table = {n: (pa.array(values[n], KEY_COLUMNS[kind][0]), kind) for n, kind in kinds.items()}
    assert key_columns.of_columns(table).to_pylist() == expected
    ordered = sorted(names)
    assert keys.of_values(keys.prefix(ordered), [(kinds[n], values[n]) for n in ordered]) == expected


def test_a_key_of_a_type_that_feast_cannot_store_is_refused() -> None:
    with pytest.raises(
        ValueError, match="join key 'share' has type FLOAT, which Feast cannot store: give it one of"
    ):
        key_columns.of_columns({"share": (pa.array([1.0]), ValueType.FLOAT)})
    with pytest.raises(ValueError, match="join key 'id' is declared INT64 and its column is string"):
        key_columns.of_columns({"id": (pa.array(["a"]), ValueType.INT64)})


EPOCH = datetime(1970, 1, 1)


def moments_between(first: int, last: int) -> st.SearchStrategy[datetime | None]:
    """Moments of these years, and the two that look alike when they are stored: none, and the first one of all."""
    return st.sampled_from([None, EPOCH]) | st.datetimes(datetime(first, 1, 1), datetime(last, 1, 1))


@given(
    st.lists(moments_between(1900, 9000), max_size=decoding.MANY - 1)
    | st.lists(moments_between(1990, 2050), min_size=decoding.MANY)
)
@example([EPOCH] * decoding.MANY)
@example([None] * decoding.MANY)
def test_event_times_are_read_to_the_microsecond(moments: list[datetime | None]) -> None:
    stamps: list[bytes | None] = []
    for moment in moments:
        stamp = Timestamp()
        if moment is not None:
            stamp.FromDatetime(moment)
        stamps.append(None if moment is None else stamp.SerializeToString())
    found = decoding.event_micros(stamps)
    assert found == [None if m is None else (m - EPOCH) // timedelta(microseconds=1) for m in moments]


@given(st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=50))
def test_varints_are_read_as_they_were_written(numbers: list[int]) -> None:
    cells = encoding.varints(np.array(numbers, dtype=np.int64), b"\x20")
    written = encoding.lengths_of(cells), encoding.content_of(cells)
    found = decoding.numbers(*written, ValueType.INT64)
    assert found is not None and found.tolist() == numbers
    assert decoding.numbers(*written, ValueType.INT32) is None


def test_lists_of_whole_columns_can_be_chunks_of_larger_ones() -> None:
    column = pa.array([[1.0], None, [2.0, 3.0], []], pa.list_(pa.float32()))[1:]
    expected = [b"", struct.pack("<BBBBBff", 0x82, 0x01, 10, 0x0A, 8, 2.0, 3.0), b"\x82\x01\x00"]
    assert encoding.values(column, ValueType.FLOAT_LIST).to_pylist() == expected
