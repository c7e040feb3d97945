"""What is written beside the values of a batch, so that its numbers are read at once."""

from typing import Any

import pyarrow as pa

from ..batch import Batch
from ..codec.encoding import fixed
from ..filling import rows_of
from .packing import fields_of, form_of, mark_of, pieces_of


def packed(view: Any, batch: Batch, stamp: bytes) -> tuple[bytes, dict[bytes, pa.Array]]:
    """The mark of the time stamps and the fields that it speaks for; nothing where the batch cannot be packed."""
    form = form_of(view)
    if form is None or not form.kinds.keys() <= batch.features.keys():
        return b"", {}
    rows = rows_of(form, batch)
    if rows is None:
        return b"", {}
    pieces = [fixed(piece) for piece in pieces_of(rows)]
    return mark_of(form), dict(zip(fields_of(form, stamp), pieces, strict=True))
