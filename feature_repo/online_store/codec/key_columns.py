"""Entity keys as Feast serialises them, of the rows of a table: a column at a time."""

import struct

import numpy as np
import pyarrow as pa

from .encoding import BINARY, compute, fixed, joined, literal, seconds, whole_numbers
from .key_values import key_value
from .keys import HEAD, NUMBERS, checked, prefix
from .kinds import ValueType


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
        return [literal(HEAD.pack(kind.value, width)), fixed(matrix)]
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
    whole = whole_numbers(column, 32 if kind == ValueType.INT32 else 64)
    if whole is None:
        raise ValueError(f"join key {name!r} is declared {kind.name} and its column is {column.type}")
    if pa.types.is_floating(column.type):
        _refuse_fractions(name, column, kind, whole[0])
    return whole[0]


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
    texts = [key_value(value, str) for value in column.to_pylist()]
    return pa.array(texts, pa.large_string())
