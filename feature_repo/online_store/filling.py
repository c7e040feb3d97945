"""Rows of numbers side by side, from the serialised features of a batch."""

from typing import Any

import numpy as np
import pyarrow as pa

from .batch import Batch
from .codec import decoding, encoding
from .codec.encoding import lengths_of
from .codec.kinds import ValueType
from .packing import Form


def rows_of(form: Form, batch: Batch) -> Any | None:
    """The rows (n,) of a batch that has all features; None if one has values of another type than declared, or NaN."""
    rows: Any = np.zeros(len(batch), form.dtype)
    rows["event"] = batch.event
    for dtype, names in form.by_type.items():
        for place, name in enumerate(names):
            column = _numbers(batch.features[name], form.kinds[name])
            if column is None:
                return None
            here, numbers = column
            rows["here"][:, form.numbers.index(name)] = here
            rows[dtype][slice(None) if len(numbers) == len(here) else here, place] = numbers
    return rows


def _numbers(cells: pa.Array, kind: ValueType) -> tuple[np.ndarray, np.ndarray] | None:
    """Where (n,) there is a number, and these numbers, of serialised values; None if there is anything else."""
    lengths = lengths_of(cells)
    here = lengths > 0
    numbers = decoding.numbers(lengths if here.all() else lengths[here], encoding.content_of(cells), kind)
    return None if numbers is None or np.isnan(numbers).any() else (here, numbers)
