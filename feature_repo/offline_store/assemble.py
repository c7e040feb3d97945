"""Columns of a result: for each question the value of the row that was chosen for it, or null, as Arrow.

Numbers are taken by numpy into buffers that share one validity bitmap a view; everything else by polars.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from .kernel import Flags, Ints


@dataclass(frozen=True)
class Choice:
    """For each question the row that was chosen, or -1."""

    rows: Ints

    @cached_property
    def hits(self) -> Flags:
        """Whether there is one."""
        return self.rows >= 0

    @cached_property
    def nulls(self) -> int:
        """How many questions have none."""
        return int(self.rows.size - np.count_nonzero(self.hits))

    @cached_property
    def bitmap(self) -> pa.Buffer | None:
        """Arrow's validity bitmap, None where every question has a row."""
        return _bitmap(self.hits) if self.nulls else None

    @cached_property
    def places(self) -> pl.Series:
        """The rows as polars takes them, null for -1."""
        rows = pl.Series(self.rows)
        return (rows.set(rows < 0, None) if self.nulls else rows).cast(
            pl.UInt32 if rows.len() < 2**32 else pl.UInt64
        )

    def of(self, values: pl.Series) -> pa.Array | pa.ChunkedArray:
        """The chosen values of a source's column."""
        if not (values.dtype.is_integer() or values.dtype.is_float()) or values.dtype == pl.Int128:
            return values.gather(self.places).to_arrow()
        known = None if not values.null_count() else values.is_not_null().to_numpy()
        numbers = (values if known is None else values.fill_null(0)).to_numpy()
        if not numbers.size:
            return pa.nulls(self.rows.size, pa.from_numpy_dtype(numbers.dtype))
        taken = self._taken(numbers)
        bitmap, nulls = self.bitmap, self.nulls
        if known is not None:
            valid = known.take(self.rows, mode="clip") & self.hits
            nulls = int(valid.size - np.count_nonzero(valid))
            bitmap = _bitmap(valid)
        kind = pa.from_numpy_dtype(numbers.dtype)
        return pa.Array.from_buffers(kind, self.rows.size, [bitmap, taken], nulls)

    def _taken(self, numbers: NDArray[Any]) -> pa.Buffer:
        # Not numpy's own memory, nor that of Arrow's first pool: both ask for huge pages, and a virtual machine that
        # gives free ones back to its host pays tenfold to have them again.
        taken = pa.allocate_buffer(self.rows.size * numbers.itemsize, memory_pool=pa.system_memory_pool())
        numbers.take(self.rows, mode="clip", out=np.frombuffer(taken, numbers.dtype))
        return taken


def _bitmap(valid: Flags) -> pa.Buffer:
    return pa.py_buffer(np.packbits(valid, bitorder="little"))
