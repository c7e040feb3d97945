"""Protobuf `Value` bytes turned into Python values, without a protobuf object each.

A column of one type is decoded by numpy; a single value, or a column of mixed content, by its leading byte. What
has no short way here goes through Feast's own conversion, so that every type gives what stock Feast gives.
"""

import struct
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
from feast.protos.feast.types.Value_pb2 import Value
from feast.type_map import NULL_TIMESTAMP_INT_VALUE, feast_value_type_to_python_type
from feast.value_type import ValueType

from .encoding import TAG_BOOL, TAG_BYTES, TAG_DOUBLE, TAG_FLOAT, TAG_INT32, TAG_INT64, TAG_STRING, TAG_TIME

Cells = Sequence[bytes | None]
"""Stored bytes of one feature, an entity each; None where nothing is stored."""

MANY = 12
"""From so many values on, decoding a column at once is cheaper than value by value."""

BY_MEANING = {kind for kind in ValueType if "UUID" in kind.name}
"""Types that Feast may keep in another one's field, so that the declared type decides how to read it."""

_float, _double = struct.Struct("<xf").unpack, struct.Struct("<xd").unpack


def _varint(content: bytes, position: int) -> tuple[int, int]:
    """The number at a position and where it ends; negative ones are stored as 64 bits."""
    number = shift = 0
    while True:
        byte = content[position]
        position += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return (number - (1 << 64) if number >> 63 else number), position
        shift += 7


def _integer(content: bytes) -> int:
    return content[1] if content[1] < 0x80 else _varint(content, 1)[0]


def _after_length(content: bytes) -> bytes:
    return content[2:] if content[1] < 0x80 else content[_varint(content, 1)[1] :]


def _time(content: bytes) -> datetime | None:
    seconds = _integer(content)
    return None if seconds == NULL_TIMESTAMP_INT_VALUE else datetime.fromtimestamp(seconds, UTC)


def _other(content: bytes) -> Any:
    return feast_value_type_to_python_type(Value.FromString(content))


BY_TAG: dict[int, Callable[[bytes], Any]] = {
    TAG_FLOAT: lambda content: _float(content)[0],
    TAG_DOUBLE: lambda content: _double(content)[0],
    TAG_INT32: _integer,
    TAG_INT64: _integer,
    TAG_BOOL: lambda content: content[1] == 1,
    TAG_STRING: lambda content: _after_length(content).decode(),
    TAG_BYTES: _after_length,
    TAG_TIME: _time,
}


def value(content: bytes | None) -> Any:
    """What stored bytes say; None for nothing stored and for the empty `Value`."""
    return BY_TAG.get(content[0], _other)(content) if content else None


def column(cells: Cells, kind: ValueType) -> list[Any]:
    """What the stored bytes of one feature say, in order."""
    return columns([cells], kind)[0]


def columns(several: Sequence[Cells], kind: ValueType) -> list[list[Any]]:
    """What the stored bytes of several features of one type say, each as long as the others."""
    at_once = AT_ONCE.get(kind) if len(several) * len(several[0]) >= MANY else None
    found = at_once(several) if at_once else None
    if found is not None:
        return found
    if kind in BY_MEANING:
        return [[_meant(cell, kind) for cell in cells] for cells in several]
    return [
        _by_content(cells) if len(cells) >= MANY else [value(cell) for cell in cells] for cells in several
    ]


def _meant(cell: bytes | None, kind: ValueType) -> Any:
    return feast_value_type_to_python_type(Value.FromString(cell), kind) if cell else None


def _by_content(cells: Cells) -> list[Any]:
    """Equal bytes are read once, except lists and the like, which two rows must not share."""
    known = {cell: value(cell) for cell in set(cells) if cell and cell[0] in BY_TAG}
    if len(known) > len(cells) // 2:
        return [value(cell) for cell in cells]
    return [known[cell] if cell in known else value(cell) for cell in cells]


Several = Sequence[Cells]


def _numbers(
    several: Several, blank: bytes, read: Callable[[bytes], np.ndarray | None]
) -> list[list[Any]] | None:
    """Columns of numbers read in one go, with None for what is missing or empty; None if `read` finds anything else."""
    gaps = [place for place, cells in enumerate(several) if not all(cells)]
    filled = list(several)
    for place in gaps:
        filled[place] = [cell or blank for cell in several[place]]
    found = read(b"".join([cell for cells in filled for cell in cells]))  # type: ignore[misc]
    height = len(several[0])
    if found is None or len(found) != height * len(several):
        return None
    values = found.reshape(len(several), height).tolist()
    for place in gaps:
        pairs = zip(values[place], several[place], strict=True)
        values[place] = [number if cell else None for number, cell in pairs]
    return values


def _of_width(tag: int, dtype: str) -> Callable[[Several], list[list[Any]] | None]:
    """Values of fixed width.

    Serialised alone, a value that begins with this tag has exactly this width: tags in all their places, and no byte
    more, leave room for nothing else.
    """
    form = np.dtype([("tag", "u1"), ("value", dtype)])
    blank = bytes([tag]).ljust(form.itemsize, b"\0")

    def read(content: bytes) -> np.ndarray | None:
        if len(content) % form.itemsize:
            return None
        found = np.frombuffer(content, dtype=form)
        return None if (found["tag"] != tag).any() else found["value"]

    return lambda several: _numbers(several, blank, read)


def _of_varints(tag: int) -> Callable[[Several], list[list[Any]] | None]:
    blank = bytes([tag, 0])

    def read(content: bytes) -> np.ndarray | None:
        return varint_column(np.frombuffer(content, dtype=np.uint8), tag)

    return lambda several: _numbers(several, blank, read)


def varint_column(content: np.ndarray, tag: int) -> np.ndarray | None:
    """Integers (n,) of `Value` bytes one after the other (uint8), each one varint behind a tag; None if a tag differs."""
    lasts = np.flatnonzero(content < 0x80)
    tags, ends = lasts[0::2], lasts[1::2]
    if len(tags) != len(ends) or (content[tags] != tag).any():
        return None
    numbers = np.zeros(len(tags), dtype=np.uint64)
    lengths = ends - tags
    for place in range(int(lengths.max(initial=0))):
        here = np.minimum(tags + 1 + place, ends)
        seven = (content[here] & 0x7F).astype(np.uint64) << np.uint64(7 * place)
        numbers |= np.where(place < lengths, seven, np.uint64(0))
    return numbers.view(np.int64)


AT_ONCE: dict[ValueType, Callable[[Several], list[list[Any]] | None]] = {
    ValueType.FLOAT: _of_width(TAG_FLOAT, "<f4"),
    ValueType.DOUBLE: _of_width(TAG_DOUBLE, "<f8"),
    ValueType.INT64: _of_varints(TAG_INT64),
    ValueType.INT32: _of_varints(TAG_INT32),
}


def event_micros(stamps: Cells) -> list[int | None]:
    """Microseconds since 1970 of serialised protobuf timestamps; None where there is none."""
    if len(stamps) < MANY:
        return [_micros(stamp) for stamp in stamps]
    padded = b"".join([(stamp or _NOTHING).ljust(12, b"\0") for stamp in stamps])
    if len(padded) != 12 * len(stamps):
        return [_micros(stamp) for stamp in stamps]
    parts = np.frombuffer(padded, dtype=np.uint8).reshape(-1, 12)
    if (parts[:, :6] >= 0x80).any(axis=0).tolist() != [False, True, True, True, True, False] or not _usual(
        parts
    ):
        return [_micros(stamp) for stamp in stamps]
    seven = (parts & 0x7F).astype(np.int64)
    seconds, nanos = seven[:, 1:6] @ _PLACES, seven[:, 7:12] @ _PLACES
    found = (seconds * 1_000_000 + nanos // 1000).tolist()
    return found if all(stamps) else [v if stamp else None for v, stamp in zip(found, stamps, strict=True)]


_PLACES = np.int64(1) << (7 * np.arange(5, dtype=np.int64))
_NOTHING = b"\x08\x80\x80\x80\x80\x00"


def _usual(parts: np.ndarray) -> bool:
    """Whether all are seconds in five bytes (2004 to 3058), then perhaps nanoseconds."""
    return bool(
        6 <= parts.shape[1] <= 12
        and (parts[:, 0] == 0x08).all()
        and (parts[:, 1:5] >= 0x80).all()
        and (parts[:, 5] < 0x80).all()
        and (parts.shape[1] == 6 or ((parts[:, 6] == 0x10) | (parts[:, 6] == 0)).all())
    )


def _micros(stamp: bytes | None) -> int | None:
    if stamp is None:
        return None
    found, position = {0x08: 0, 0x10: 0}, 0
    while position < len(stamp):
        number, end = _varint(stamp, position + 1)
        found[stamp[position]] = number
        position = end
    return found[0x08] * 1_000_000 + found[0x10] // 1000
