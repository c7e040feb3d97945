"""Arrow columns turned into the protobuf `Value` bytes that Feast stores, a column at a time.

Feast makes a Python object of each value and serialises it alone; the bytes here are the same ones, put together
by numpy and Arrow. Format: https://protobuf.dev/programming-guides/encoding.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute

from .kinds import NULL_TIMESTAMP_INT_VALUE, ValueType, feasts
from .tags import TAG_BOOL, TAG_BYTES, TAG_DOUBLE, TAG_FLOAT, TAG_INT32, TAG_INT64, TAG_STRING, TAG_TIME

compute: Any = pyarrow.compute
"""Arrow makes these functions when it is imported, where no type checker sees them."""

BINARY = pa.large_binary()
EMPTY = pa.scalar(b"", BINARY)
LIST_TAGS = {
    ValueType.STRING_LIST: b"\x62",
    ValueType.DOUBLE_LIST: b"\x7a",
    ValueType.FLOAT_LIST: b"\x82\x01",
}
"""Field tags of messages with a repeated field 1."""


def joined(*parts: pa.Array | pa.Scalar) -> pa.Array:
    """Bytes put together row by row."""
    return compute.binary_join_element_wise(*parts, EMPTY)


def literal(content: bytes) -> pa.Scalar:
    """Bytes that every row has."""
    return pa.scalar(content, BINARY)


def rows_of_bytes(lengths: np.ndarray, content: np.ndarray) -> pa.Array:
    """Variable-length rows from their lengths (n,) and their bytes one after the other (uint8)."""
    offsets = np.zeros(len(lengths) + 1, dtype=np.int64)
    np.cumsum(lengths, out=offsets[1:])
    buffers = [None, pa.py_buffer(offsets), pa.py_buffer(np.ascontiguousarray(content))]
    return pa.Array.from_buffers(BINARY, len(lengths), buffers)


def fixed(matrix: np.ndarray, present: np.ndarray | None = None) -> pa.Array:
    """Rows of equal width from a uint8 matrix (n, width); where not `present`, an empty row."""
    width = matrix.shape[1]
    if present is None:
        return rows_of_bytes(np.full(len(matrix), width), matrix)
    return rows_of_bytes(present * width, matrix[present])


def varints(numbers: np.ndarray, tag: bytes = b"", present: np.ndarray | None = None) -> pa.Array:
    """Base-128 varints of int64 (n,), negative ones in ten bytes, each behind `tag`; where not `present`, an empty row."""
    left = numbers.astype(np.int64, copy=False).view(np.uint64)
    lengths = np.ones(len(left), dtype=np.int64)
    for power in range(1, 10):
        more = left >= np.uint64(1 << 7 * power)
        if not more.any():
            break
        lengths += more
    width = int(lengths.max(initial=1))
    matrix = np.empty((len(left), len(tag) + width), dtype=np.uint8)
    matrix[:, : len(tag)] = np.frombuffer(tag, dtype=np.uint8)
    for place in range(width):
        seven = (left >> np.uint64(7 * place)) & np.uint64(0x7F)
        matrix[:, len(tag) + place] = seven | ((lengths > place + 1) * np.uint64(0x80))
    lengths += len(tag)
    if present is not None:
        lengths = lengths * present
    return rows_of_bytes(lengths, matrix[np.arange(matrix.shape[1]) < lengths[:, None]])


def length_prefixed(content: pa.Array, tag: bytes = b"") -> pa.Array:
    """Rows behind their length as a varint, behind `tag`."""
    return joined(varints(lengths_of(content), tag), content)


def lengths_of(content: pa.Array) -> np.ndarray:
    """Bytes of each row (n,) as int64."""
    return compute.binary_length(content).to_numpy(zero_copy_only=False).astype(np.int64)


def content_of(rows: pa.Array) -> np.ndarray:
    """The bytes of all rows one after the other (uint8)."""
    _, offsets, content = rows.buffers()
    ends = np.frombuffer(offsets, dtype=np.int64)[rows.offset : rows.offset + len(rows) + 1]
    return np.frombuffer(content or b"", dtype=np.uint8)[ends[0] : ends[-1]]


def values(column: pa.Array, kind: ValueType) -> pa.Array:
    """Serialised `Value` of each element of a column, for a feature of that type; null is the empty `Value`.

    Types that have no column-wise form here go through Feast's own conversion, an object a value.
    """
    form = FORMS.get(kind)
    if form is not None and len(column) and column.null_count < len(column):
        encoded = form(column)
        if encoded is not None:
            return encoded
    return _one_by_one(column, kind)


def _one_by_one(column: pa.Array, kind: ValueType) -> pa.Array:
    from feast.type_map import python_values_to_proto_values

    rows = column.to_pylist() if kind == ValueType.ZONED_TIMESTAMP else column.to_numpy(zero_copy_only=False)
    protos = python_values_to_proto_values(rows, feasts(kind))
    return pa.array([proto.SerializeToString() for proto in protos], BINARY)


def _present(column: pa.Array) -> np.ndarray | None:
    return column.is_valid().to_numpy(zero_copy_only=False) if column.null_count else None


def _numbers(column: pa.Array, missing: float) -> np.ndarray:
    filled = column.fill_null(missing) if column.null_count else column
    return filled.to_numpy(zero_copy_only=False)


def _floats(column: pa.Array, dtype: str) -> np.ndarray | None:
    kind = column.type
    if not (pa.types.is_float32(kind) or pa.types.is_float64(kind)):
        if not pa.types.is_integer(kind):
            return None
        column = column.cast(pa.float64(), safe=False)
    with np.errstate(over="ignore"):
        return _numbers(column, np.nan).astype(dtype, copy=False)


def _floating(tag: int, dtype: str) -> Callable[[pa.Array], pa.Array | None]:
    def form(column: pa.Array) -> pa.Array | None:
        numbers = _floats(column, dtype)
        if numbers is None:
            return None
        present = ~np.isnan(numbers)
        width = numbers.dtype.itemsize
        matrix = np.empty((len(numbers), 1 + width), dtype=np.uint8)
        matrix[:, 0] = tag
        matrix[:, 1:] = np.ascontiguousarray(numbers).view(np.uint8).reshape(-1, width)
        return fixed(matrix, None if present.all() else present)

    return form


def whole_numbers(column: pa.Array, bits: int) -> tuple[np.ndarray, np.ndarray | None] | None:
    """Integers (n,) as int64 and where there is one (None: everywhere); fractions are cut off, as Feast does.

    None for a column that holds no numbers; a number that does not fit into so many bits is an error.
    """
    present = _present(column)
    if pa.types.is_float32(column.type) or pa.types.is_float64(column.type):
        numbers = _numbers(column, np.nan)
        present = ~np.isnan(numbers)
        numbers = np.trunc(np.where(present, numbers, 0.0))
    elif pa.types.is_integer(column.type):
        numbers = _numbers(column, 0)
    else:
        return None
    smallest, largest = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
    # The largest int64 is no float64: of floats, the bound is the next power of two, exclusive.
    above = numbers >= float(largest + 1) if numbers.dtype.kind == "f" else numbers > largest
    wrong = above | (numbers < smallest)
    if wrong.any():
        raise ValueError(f"{numbers[wrong][0]} does not fit into {bits} bits: declare a larger type")
    return numbers.astype(np.int64, copy=False), present


def _integer(tag: int, bits: int) -> Callable[[pa.Array], pa.Array | None]:
    def form(column: pa.Array) -> pa.Array | None:
        whole = whole_numbers(column, bits)
        return whole and varints(whole[0], bytes([tag]), whole[1])

    return form


def seconds(column: pa.Array) -> np.ndarray | None:
    """Whole seconds since 1970 (n,), towards the past; a null is the number that Feast reads as none.

    None for a column that holds no timestamps.
    """
    if not pa.types.is_timestamp(column.type):
        return None
    per_second = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[column.type.unit]
    present = _present(column)
    whole = _numbers(column.cast(pa.int64()), 0) // per_second
    return whole if present is None else np.where(present, whole, NULL_TIMESTAMP_INT_VALUE)


def _time(column: pa.Array) -> pa.Array | None:
    times = seconds(column)
    return None if times is None else varints(times, bytes([TAG_TIME]))


def _boolean(column: pa.Array) -> pa.Array | None:
    if not pa.types.is_boolean(column.type):
        return None
    filled = column.fill_null(False) if column.null_count else column
    return varints(
        filled.to_numpy(zero_copy_only=False).astype(np.int64), bytes([TAG_BOOL]), _present(column)
    )


def _text(column: pa.Array) -> pa.Array | None:
    kind = column.type
    inner = kind.value_type if pa.types.is_dictionary(kind) else kind
    if not (pa.types.is_string(inner) or pa.types.is_large_string(inner) or pa.types.is_string_view(inner)):
        return None
    return _optional(column.cast(pa.large_string()).cast(BINARY), TAG_STRING)


def _binary(column: pa.Array) -> pa.Array | None:
    kind = column.type
    if not (pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind)):
        return None
    return _optional(column.cast(BINARY), TAG_BYTES)


def _optional(content: pa.Array, tag: int) -> pa.Array:
    if not content.null_count:
        return length_prefixed(content, bytes([tag]))
    lengths = (
        compute.fill_null(compute.binary_length(content), 0).to_numpy(zero_copy_only=False).astype(np.int64)
    )
    return joined(varints(lengths, bytes([tag]), _present(content)), content.fill_null(b""))


def _is_list(kind: pa.DataType) -> bool:
    return pa.types.is_list(kind) or pa.types.is_large_list(kind)


def _list_message(column: pa.Array, bodies: pa.Array, kind: ValueType) -> pa.Array:
    encoded = length_prefixed(bodies, LIST_TAGS[kind])
    return compute.if_else(column.is_valid(), encoded, EMPTY) if column.null_count else encoded


def _list_lengths(column: pa.Array) -> np.ndarray:
    counted = compute.fill_null(compute.list_value_length(column), 0)
    return counted.to_numpy(zero_copy_only=False).astype(np.int64)


def _floating_list(kind: ValueType, dtype: str) -> Callable[[pa.Array], pa.Array | None]:
    def form(column: pa.Array) -> pa.Array | None:
        numbers = _floats(column.flatten(), dtype) if _is_list(column.type) else None
        if numbers is None or pa.types.is_integer(column.type.value_type):
            return None
        packed = rows_of_bytes(
            _list_lengths(column) * numbers.dtype.itemsize, np.ascontiguousarray(numbers).view(np.uint8)
        )
        filled = length_prefixed(packed, b"\x0a")
        bodies = compute.if_else(compute.equal(compute.binary_length(packed), 0), EMPTY, filled)
        return _list_message(column, bodies, kind)

    return form


def _text_list(column: pa.Array) -> pa.Array | None:
    if not _is_list(column.type) or not pa.types.is_string(column.type.value_type):
        return None
    elements = length_prefixed(column.flatten().fill_null("").cast(BINARY), b"\x0a")
    ends = np.concatenate([[0], np.cumsum(lengths_of(elements))])
    offsets = np.concatenate([[0], np.cumsum(_list_lengths(column))])
    content = np.frombuffer(elements.buffers()[2] or b"", dtype=np.uint8)[: ends[-1]]
    return _list_message(column, rows_of_bytes(np.diff(ends[offsets]), content), ValueType.STRING_LIST)


FORMS: dict[ValueType, Callable[[pa.Array], pa.Array | None]] = {
    ValueType.FLOAT: _floating(TAG_FLOAT, "<f4"),
    ValueType.DOUBLE: _floating(TAG_DOUBLE, "<f8"),
    ValueType.INT32: _integer(TAG_INT32, 32),
    ValueType.INT64: _integer(TAG_INT64, 64),
    ValueType.UNIX_TIMESTAMP: _time,
    ValueType.BOOL: _boolean,
    ValueType.STRING: _text,
    ValueType.BYTES: _binary,
    ValueType.FLOAT_LIST: _floating_list(ValueType.FLOAT_LIST, "<f4"),
    ValueType.DOUBLE_LIST: _floating_list(ValueType.DOUBLE_LIST, "<f8"),
    ValueType.STRING_LIST: _text_list,
}
"""For each type, what encodes a column of a fitting Arrow type, and gives None for any other."""
