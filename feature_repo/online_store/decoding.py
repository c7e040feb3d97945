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
"""Stored bytes, of one feature or several of one type; None where nothing is stored."""

MANY = 50
"""From so many integers, or times, on, reading them at once is cheaper than one by one."""

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
    """What the stored bytes of features of one type say, in order."""
    at_once = AT_ONCE.get(kind)
    found = at_once(cells) if at_once else None
    if found is not None:
        return found
    if kind in BY_MEANING:
        return [_meant(cell, kind) for cell in cells]
    return _by_content(cells)


def _meant(cell: bytes | None, kind: ValueType) -> Any:
    return feast_value_type_to_python_type(Value.FromString(cell), kind) if cell else None


def _by_content(cells: Cells) -> list[Any]:
    """Equal bytes are read once, except lists and the like, which two rows must not share."""
    different = set(cells)
    if len(different) > len(cells) // 2 or any(cell and cell[0] not in BY_TAG for cell in different):
        return [value(cell) for cell in cells]
    known = {cell: value(cell) for cell in different}
    return [known[cell] for cell in cells]


def _of_width(tag: int, dtype: str) -> Callable[[Cells], list[Any] | None]:
    """Values of fixed width, with None for what is missing or empty; None if there is anything else.

    Serialised alone, a value that begins with this tag has exactly this width: tags in all their places, and no byte
    more, leave room for nothing else. No value begins with a zero, which marks the gaps.
    """
    form = np.dtype([("tag", "u1"), ("value", dtype)])
    width, gap = form.itemsize, bytes(form.itemsize)

    def read(cells: Cells) -> list[Any] | None:
        content = b"".join(cells if all(cells) else [cell or gap for cell in cells])  # type: ignore[arg-type]
        tags = content[::width]
        gaps = tags.count(0)
        if len(content) != width * len(cells) or tags.count(tag) + gaps != len(cells):
            return None
        values = np.frombuffer(content, dtype=form)["value"].tolist()
        place = -1
        for _ in range(gaps):
            place = tags.index(0, place + 1)
            values[place] = None
        return values

    return read


def _of_varints(tag: int) -> Callable[[Cells], list[Any] | None]:
    """Integers, with None for what is missing or empty; None if there is anything else, or too few to matter."""
    blank = bytes([tag, 0])

    def read(cells: Cells) -> list[Any] | None:
        if len(cells) < MANY:
            return None
        whole = all(cells)
        content = b"".join(cells if whole else [cell or blank for cell in cells])  # type: ignore[arg-type]
        found = varint_column(np.frombuffer(content, dtype=np.uint8), tag)
        if found is None or len(found) != len(cells):
            return None
        values = found.tolist()
        return values if whole else [v if cell else None for v, cell in zip(values, cells, strict=True)]

    return read


def numbers(content: np.ndarray, kind: ValueType) -> np.ndarray | None:
    """Numbers (n,) of `Value` bytes one after the other (uint8), all of a type of numbers; None if there is anything else."""
    if kind in INTEGERS:
        return varint_column(content, INTEGERS[kind]) if len(content) else np.empty(0, np.int64)
    form = np.dtype([("tag", "u1"), ("value", FLOATS[kind][1])])
    if len(content) % form.itemsize:
        return None
    found = content.view(form)
    return found["value"] if (found["tag"] == FLOATS[kind][0]).all() else None


def varint_column(content: np.ndarray, tag: int) -> np.ndarray | None:
    """Integers (n,) of `Value` bytes one after the other (uint8), each one varint behind a tag; None if a tag differs."""
    found = _tagged(content)
    return None if found is None or (found[0] != tag).any() else found[1]


def _tagged(content: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """Tags (n,) and numbers (n,) of fields of one varint each, one after the other; None if a field is cut off."""
    lasts = np.flatnonzero(content < 0x80)
    tags, ends = lasts[0::2], lasts[1::2]
    if not len(lasts) or len(lasts) % 2 or ends[-1] != len(content) - 1:
        return None
    lengths = ends.copy()
    lengths[0] += 1
    lengths[1:] -= ends[:-1]
    places = np.arange(len(content)) - np.repeat(tags + 1, lengths)
    if places.min() < -1:
        return None
    seven = (content & 0x7F).astype(np.uint64)
    places[tags] = seven[tags] = 0
    numbers = np.add.reduceat(seven << (7 * places).astype(np.uint64), tags)
    return content[tags], numbers.view(np.int64)


FLOATS = {ValueType.FLOAT: (TAG_FLOAT, "<f4"), ValueType.DOUBLE: (TAG_DOUBLE, "<f8")}
INTEGERS = {ValueType.INT32: TAG_INT32, ValueType.INT64: TAG_INT64}
AT_ONCE: dict[ValueType, Callable[[Cells], list[Any] | None]] = {
    **{kind: _of_width(tag, dtype) for kind, (tag, dtype) in FLOATS.items()},
    **{kind: _of_varints(tag) for kind, tag in INTEGERS.items()},
}


def event_micros(stamps: Cells) -> list[int | None]:
    """Microseconds since 1970 of serialised protobuf timestamps; None where there is none."""
    found = _micros_at_once(stamps) if len(stamps) >= MANY else None
    return [_micros(stamp) for stamp in stamps] if found is None else found


def _micros_at_once(stamps: Cells) -> list[int | None] | None:
    """The same, if all that are there begin with seconds."""
    whole = all(stamps)
    content = b"".join(stamps if whole else [stamp or _EPOCH for stamp in stamps])  # type: ignore[arg-type]
    found = _tagged(np.frombuffer(content, dtype=np.uint8))
    if found is None:
        return None
    tags, numbers = found
    first = tags == SECONDS
    firsts = np.flatnonzero(first)
    if len(firsts) != len(stamps) or not ((tags == NANOS) | first).all():
        return None
    micros = np.add.reduceat(np.where(first, numbers * 1_000_000, numbers // 1000), firsts).tolist()
    return (
        micros if whole else [None if stamp is None else m for m, stamp in zip(micros, stamps, strict=True)]
    )


SECONDS, NANOS = 0x08, 0x10
_EPOCH = bytes([SECONDS, 0])


def _micros(stamp: bytes | None) -> int | None:
    if stamp is None:
        return None
    found, position = {SECONDS: 0, NANOS: 0}, 0
    while position < len(stamp):
        number, end = _varint(stamp, position + 1)
        found[stamp[position]] = number
        position = end
    return found[SECONDS] * 1_000_000 + found[NANOS] // 1000
