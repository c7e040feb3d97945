"""What follows each row of a table, told anew with every later row that changes it."""

from collections.abc import Mapping, Sequence
from datetime import datetime

import polars as pl

from mlops_assets.ml.aggregates.expressions import expression, kind_of
from mlops_assets.ml.typed import INSTANT
from mlops_assets.spec.outcomes import GIVES, KNOWN_AT, Outcome
from mlops_assets.spec.typed_columns import Column, Kind

ROW, AT, VALUE = "_row", "_at", "_value"
NUMBERS = ("int", "float")


def following_rows(
    rows: pl.DataFrame,
    name: str,
    asked: Outcome,
    row: Sequence[str],
    time: str,
    start: datetime,
    end: datetime,
) -> pl.DataFrame:
    """The columns that name a row, the outcome `name`, and `known_at`: a line for each row and each moment in `[start, end)`
    at which a later row of its key changes the outcome, which is what it has come to by then.

    `rows` are those of the table whose time lies at most `within` before `start`, and before `end`.
    """
    counts = pl.lit(True) if asked.where is None else expression(asked.where, dict.fromkeys(rows.columns))
    value = pl.lit(1) if asked.sum is None else expression(asked.sum, dict.fromkeys(rows.columns))
    later = (
        rows.drop_nulls(asked.key)
        .filter(counts)
        .select(*asked.key, pl.col(time).cast(INSTANT).alias(KNOWN_AT), value.alias(VALUE))
        .drop_nulls(VALUE)
        .group_by(*asked.key, KNOWN_AT)
        .agg(pl.col(VALUE).sort().sum())
    )
    reached = later.filter(pl.col(KNOWN_AT) >= start).select(asked.key).unique()
    before = rows.join(reached, on=asked.key, how="semi").with_row_index(ROW)
    pairs = (
        before.select(ROW, *asked.key, pl.col(time).cast(INSTANT).alias(AT))
        .join(later, on=asked.key)
        .filter(pl.col(KNOWN_AT) > pl.col(AT), pl.col(KNOWN_AT) <= pl.col(AT) + asked.within)
        .sort(ROW, KNOWN_AT)
    )
    total = pl.col(VALUE).cum_sum().over(ROW)
    if asked.word == "any":
        pairs, total = pairs.unique(ROW, keep="first", maintain_order=True), pl.lit(1, pl.Int64)
    kind = pl.Float64 if later.schema[VALUE].is_float() else pl.Int64
    told = pairs.select(ROW, total.cast(kind).alias(name), KNOWN_AT).filter(
        pl.col(KNOWN_AT).is_between(start, end, closed="left")
    )
    found = told.join(before.select(ROW, *row), on=ROW, how="left", maintain_order="left")
    return found.select(*row, name, KNOWN_AT).sort(KNOWN_AT, *row)


def outcome_kind(asked: Outcome, columns: Mapping[str, Column]) -> Kind:
    """What an outcome is. Raises ValueError for a sum of what is no number, and a filter that is no condition."""
    if asked.where is not None and (found := kind_of(asked.where, columns)) != "bool":
        raise ValueError(f"where {asked.where!r} is {found}, and must be true or false: write a condition")
    if asked.sum is None:
        return GIVES[asked.word]
    kind = kind_of(asked.sum, columns)
    if kind not in NUMBERS:
        raise ValueError(f"sum of {asked.sum!r}, which is {kind}: sum takes {' or '.join(NUMBERS)}")
    return kind
