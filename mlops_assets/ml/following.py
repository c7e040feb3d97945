"""What follows each row of a table, told anew with every later row that changes it."""

from collections.abc import Mapping, Sequence
from datetime import datetime

import polars as pl

from mlops_assets.ml.aggregates.apart import kind_of
from mlops_assets.ml.aggregates.kinds import expression
from mlops_assets.ml.typed import INSTANT
from mlops_assets.spec.outcomes import GIVES, KNOWN_AT, Outcome
from mlops_assets.spec.typed_columns import Column, Kind

ROW, AT, VALUE = "_row", "_at", "_value"
NUMBERS = ("int", "float")


def following_rows(
    rows: pl.DataFrame,
    name: str,
    outcome: Outcome,
    row: Sequence[str],
    time: str,
    start: datetime,
    end: datetime,
) -> pl.DataFrame:
    """The columns that name a row, the outcome `name`, and `known_at`: a line for each row and each moment in `[start, end)`
    at which a later row of its key changes the outcome, which is what it has come to by then.

    `rows` are those of the table whose time lies at most `within` before `start`, and before `end`.
    """
    counts = pl.lit(True) if outcome.where is None else expression(outcome.where, dict.fromkeys(rows.columns))
    value = pl.lit(1) if outcome.sum is None else expression(outcome.sum, dict.fromkeys(rows.columns))
    later = (
        rows.drop_nulls(outcome.key)
        .filter(counts)
        .select(*outcome.key, pl.col(time).cast(INSTANT).alias(KNOWN_AT), value.alias(VALUE))
        .drop_nulls(VALUE)
        .group_by(*outcome.key, KNOWN_AT)
        .agg(pl.col(VALUE).sort().sum())
    )
    reached = later.filter(pl.col(KNOWN_AT) >= start).select(outcome.key).unique()
    before = rows.join(reached, on=outcome.key, how="semi").with_row_index(ROW)
    pairs = (
        before.select(ROW, *outcome.key, pl.col(time).cast(INSTANT).alias(AT))
        .join(later, on=outcome.key)
        .filter(pl.col(KNOWN_AT) > pl.col(AT), pl.col(KNOWN_AT) <= pl.col(AT) + outcome.within)
        .sort(ROW, KNOWN_AT)
    )
    total = pl.col(VALUE).cum_sum().over(ROW)
    if outcome.word == "any":
        pairs, total = pairs.unique(ROW, keep="first", maintain_order=True), pl.lit(1, pl.Int64)
    kind = pl.Float64 if later.schema[VALUE].is_float() else pl.Int64
    changes = pairs.select(ROW, total.cast(kind).alias(name), KNOWN_AT).filter(
        pl.col(KNOWN_AT).is_between(start, end, closed="left")
    )
    named = changes.join(before.select(ROW, *row), on=ROW, how="left", maintain_order="left")
    return named.select(*row, name, KNOWN_AT).sort(KNOWN_AT, *row)


def outcome_kind(outcome: Outcome, columns: Mapping[str, Column]) -> Kind:
    """What an outcome is. Raises ValueError for a sum of what is no number, and a filter that is no condition."""
    if outcome.where is not None and (condition := kind_of(outcome.where, columns)) != "bool":
        raise ValueError(
            f"where {outcome.where!r} is {condition}, and must be true or false: write a condition"
        )
    if outcome.sum is None:
        return GIVES[outcome.word]
    kind = kind_of(outcome.sum, columns)
    if kind not in NUMBERS:
        raise ValueError(f"sum of {outcome.sum!r}, which is {kind}: sum takes {' or '.join(NUMBERS)}")
    return kind
