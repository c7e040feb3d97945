"""The numbers of an entity's features of one view side by side in a row of fixed width, beside what stock Feast stores.

Reading ten values costs ten times what reading one does, and numbers of fixed width are read a column at a time,
whatever the number of entities.
"""

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from operator import itemgetter
from typing import Any

import numpy as np

from .codec import decoding
from .codec.decoding import Cells
from .codec.kinds import ValueType
from .plan import StoredCells

NUMBERS = {
    ValueType.FLOAT: "<f4",
    ValueType.DOUBLE: "<f8",
    ValueType.INT32: "<i4",
    ValueType.INT64: "<i8",
}
"""Types whose values stand in the row; the others are kept as the bytes that stock Feast stores."""

LETTERS = {"<f4": "f", "<f8": "d", "<i4": "i", "<i8": "q", "<u4": "I", "?": "?"}
"""How `struct` calls what numpy calls so."""


class Form:
    """Where the numbers of a view are in its rows: for each whether it is there, then the numbers by type.

    `head` and `tail` are what a store has before and behind them, as numpy names fields.
    """

    def __init__(
        self, kinds: Mapping[str, ValueType], head: Sequence[Any] = (), tail: Sequence[Any] = ()
    ) -> None:
        self.kinds = dict(kinds)
        self.numbers = [name for name, kind in kinds.items() if kind in NUMBERS]
        self.others = [name for name in kinds if name not in self.numbers]
        self.by_type = {
            dtype: [name for name in self.numbers if NUMBERS[kinds[name]] == dtype]
            for dtype in dict.fromkeys(NUMBERS[kinds[name]] for name in self.numbers)
        }
        blocks = [(dtype, dtype, (len(names),)) for dtype, names in self.by_type.items()]
        members: list[Any] = [*head, ("here", "?", (len(self.numbers),)), *blocks, *tail]
        self.dtype: Any = np.dtype(members)
        letters = [_letters(*member) for member in members]
        self.one = struct.Struct("<" + "".join(f"{count}{letter}" for letter, count in letters))
        ends = accumulate([0 if letter == "x" else count for letter, count in letters], initial=0)
        self.starts = {member[0]: end for member, end in zip(members, ends, strict=False)}

    def rows(self, content: bytes) -> Any:
        """The rows (n,) that stand one after the other."""
        return np.frombuffer(content, self.dtype)

    def place(self, name: str) -> tuple[int, int]:
        """Of a number in a row that `one` took apart: where it says whether it is there, and where it is."""
        block = NUMBERS[self.kinds[name]]
        number = self.by_type[block].index(name)
        return self.starts["here"] + self.numbers.index(name), self.starts[block] + number


def _letters(_: str, kind: str, shape: tuple[int] = (1,)) -> tuple[str, int]:
    """What `struct` calls a member's elements, and their number; those of a void are bytes, which it leaves out."""
    if kind.startswith("V"):
        return "x", int(kind[1:])
    return LETTERS[kind], shape[0]


class Reader:
    """Takes wanted features out of the rows of a view."""

    def __init__(self, form: Form, features: Sequence[str]) -> None:
        self.form = form
        self.features = features
        self.complete = form.kinds.keys() >= set(features)
        slots = {name: slot for slot, name in enumerate(features)}
        self._event = form.starts["event"]
        self._gaps = [slots.get(name) for name in form.numbers]
        self._blocks = [
            (dtype, [slots[name] for name in names if name in slots], [name in slots for name in names])
            for dtype, names in form.by_type.items()
        ]
        self._numbers = [form.place(name) for name in features if name in form.numbers]
        values = [value for _, value in self._numbers]
        self._pick = itemgetter(*values) if len(values) > 1 else lambda row: [row[value] for value in values]
        self._here = slice(form.starts["here"], form.starts["here"] + len(form.numbers))
        self.others = [(place, slots[name]) for place, name in enumerate(form.others) if name in slots]
        kinds = sorted((slots[name], form.kinds[name]) for name in form.others if name in slots)
        self._decoders = {slot: decoding.decoder(kind) for slot, kind in kinds}
        self._singles = {slot: decoding.single(kind) for slot, kind in kinds}

    def packed(self, content: bytes, others: Mapping[int, Cells], apart: Sequence[int]) -> "Packed":
        """What rows say, with the bytes of the wanted features that are no numbers; `apart` are places of rows that say nothing."""
        cells = _Encoded(self, content, others)
        if len(content) == self.form.dtype.itemsize and not apart:
            row = self.form.one.unpack(content)
            return Packed([row[self._event]], cells, self._of_one(row, others))
        rows = self.form.rows(content)
        times: list[int | None] = rows["event"].tolist()
        for place in apart:
            times[place] = None
        return Packed(times, cells, self._values(rows, others), apart)

    def _of_one(self, row: tuple[Any, ...], others: Mapping[int, Cells]) -> list[list[Any]]:
        if False not in row[self._here]:
            columns = [[value] for value in self._pick(row)]
        else:
            columns = [[row[value] if row[here] else None] for here, value in self._numbers]
        for slot, decode in self._singles.items():
            columns.insert(slot, [decode(others[slot][0])])
        return columns

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

    def encoded(self, content: bytes, slot: int) -> Cells:
        """A number's column as the bytes that stock Feast stores."""
        import pyarrow as pa

        from .codec import encoding

        name, rows = self.features[slot], self.form.rows(content)
        dtype = NUMBERS[kind := self.form.kinds[name]]
        numbers = rows[dtype][:, self.form.by_type[dtype].index(name)]
        gaps = ~rows["here"][:, self.form.numbers.index(name)]
        return encoding.values(pa.array(np.ascontiguousarray(numbers), mask=gaps), kind).to_pylist()


@dataclass(slots=True, eq=False)
class Packed(StoredCells):
    """What rows say; `apart` are the places of keys that have none of the form asked for."""

    apart: Sequence[int] = ()


class _Encoded(Sequence[Cells]):
    """The bytes of each feature, made of numbers when somebody asks for them."""

    def __init__(self, reader: Reader, content: bytes, others: Mapping[int, Cells]) -> None:
        self._reader, self._content, self._others = reader, content, others

    def __len__(self) -> int:
        return len(self._reader.features)

    def __getitem__(self, slot: Any) -> Any:
        if slot >= len(self):
            raise IndexError(slot)
        return self._others[slot] if slot in self._others else self._reader.encoded(self._content, slot)
