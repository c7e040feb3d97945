"""Rows as a source gave them, turned into the types that a spec declares, or refused with column, row and value."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

import polars as pl

from mlops_assets.ml.typed import FITS, TYPES, typed, unfit
from mlops_assets.spec.table import TableSpec
from mlops_assets.stages.errors import SourceError
from mlops_assets.stages.source_files import ROW

SHOWN = 30
"""Columns of a source that an error names."""


class Span(Protocol):
    """The moments between which rows are wanted, the second not included; None, for a static table, is no limit."""

    @property
    def start(self) -> datetime | None: ...

    @property
    def end(self) -> datetime | None: ...


@dataclass(frozen=True)
class Part:
    """What one file, a part of a query, or a function gave: typed rows of the span, columns left out, and how many rows were."""

    frame: pl.DataFrame
    left_out: Sequence[str] = ()
    outside: int = 0


def typed_rows(spec: TableSpec, frame: pl.DataFrame, span: Span, where: str, before: int = 0) -> Part:
    """Rows that came as a frame, `before` others of the same source having come earlier."""
    refuse_columns(spec, dict(frame.schema), where)
    left_out = [name for name in frame.columns if name not in spec.columns]
    rows = frame.select(*spec.columns).with_row_index(ROW, before)
    part = rows_of_span(spec, rows, span, where, left_out)
    return Part(part.frame, part.left_out, frame.height - part.frame.height)


def refuse_columns(spec: TableSpec, schema: dict[str, Any], where: str) -> None:
    """Raise SourceError for the first column of the spec that the source lacks, or has in a type that cannot be it."""
    has = [f"{name} ({kind})" for name, kind in schema.items() if name != ROW]
    shown = ", ".join(has[:SHOWN]) + (f" and {len(has) - SHOWN} more" if len(has) > SHOWN else "")
    for name, column in spec.columns.items():
        if name not in schema:
            raise SourceError(
                f"{where} has no column {name!r}; it has {shown or 'none'}: correct columns, or the source"
            )
        if why := unfit(column.kind, schema[name]):
            raise SourceError(f"{where}: column {name!r} is {why}; the source has {shown}")


def rows_of_span(
    spec: TableSpec, rows: pl.DataFrame, span: Span, where: str, left_out: Sequence[str]
) -> Part:
    """Rows of the span in their types, the time first: what is wrong in other rows is no matter here."""
    if spec.time:
        at = _column(spec, rows, spec.time, where)
        rows = rows.with_columns(at)
        if span.start is not None and span.end is not None:
            rows = rows.filter(pl.col(spec.time).is_between(span.start, span.end, closed="left"))
    rest = [name for name in spec.columns if name != spec.time]
    frame = rows.with_columns(_column(spec, rows, name, where) for name in rest)
    return Part(frame.select(*spec.columns), left_out)


def _column(spec: TableSpec, rows: pl.DataFrame, name: str, where: str) -> pl.Series:
    column, given = spec.columns[name], rows[name]
    values, bad = typed(given, column.kind, spec.timezone or "UTC")
    if bad is not None:
        raise SourceError(
            f"{where}, row {rows[ROW][bad] + 1}, column {name!r}: {_shown(given, bad)} is not {FITS[column.kind]}: "
            "correct it in the source, or declare another type"
        )
    if not column.nullable and values.has_nulls():
        row = rows[ROW][int(values.is_null().arg_true()[0])] + 1
        raise SourceError(
            f"{where}, row {row}, column {name!r}: a value is missing, and the column is declared {column.type}: fill it "
            f"in the source, or declare '{column.type} | null'"
        )
    return values.cast(TYPES[column.kind])


def _shown(given: pl.Series, row: int) -> str:
    try:
        value = given[row]
    except (ValueError, OverflowError):  # a moment beyond what Python can show
        value = given.to_physical()[row]
    text = str(value) if isinstance(value, datetime) else repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
