"""An entity's features of one view in one cell, beside the rows that stock Feast reads.

Reading ten rows costs ten times what reading one does. The cell is itself a `Value` of bytes, so that stock Feast,
which parses whatever an entity has, takes it for a feature that nobody asked for.
"""

import struct
import zlib
from collections.abc import Sequence
from functools import lru_cache
from operator import itemgetter
from typing import Any

import numpy as np
import pyarrow as pa

from .batch import Batch
from .encoding import TAG_BYTES, fixed, joined, lengths_of

NAME = ""
"""Feature name of the packed row; no feature has an empty name."""

HEAD = struct.Struct("<5xqqIB")
"""After five bytes of protobuf: event and created time in microseconds, a digest of the names, bytes a length takes."""

EVENT, NAMES, WIDTH = slice(5, 13), 21, 25
"""Where the parts of the head are."""


def digest(features: Sequence[str]) -> int:
    """What tells one list of features from another."""
    return zlib.crc32("\x1f".join(features).encode())


def packed(batch: Batch) -> pa.Array:
    """The cells (n,) of a batch: head, length of each value, values."""
    lengths = np.stack([lengths_of(cells) for cells in batch.features.values()], axis=1)
    width = "<u1" if lengths.max(initial=0) < 256 else "<u4"
    lengths = lengths.astype(width)
    head = np.zeros(
        len(batch), np.dtype([("event", "<i8"), ("created", "<i8"), ("names", "<u4"), ("width", "u1")])
    )
    head["event"], head["created"] = batch.event, batch.created
    head["names"], head["width"] = digest(list(batch.features)), lengths.itemsize
    content = joined(_bytes(head), _bytes(lengths), *batch.features.values())
    return joined(_prefix(lengths_of(content)), content)


def _bytes(rows: np.ndarray) -> pa.Array:
    return fixed(np.ascontiguousarray(rows).view(np.uint8).reshape(len(rows), -1))


def _prefix(lengths: np.ndarray) -> pa.Array:
    """Tag and length of a bytes field; the length always in four bytes, which every protobuf parser reads."""
    matrix = np.empty((len(lengths), 5), dtype=np.uint8)
    matrix[:, 0] = TAG_BYTES
    for place in range(4):
        matrix[:, 1 + place] = (lengths >> (7 * place)) & 0x7F | (0x80 if place < 3 else 0)
    return fixed(matrix)


class Layout:
    """How to take wanted features out of cells that hold `features`."""

    def __init__(self, features: Sequence[str], wanted: Sequence[str]) -> None:
        self._names = digest(features)
        self._ends = {width: HEAD.size + width * len(features) for width in (1, 4)}
        self._picked = [features.index(name) for name in wanted if name in features]
        self._complete = len(self._picked) == len(wanted)
        self._taker = lru_cache(maxsize=4096)(self._taker_of)

    def taken(self, cells: Sequence[bytes | None]) -> list[tuple[bytes, ...] | None]:
        """Of each cell the event time's eight bytes, then the values; None if it holds other features."""
        ends, taker = self._ends, self._taker
        return [taker(cell[NAMES : ends[cell[WIDTH]]])(cell) if cell else None for cell in cells]

    def _taker_of(self, shape: bytes) -> Any:
        """What takes the wanted bytes out of cells of one shape, which is the end of their head and the lengths."""
        names, width = struct.unpack_from("<IB", shape)
        if names != self._names or not self._complete:
            return _nothing
        ends = np.cumsum([self._ends[width], *np.frombuffer(shape[5:], f"<u{width}")]).tolist()
        return itemgetter(EVENT, *(slice(ends[place], ends[place + 1]) for place in self._picked))


def _nothing(_: bytes) -> None:
    """What is taken out of a cell that holds other features."""


def version(cell: bytes) -> tuple[int, int]:
    """Event and created time of a cell."""
    event, created, _, _ = HEAD.unpack_from(cell)
    return event, created


def event_times(found: Sequence[bytes | None]) -> list[int | None]:
    """Microseconds since 1970, from eight bytes each."""
    times = np.frombuffer(b"".join([time or bytes(8) for time in found]), "<i8").tolist()
    return times if all(found) else [t if time else None for t, time in zip(times, found, strict=True)]
