"""An entity's features of one view in one cell, beside the rows that stock Feast reads.

Reading ten rows costs ten times what reading one does, and numbers of fixed width are read a column at a time,
whatever the number of entities. The cell is itself a `Value` of bytes, so that stock Feast, which parses whatever an
entity has, takes it for a feature that nobody asked for.
"""

import struct
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..codec import decoding
from ..codec.decoding import Cells
from ..codec.kinds import ValueType, of
from ..plan import Found

NAME = ""
"""Feature name of the packed row; no feature has an empty name."""

HEAD = [("value", "V5"), ("event", "<i8"), ("created", "<i8"), ("names", "<u4")]
"""Tag and length of the protobuf, event and created time in microseconds, a digest of the form."""

VERSION = struct.Struct("<5xqq")
NAMES = slice(21, 25)
"""Event and created time, and the digest, in the head."""

NUMBERS = {
    ValueType.FLOAT: "<f4",
    ValueType.DOUBLE: "<f8",
    ValueType.INT32: "<i4",
    ValueType.INT64: "<i8",
}
"""Types whose values stand in the cell at fixed places; the others follow as the bytes that stock Feast stores."""


class Form:
    """Where the features of a view are in its cells.

    After the head: for each number whether it is there, the numbers by type, the lengths of the other values, and
    these values.
    """

    def __init__(self, kinds: Mapping[str, ValueType]) -> None:
        self.kinds = dict(kinds)
        self.numbers = [name for name, kind in kinds.items() if kind in NUMBERS]
        self.others = [name for name in kinds if name not in self.numbers]
        self.by_type = {
            dtype: [name for name in self.numbers if NUMBERS[kinds[name]] == dtype]
            for dtype in dict.fromkeys(NUMBERS[kinds[name]] for name in self.numbers)
        }
        blocks = [(dtype, dtype, (len(names),)) for dtype, names in self.by_type.items()]
        self.dtype: Any = np.dtype(
            [*HEAD, ("here", "?", (len(self.numbers),)), *blocks, ("lengths", "<u4", (len(self.others),))]  # type: ignore[arg-type]
        )
        self.digest = zlib.crc32(repr([(name, kind.name) for name, kind in kinds.items()]).encode())
        self.blank = bytes(self.dtype.itemsize)


def form_of(view: Any) -> Form:
    """The form of the cells of one of Feast's views."""
    return Form({feature.name: of(feature.dtype.to_value_type()) for feature in view.features})


class Reader:
    """Takes wanted features out of the cells of a view."""

    def __init__(self, form: Form, wanted: Sequence[str]) -> None:
        self.form = form
        self.wanted = wanted
        self.complete = form.kinds.keys() >= set(wanted)
        slots = {name: slot for slot, name in enumerate(wanted)}
        self._gaps = [slots.get(name) for name in form.numbers]
        self._blocks = [
            (dtype, [slots[name] for name in names if name in slots], [name in slots for name in names])
            for dtype, names in form.by_type.items()
        ]
        self._others = [(place, slots[name]) for place, name in enumerate(form.others) if name in slots]
        self._decoders = {
            slots[name]: decoding.decoder(form.kinds[name]) for name in form.others if name in slots
        }
        self._mark = form.digest.to_bytes(4, "little")

    def read(self, cells: Sequence[bytes | None]) -> "Packed":
        """What the cells say; one that is missing, or of another form, says nothing."""
        blank, mark = self.form.blank, self._mark
        known = [cell if cell and cell[NAMES] == mark and self.complete else blank for cell in cells]
        size = self.form.dtype.itemsize
        rows: Any = np.frombuffer(b"".join([cell[:size] for cell in known]), self.form.dtype)
        times: list[int | None] = rows["event"].tolist()
        apart = [place for place, cell in enumerate(known) if cell is blank] if blank in known else []
        for place in apart:
            times[place] = None
        others = self._bytes(rows, known)
        return Packed(times, _Encoded(self, rows, others), self._values(rows, others), apart)

    def _values(self, rows: Any, others: Mapping[int, Cells]) -> list[list[Any]]:
        columns: dict[int, list[Any]] = {
            slot: self._decoders[slot]([cells])[0] for slot, cells in others.items()
        }
        for dtype, slots, picked in self._blocks:
            block = rows[dtype].T
            columns.update(zip(slots, (block if all(picked) else block[picked]).tolist(), strict=True))
        for row, number in zip(*map(np.ndarray.tolist, (~rows["here"]).nonzero()), strict=True):
            if (slot := self._gaps[number]) is not None:
                columns[slot][row] = None
        return [columns[slot] for slot in range(len(columns))]

    def _bytes(self, rows: Any, cells: Sequence[bytes]) -> dict[int, Cells]:
        """The features whose values stand behind the numbers."""
        if not self._others:
            return {}
        size, lengths = self.form.dtype.itemsize, rows["lengths"]
        if lengths.shape[1] == 1:
            return {self._others[0][1]: [cell[size:] for cell in cells]}
        ends = [[size] * len(rows), *(lengths.cumsum(axis=1) + size).T.tolist()]
        return {
            slot: [
                cell[start:end] for cell, start, end in zip(cells, ends[place], ends[place + 1], strict=True)
            ]
            for place, slot in self._others
        }

    def encoded(self, rows: Any, slot: int) -> Cells:
        """A number's column as the bytes that stock Feast stores."""
        import pyarrow as pa

        from ..codec import encoding

        name = self.wanted[slot]
        dtype = NUMBERS[kind := self.form.kinds[name]]
        numbers = rows[dtype][:, self.form.by_type[dtype].index(name)]
        gaps = ~rows["here"][:, self.form.numbers.index(name)]
        return encoding.values(pa.array(np.ascontiguousarray(numbers), mask=gaps), kind).to_pylist()


@dataclass(frozen=True, eq=False)
class Packed(Found):
    """What cells say; `apart` are the places of keys that have none of the form asked for."""

    apart: Sequence[int] = ()


class _Encoded(Sequence[Cells]):
    """The bytes of each feature, made of numbers when somebody asks for them."""

    def __init__(self, reader: Reader, rows: np.ndarray, others: Mapping[int, Cells]) -> None:
        self._reader, self._rows, self._others = reader, rows, others

    def __len__(self) -> int:
        return len(self._reader.wanted)

    def __getitem__(self, slot: Any) -> Any:
        if slot >= len(self):
            raise IndexError(slot)
        return self._others[slot] if slot in self._others else self._reader.encoded(self._rows, slot)


def version(cell: bytes) -> tuple[int, int]:
    """Event and created time of a cell."""
    return VERSION.unpack_from(cell)
