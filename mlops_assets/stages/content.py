"""The hash of a frame, by which contents are told apart."""

import hashlib
import io

import polars as pl


def content_sha256(frame: pl.DataFrame) -> str:
    """The SHA-256 of a frame as parquet; polars writes the same bytes for the same frame."""
    frame.write_parquet(content := io.BytesIO())
    return hashlib.sha256(content.getvalue()).hexdigest()
