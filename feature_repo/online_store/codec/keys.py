"""Entity keys as Feast serialises them (version 3), from columns of a table and from the values of a request.

Format: feast/infra/key_encoding_utils.py. Join keys are sorted by name; a value is its type, its length, its bytes.
"""

import struct
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import pyarrow as pa
from feast.value_type import ValueType

from .encoding import BINARY, compute, fixed, joined, literal, seconds, whole_numbers
from .key_values import key_value

VERSION = 3
NUMBERS = {ValueType.INT32: "<i4", ValueType.INT64: "<i8", ValueType.UNIX_TIMESTAMP: "<i8"}
TYPES = (*NUMBERS, ValueType.STRING, ValueType.BYTES)
FORMS = {"<i4": "<i", "<i8": "<q"}
_HEAD = struct.Struct("<II")


def prefix(join_keys: Sequence[str]) -> bytes:
    """What all keys of these (sorted) join keys begin with."""
    parts = [struct.pack("<I", len(join_keys))]
    for name in join_keys:
        encoded = name.encode()
        parts.append(_HEAD.pack(ValueType.STRING.value, len(encoded)) + encoded)
    return b"".join(parts)


def values_end(key: bytes, start: int, count: int) -> int:
    """Where the values of so many join keys end that begin at `start`, or beyond the key where it has not so many."""
    for _ in range(count):
        if start + _HEAD.size > len(key):
            return len(key) + 1
        start += _HEAD.size + _HEAD.unpack_from(key, start)[1]
    return start


def checked(name: str, kind: ValueType) -> ValueType:
    """The type of a join key, if it is one that Feast can serialise."""
    if kind not in TYPES:
        allowed = ", ".join(known.name for known in TYPES)
        raise ValueError(
            f"join key {name!r} has type {kind.name}, which Feast cannot store: give it one of {allowed}"
        )
    return kind


def of_columns(columns: dict[str, tuple[pa.Array, ValueType]]) -> pa.Array:
    """Keys (n,) of rows, from the column and the type of each join key; no column may hold nulls."""
    names = sorted(columns)
    parts = [part for name in names for part in _column_parts(name, *columns[name])]
    return joined(literal(prefix(names)), *parts)


def _column_parts(name: str, column: pa.Array, kind: ValueType) -> list[pa.Array | pa.Scalar]:
    if checked(name, kind) in NUMBERS:
        numbers = _numbers(name, column, kind).astype(NUMBERS[kind])
        width = numbers.dtype.itemsize
        matrix = np.ascontiguousarray(numbers).view(np.uint8).reshape(len(numbers), width)
        return [literal(_HEAD.pack(kind.value, width)), fixed(matrix)]
    content = (_texts(column) if kind == ValueType.STRING else column).cast(BINARY)
    lengths = compute.binary_length(content).to_numpy(zero_copy_only=False).astype("<u4")
    return [
        literal(struct.pack("<I", kind.value)),
        fixed(lengths.view(np.uint8).reshape(len(lengths), 4)),
        content,
    ]


def _numbers(name: str, column: pa.Array, kind: ValueType) -> np.ndarray:
    if kind == ValueType.UNIX_TIMESTAMP and pa.types.is_timestamp(column.type):
        return seconds(column)  # type: ignore[return-value]
    found = whole_numbers(column, 32 if kind == ValueType.INT32 else 64)
    if found is None:
        raise ValueError(f"join key {name!r} is declared {kind.name} and its column is {column.type}")
    if pa.types.is_floating(column.type):
        _refuse_fractions(name, column, kind, found[0])
    return found[0]


def _refuse_fractions(name: str, column: pa.Array, kind: ValueType, whole: np.ndarray) -> None:
    """A key is not cut off: 1.5 would answer for 1."""
    cut = np.flatnonzero(column.to_numpy(zero_copy_only=False) != whole)
    if len(cut):
        raise ValueError(
            f"join key {name!r} is declared {kind.name} and its column has {column[int(cut[0])].as_py()!r}, which is "
            "no whole number: correct the column, or declare the key STRING"
        )


def _texts(column: pa.Array) -> pa.Array:
    """The column as text, numbers as a request's are told."""
    if not (pa.types.is_floating(column.type) or pa.types.is_decimal(column.type)):
        return column.cast(pa.large_string())
    told = [key_value(value, str) for value in column.to_pylist()]
    return pa.array(told, pa.large_string())


@lru_cache(maxsize=4096)
def _part(kind: ValueType, start: bytes = b"") -> Callable[[Any], bytes]:
    """What serialises one value of a join key, behind `start`."""
    if kind in NUMBERS:
        form = struct.Struct(FORMS[NUMBERS[kind]])
        head, pack = start + _HEAD.pack(kind.value, form.size), form.pack
        return lambda value: head + pack(value)

    def varying(value: Any) -> bytes:
        content = value.encode() if kind == ValueType.STRING else value
        return start + _HEAD.pack(kind.value, len(content)) + content

    return varying


def of_values(start: bytes, columns: Sequence[tuple[ValueType, Sequence[Any]]]) -> list[bytes | None]:
    """Keys of the rows of a request, from its columns in the order of the join keys' names; None where a value is missing."""
    if len(columns) == 1:
        kind, values = columns[0]
        whole = _part(kind, start)
        return [None if value is None else whole(value) for value in values]
    several = [(_part(kind), values) for kind, values in columns]
    parts = [[None if value is None else part(value) for value in values] for part, values in several]
    return [None if None in row else start + b"".join(row) for row in zip(*parts, strict=True)]  # type: ignore[arg-type]
