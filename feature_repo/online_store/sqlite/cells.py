"""Cells of the rows of a batch, a column at a time."""

from typing import Any

import numpy as np
import pyarrow as pa

from ..batch import Batch
from ..codec import decoding, encoding
from ..codec.encoding import fixed, joined, lengths_of
from ..codec.kinds import ValueType
from ..codec.tags import TAG_BYTES
from .packing import Form


def packed(form: Form, batch: Batch) -> pa.Array | None:
    """The cells (n,) of a batch that has all features; None if one has values of another type than declared."""
    rows: Any = np.zeros(len(batch), form.dtype)
    rows["event"], rows["created"], rows["names"] = batch.event, batch.created, form.digest
    for dtype, names in form.by_type.items():
        for place, name in enumerate(names):
            found = _numbers(batch.features[name], form.kinds[name])
            if found is None:
                return None
            here, numbers = found
            rows["here"][:, form.numbers.index(name)] = here
            rows[dtype][here, place] = numbers
    for place, name in enumerate(form.others):
        rows["lengths"][:, place] = lengths_of(batch.features[name])
    rest = np.ascontiguousarray(rows).view(np.uint8).reshape(len(rows), -1)[:, 5:]
    content = joined(fixed(rest), *(batch.features[name] for name in form.others))
    return joined(_prefix(lengths_of(content)), content)


def _numbers(cells: pa.Array, kind: ValueType) -> tuple[np.ndarray, np.ndarray] | None:
    """Where (n,) there is a number, and these numbers, of serialised values; None if there is anything else."""
    lengths = lengths_of(cells)
    here = lengths > 0
    numbers = decoding.numbers(lengths[here], encoding.content_of(cells), kind)
    return None if numbers is None or np.isnan(numbers).any() else (here, numbers)


def _prefix(lengths: np.ndarray) -> pa.Array:
    """Tag and length of a bytes field; the length always in four bytes, which every protobuf parser reads."""
    matrix = np.empty((len(lengths), 5), dtype=np.uint8)
    matrix[:, 0] = TAG_BYTES
    for place in range(4):
        matrix[:, 1 + place] = (lengths >> (7 * place)) & 0x7F | (0x80 if place < 3 else 0)
    return fixed(matrix)
