"""An entity's features of one view in one cell, beside the rows that stock Feast reads.

The cell is itself a `Value` of bytes, so that stock Feast, which parses whatever an entity has, takes it for a feature
that nobody asked for.
"""

import struct
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

from .. import packing
from ..codec.decoding import Cells
from ..codec.kinds import ValueType, of
from ..packing import NUMBERS, Packed

NAME = ""
"""Feature name of the packed row; no feature has an empty name."""

HEAD = [("value", "V5"), ("event", "<i8"), ("created", "<i8"), ("names", "<u4")]
"""Tag and length of the protobuf, event and created time in microseconds, a digest of the form."""

VERSION = struct.Struct("<5xqq")
NAMES = slice(21, 25)
"""Event and created time, and the digest, in the head."""


class Form(packing.Form):
    """Behind the numbers stand the lengths of the other values, and these values."""

    def __init__(self, kinds: Mapping[str, ValueType]) -> None:
        others = [name for name, kind in kinds.items() if kind not in NUMBERS]
        super().__init__(kinds, HEAD, [("lengths", "<u4", (len(others),))])
        self.digest = zlib.crc32(repr([(name, kind.name) for name, kind in kinds.items()]).encode())
        self.blank = bytes(self.dtype.itemsize)


def form_of(view: Any) -> Form:
    """The form of the cells of one of Feast's views."""
    return Form({feature.name: of(feature.dtype.to_value_type()) for feature in view.features})


class Reader(packing.Reader):
    """Takes wanted features out of the cells of a view."""

    form: Form  # type: ignore[misc]

    def __init__(self, form: Form, features: Sequence[str]) -> None:
        super().__init__(form, features)
        self._mark = form.digest.to_bytes(4, "little")

    def read(self, cells: Sequence[bytes | None]) -> Packed:
        """What the cells say; one that is missing, or of another form, says nothing."""
        blank, mark = self.form.blank, self._mark
        known = [cell if cell and cell[NAMES] == mark and self.complete else blank for cell in cells]
        size = self.form.dtype.itemsize
        content = b"".join([cell[:size] for cell in known])
        apart = [place for place, cell in enumerate(known) if cell is blank] if blank in known else []
        return self.packed(content, self._bytes(content, known), apart)

    def _bytes(self, content: bytes, cells: Sequence[bytes]) -> dict[int, Cells]:
        """The features whose values stand behind the numbers."""
        if not self.others:
            return {}
        size = self.form.dtype.itemsize
        lengths = self.form.rows(content)["lengths"]
        if lengths.shape[1] == 1:
            return {self.others[0][1]: [cell[size:] for cell in cells]}
        ends = [[size] * len(cells), *(lengths.cumsum(axis=1) + size).T.tolist()]
        return {
            slot: [
                cell[start:end] for cell, start, end in zip(cells, ends[place], ends[place + 1], strict=True)
            ]
            for place, slot in self.others
        }


def version(cell: bytes) -> tuple[int, int]:
    """Event and created time of a cell."""
    return VERSION.unpack_from(cell)
