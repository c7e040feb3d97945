"""One type for every moment in the lake: microseconds in UTC, whatever unit and zone it came in."""

from typing import Any

import polars as pl

INSTANT = pl.Datetime("us", "UTC")
SPAN = pl.Duration("us")


class LossError(ValueError):
    """A value that would not be the same in the one type."""


def with_instants(frame: pl.DataFrame) -> pl.DataFrame:
    """The frame with all moments and spans, those in lists and structs too, in the one type; without a zone is UTC.

    Raises LossError where a value has digits below the microsecond, or more than microseconds hold.
    """
    return frame.with_columns(
        _same(frame[name], expected)
        for name, kind in frame.schema.items()
        if (expected := _in_one(kind)) != kind
    )


def _in_one(kind: Any) -> Any:
    if kind == pl.Datetime:
        return INSTANT
    if kind == pl.Duration:
        return SPAN
    if isinstance(kind, pl.Struct):
        return pl.Struct([pl.Field(field.name, _in_one(field.dtype)) for field in kind.fields])
    if isinstance(kind, pl.List):
        return pl.List(_in_one(kind.inner))
    if isinstance(kind, pl.Array):
        return pl.Array(_in_one(kind.inner), kind.size)
    return kind


def _same(column: pl.Series, dtype: Any) -> pl.Series:
    instants = column.cast(dtype, strict=False)
    lost = instants.cast(column.dtype, strict=False).ne_missing(column)
    if lost.any():
        row = lost.arg_max() or 0
        number = column.to_physical()[row]  # a moment beyond what polars can show
        shown = number.to_list() if isinstance(number, pl.Series) else number
        raise LossError(
            f"column {column.name!r}, row {row}: {shown} since 1970 in {column.dtype} is not a whole number of "
            "microseconds, or more than fit: round or correct it first"
        )
    return instants
