"""Cells of the rows of a batch, a column at a time."""

import numpy as np
import pyarrow as pa

from ..batch import Batch
from ..codec.encoding import fixed, joined, lengths_of
from ..codec.tags import TAG_BYTES
from ..filling import rows_of
from .packing import Form


def packed(form: Form, batch: Batch) -> pa.Array | None:
    """The cells (n,) of a batch that has all features; None if one has values of another type than declared."""
    rows = rows_of(form, batch)
    if rows is None:
        return None
    rows["created"], rows["names"] = batch.created, form.digest
    for place, name in enumerate(form.others):
        rows["lengths"][:, place] = lengths_of(batch.features[name])
    rest = np.ascontiguousarray(rows).view(np.uint8).reshape(len(rows), -1)[:, 5:]
    content = joined(fixed(rest), *(batch.features[name] for name in form.others))
    return joined(_prefix(lengths_of(content)), content)


def _prefix(lengths: np.ndarray) -> pa.Array:
    """Tag and length of a bytes field; the length always in four bytes, which every protobuf parser reads."""
    matrix = np.empty((len(lengths), 5), dtype=np.uint8)
    matrix[:, 0] = TAG_BYTES
    for place in range(4):
        matrix[:, 1 + place] = (lengths >> (7 * place)) & 0x7F | (0x80 if place < 3 else 0)
    return fixed(matrix)
