"""Protobuf `Value` bytes turned into Python values, without a protobuf object each.

A column of one type is decoded by numpy; a single value, or a column of mixed content, by its leading byte. What
has no short way here goes through Feast's own conversion, so that every type gives what stock Feast gives.
"""

import struct
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any

import numpy as np
from google.protobuf.timestamp_pb2 import Timestamp

from .kinds import NULL_TIMESTAMP_INT_VALUE, ValueType, feasts
from .tags import TAG_BOOL, TAG_BYTES, TAG_DOUBLE, TAG_FLOAT, TAG_INT32, TAG_INT64, TAG_STRING, TAG_TIME

Cells = Sequence[bytes | None]
"""Stored bytes, of one feature or several of one type; None where nothing is stored."""

Decoder = Callable[[Sequence[Cells]], list[list[Any]]]
AtOnce = Callable[[Sequence[Cells]], list[list[Any]] | None]
"""Reads features of one type, all with the same number of cells; None if it cannot."""

MANY = 50
"""From so many integers, or times, on, reading them at once is cheaper than one by one."""

FEW = 4
"""Under so many cells, it is not worth looking for equal ones."""

VARINT, STAMP = 11, 12
"""Bytes of the longest integer with its tag, and of the longest timestamp after 1978."""

WEIGHTS = 128 ** np.arange(5)

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


def _other(content: bytes, kind: ValueType | None = None) -> Any:
    """By Feast's own conversion, which is imported for it."""
    from feast.protos.feast.types.Value_pb2 import Value
    from feast.type_map import feast_value_type_to_python_type

    meant = (feasts(kind),) if kind else ()
    return feast_value_type_to_python_type(Value.FromString(content), *meant)


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


def single(kind: ValueType) -> Callable[[bytes | None], Any]:
    """What reads the stored bytes of one value of a type, as `decoder` reads many."""
    if kind not in BY_MEANING:
        return value
    return lambda content: _other(content, kind) if content else None


def decoder(kind: ValueType) -> Decoder:
    """What reads the stored bytes of features of one type, all with as many cells: a list a feature, in order."""
    at_once = AT_ONCE.get(kind)
    one_by_one = partial(_meant, kind=kind) if kind in BY_MEANING else _by_content

    def decode(features: Sequence[Cells]) -> list[list[Any]]:
        values = at_once(features) if at_once and features else None
        return [one_by_one(cells) for cells in features] if values is None else values

    return decode


def column(cells: Cells, kind: ValueType) -> list[Any]:
    """What the stored bytes of one feature say."""
    return decoder(kind)([cells])[0]


def _meant(cells: Cells, kind: ValueType) -> list[Any]:
    return [_other(cell, kind) if cell else None for cell in cells]


def _by_content(cells: Cells) -> list[Any]:
    """Equal bytes are read once, except lists and the like, which two rows must not share."""
    if len(cells) < FEW:
        return [value(cell) for cell in cells]
    different = set(cells)
    if len(different) > len(cells) // 2 or any(cell and cell[0] not in BY_TAG for cell in different):
        return [value(cell) for cell in cells]
    known = {cell: value(cell) for cell in different}
    return [known[cell] for cell in cells]


def _of_width(tag: int, dtype: str) -> AtOnce:
    """Values of fixed width, with None for what is missing or empty; None if there is anything else.

    Serialised alone, a value that begins with this tag has exactly this width: tags in all their places, and no byte
    more, leave room for nothing else. No value begins with a zero, which marks the gaps.
    """
    form = np.dtype([("tag", "u1"), ("value", dtype)])
    width, gap = form.itemsize, bytes(form.itemsize)

    def read(cells: Sequence[Cells]) -> list[list[Any]] | None:
        content = b"".join([cell or gap for some in cells for cell in some])
        tags, each = content[::width], len(cells[0])
        gaps = tags.count(0)
        if len(content) != width * len(cells) * each or tags.count(tag) + gaps != len(tags):
            return None
        rows = np.frombuffer(content, dtype=form)["value"].reshape(len(cells), each).tolist()
        place = -1
        for _ in range(gaps):
            place = tags.index(0, place + 1)
            rows[place // each][place % each] = None
        return rows

    return read


def _of_varints(tag: int) -> AtOnce:
    """Integers, with None for what is missing or empty; None if there is anything else, or too few to matter."""
    blank = bytes([tag, 0])

    def read(cells: Sequence[Cells]) -> list[list[Any]] | None:
        each = len(cells[0])
        if len(cells) * each < MANY:
            return None
        rows = _padded([cell or blank for some in cells for cell in some], VARINT)
        numbers = None if rows is None else _varints(rows, tag)
        if numbers is None:
            return None
        table = numbers.reshape(len(cells), each).tolist()
        for some, values in zip(cells, table, strict=True):
            if not all(some):
                values[:] = [value if cell else None for value, cell in zip(values, some, strict=True)]
        return table

    return read


def _padded(cells: Sequence[bytes], width: int) -> np.ndarray | None:
    """Rows (n, width) of bytes with zeros behind them; None if one is longer."""
    lengths = set(map(len, cells))
    if max(lengths) > width:
        return None
    if len(lengths) > 1:
        content = b"".join([cell.ljust(width, b"\0") for cell in cells])
        return np.frombuffer(content, dtype=np.uint8).reshape(len(cells), width)
    rows = np.zeros((len(cells), width), dtype=np.uint8)
    rows[:, : lengths.pop()] = np.frombuffer(b"".join(cells), dtype=np.uint8).reshape(len(cells), -1)
    return rows


def _varints(rows: np.ndarray, tag: int) -> np.ndarray | None:
    """Numbers (n,) of rows (n, 11) that hold a tag, a varint and zeros; None if one has another tag."""
    if (rows[:, 0] != tag).any():
        return None
    values = np.zeros(len(rows), dtype=np.uint64)
    for place in range(1, VARINT):
        seven = rows[:, place]
        if not seven.any():
            break
        values |= (seven & 0x7F).astype(np.uint64) << np.uint64(7 * (place - 1))
    return values.view(np.int64)


def numbers(lengths: np.ndarray, content: np.ndarray, kind: ValueType) -> np.ndarray | None:
    """Numbers (n,) of `Value` bytes one after the other (uint8) with these lengths (n,); None if there is anything else."""
    if kind in INTEGERS:
        rows = np.zeros((len(lengths), VARINT), dtype=np.uint8)
        if lengths.max(initial=0) > VARINT:
            return None
        rows[np.arange(VARINT) < lengths[:, None]] = content
        return _varints(rows, INTEGERS[kind])
    tag, dtype = FLOATS[kind]
    form = np.dtype([("tag", "u1"), ("value", dtype)])
    if (lengths != form.itemsize).any():
        return None
    fields = content.view(form)
    return fields["value"] if (fields["tag"] == tag).all() else None


FLOATS = {ValueType.FLOAT: (TAG_FLOAT, "<f4"), ValueType.DOUBLE: (TAG_DOUBLE, "<f8")}
INTEGERS = {ValueType.INT32: TAG_INT32, ValueType.INT64: TAG_INT64}
AT_ONCE: dict[ValueType, AtOnce] = {
    **{kind: _of_width(tag, dtype) for kind, (tag, dtype) in FLOATS.items()},
    **{kind: _of_varints(tag) for kind, tag in INTEGERS.items()},
}


def event_micros(stamps: Cells) -> list[int | None]:
    """Microseconds since 1970 of serialised protobuf timestamps; None where there is none."""
    micros = _micros_at_once(stamps) if len(stamps) >= MANY else None
    return [_micros(stamp) for stamp in stamps] if micros is None else micros


def _micros_at_once(stamps: Cells) -> list[int | None] | None:
    """The same, if all that are there have seconds of five bytes, as from 1978 to 3058, and nothing or nanoseconds behind."""
    whole = None not in stamps
    rows = _padded(stamps if whole else [_LATER if stamp is None else stamp for stamp in stamps], STAMP)  # type: ignore[arg-type]
    if rows is None or not ((rows[:, :7] & _STAMP_MASK) == _STAMP_HEAD).all():
        return None
    sevens = (rows & 0x7F).astype(np.int64)
    micros = (sevens[:, 1:6] @ WEIGHTS * 1_000_000 + sevens[:, 7:] @ WEIGHTS // 1000).tolist()
    return (
        micros if whole else [None if stamp is None else m for m, stamp in zip(micros, stamps, strict=True)]
    )


SECONDS, NANOS = 0x08, 0x10
_LATER = bytes([SECONDS, *[0x80] * 4, 1])
_STAMP_MASK = np.array([0xFF, *[0x80] * 5, 0xFF ^ NANOS], dtype=np.uint8)
_STAMP_HEAD = np.array([SECONDS, *[0x80] * 4, 0, 0], dtype=np.uint8)


def _micros(stamp: bytes | None) -> int | None:
    if stamp is None:
        return None
    time = Timestamp.FromString(stamp)
    return time.seconds * 1_000_000 + time.nanos // 1000
