"""The rows in the bytes of a parquet file; of small files they are remembered.

A run that looks back from one short partition after another reads the same files again and again.
"""

import io
from collections.abc import Sequence
from functools import lru_cache

import polars as pl

SMALL = 1 << 16
"""Bytes up to which a file is small."""


def rows_in(content: bytes, columns: Sequence[str] | None = None) -> pl.DataFrame:
    """The rows with these columns, or all. Raises what polars raises for bytes that are no parquet."""
    read = _read if len(content) > SMALL else _remembered
    return read(content, tuple(columns) if columns else None).clone()


def _read(content: bytes, columns: tuple[str, ...] | None) -> pl.DataFrame:
    return pl.read_parquet(io.BytesIO(content), columns=list(columns) if columns else None)


_remembered = lru_cache(maxsize=1024)(_read)
