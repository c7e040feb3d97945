"""Numbers of a view side by side in fields of the entity's own hash, which hold only while its time stamp says so.

A time stamp that was written together with them carries a mark: a field that the message has not, which every parser of
protobuf skips. Whoever writes the view without them, as stock Feast does, replaces the time stamp, and with it the mark,
in the same command; so values are never believed that are not those of the hash. Being fields of the hash, they are
renamed, expire and are deleted with it.
"""

import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..codec.decoding import Cells, event_micros
from ..codec.kinds import ValueType, of
from ..packing import Form, Reader
from ..plan import StoredCells, ViewRead
from ..reads import Place

HEAD = [("event", "<i8")]
PIECE = 64
"""Bytes of a field: a hash with a longer one takes the server several times the memory (hash-max-listpack-value)."""

FEW = 2
"""Numbers under which packing them spares nothing."""

TAG_MARK, MARK = 0x78, 6
"""A number in field 15, which the message has not; bytes of a mark."""


def packed_form(kinds: Mapping[str, ValueType]) -> Form | None:
    """The form of a view's rows; None where it has too few numbers to be packed."""
    form = Form(kinds, HEAD)
    return form if len(form.numbers) >= FEW else None


def form_of(view: Any) -> Form | None:
    """The same of one of Feast's views."""
    return packed_form({feature.name: of(feature.dtype.to_value_type()) for feature in view.features})


def mark_of(form: Form) -> bytes:
    """What a time stamp begins with beside which rows of this form stand: tag and digest, in six bytes."""
    kinds = [(name, kind.name) for name, kind in form.kinds.items()]
    digest = zlib.crc32(repr((kinds, form.dtype.descr)).encode())
    return bytes([TAG_MARK, *(digest >> 7 * place & 0x7F | 0x80 for place in range(4)), digest >> 28 | 0x10])


def fields_of(form: Form, stamp: bytes) -> list[bytes]:
    """The fields in which the rows of a view stand, whose time stamp is in the field `stamp`."""
    pieces = -(-form.dtype.itemsize // PIECE)
    return [b"_packed%d%b" % (piece, stamp.removeprefix(b"_ts")) for piece in range(pieces)]


def pieces_of(rows: Any) -> list[np.ndarray]:
    """What goes into these fields: bytes (n, at most 64) of rows (n,)."""
    content = np.ascontiguousarray(rows).view(np.uint8).reshape(len(rows), -1)
    return [content[:, start : start + PIECE] for start in range(0, content.shape[1], PIECE)]


def times_of(stamps: Cells) -> list[int | None]:
    """Microseconds since 1970 of time stamps, marked or not; None where there is none."""
    return event_micros([stamp[MARK:] if stamp and stamp[0] == TAG_MARK else stamp for stamp in stamps])


class ByField:
    """A view's features asked for one by one."""

    def __init__(self, place: Place) -> None:
        self.fields = [*place.fields, place.stamp]

    def cells(self, columns: Sequence[Cells]) -> StoredCells:
        """Times and bytes, from a column a field."""
        return StoredCells(times_of(columns[-1]), columns[:-1])


class ByRow:
    """A view's numbers asked for at once, its other features one by one."""

    def __init__(self, form: Form, read: ViewRead, place: Place) -> None:
        self._reader, self._mark = Reader(form, read.features), mark_of(form)
        self._size = form.dtype.itemsize
        packed, slots = fields_of(form, place.stamp), [slot for _, slot in self._reader.others]
        self._pieces = len(packed)
        self._others = {slot: self._pieces + number for number, slot in enumerate(slots)}
        self.fields = [*packed, *(place.fields[slot] for slot in slots), place.stamp]

    def cells(self, columns: Sequence[Cells]) -> StoredCells | None:
        """What the rows say; None where one that is stored was written without, so that its fields have to be asked."""
        stamps, mark, size = columns[-1], self._mark, self._size
        if len(stamps) == 1 and (row_of_one := self._of_one_key(columns)) is not None:
            return row_of_one
        rows = columns[0] if self._pieces == 1 else _whole(columns[: self._pieces])
        known = [
            row if row and stamp and stamp.startswith(mark) and len(row) == size else None
            for row, stamp in zip(rows, stamps, strict=True)
        ]
        absent: list[int] = []
        if None in known:
            absent = [place for place, row in enumerate(known) if row is None]
            if any(stamps[place] is not None for place in absent):
                return None
            known = [row or bytes(size) for row in known]
        others = {slot: columns[n] for slot, n in self._others.items()}
        return self._reader.packed(b"".join(known), others, absent)  # type: ignore[arg-type]

    def _of_one_key(self, columns: Sequence[Cells]) -> StoredCells | None:
        """The same where one key was asked for and is stored; None where it has to be looked at closer."""
        stamp, row = columns[-1][0], columns[0][0]
        if stamp is None or row is None or not stamp.startswith(self._mark):
            return None
        if self._pieces > 1:
            pieces = [cells[0] for cells in columns[: self._pieces]]
            row = None if None in pieces else b"".join(pieces)  # type: ignore[arg-type]
        if row is None or len(row) != self._size:
            return None
        return self._reader.packed(row, {slot: columns[n] for slot, n in self._others.items()}, ())


def _whole(pieces: Sequence[Cells]) -> list[bytes | None]:
    return [None if None in row else b"".join(row) for row in zip(*pieces, strict=True)]  # type: ignore[arg-type]


def by_row(read: ViewRead, place: Place) -> ByRow | ByField:
    """The way that asks for the fewer fields."""
    form = packed_form(read.declared)
    if form is None or not form.kinds.keys() >= set(read.features):
        return ByField(place)
    numbers = sum(name in form.numbers for name in read.features)
    return ByRow(form, read, place) if numbers > len(fields_of(form, place.stamp)) else ByField(place)
