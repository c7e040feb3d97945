"""An entity's features of one view in one cell, beside the rows that stock Feast reads.

Reading ten rows costs ten times what reading one does. The cell is itself a `Value` of bytes, so that stock Feast,
which parses whatever an entity has, takes it for a feature that nobody asked for.
"""

import struct
import zlib
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import pyarrow as pa

from .batch import Batch
from .encoding import TAG_BYTES, fixed, joined, lengths_of

NAME = ""
"""Feature name of the packed row; no feature has an empty name."""

HEAD = struct.Struct("<5xqqIB")
"""After five bytes of protobuf: event and created time in microseconds, a digest of the names, bytes a length takes."""


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
        self.names = digest(features)
        self.count = len(features)
        self.picked = [features.index(name) if name in features else -1 for name in wanted]
        self.places = lru_cache(maxsize=4096)(self._places)

    def taken(self, cell: bytes) -> tuple[int, list[bytes | None]] | None:
        """Event time and values; None if the cell holds other features."""
        event, _, names, width = HEAD.unpack_from(cell)
        if names != self.names:
            return None
        start = HEAD.size + width * self.count
        return event, [cell[a:b] for a, b in self.places(cell[HEAD.size : start], width)]

    def _places(self, lengths: bytes, width: int) -> list[tuple[int, int]]:
        ends = np.cumsum(np.frombuffer(lengths, dtype=f"<u{width}"), dtype=np.int64).tolist()
        start = HEAD.size + len(lengths)
        edges = [start, *(start + end for end in ends)]
        return [(edges[place], edges[place + 1]) for place in self.picked]


def version(cell: bytes) -> tuple[int, int]:
    """Event and created time of a cell."""
    event, created, _, _ = HEAD.unpack_from(cell)
    return event, created
