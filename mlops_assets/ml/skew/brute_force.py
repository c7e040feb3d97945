"""What was known at a moment, worked out a second time and independently of the feature store."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

import polars as pl

from mlops_assets.ml.values import alike
from mlops_assets.spec.columns import ASKED_AT, KNOWN_AT, ROW


@dataclass(frozen=True)
class ViewTable:
    """A feature view's rows beside its rules; `ttl` None means that a value never expires.

    Of rows that tie on the event timestamp the one created last counts, if the rows have that column.
    """

    view: str
    rows: pl.DataFrame
    keys: Sequence[str]
    features: Sequence[str]
    ttl: timedelta | None
    event_timestamp: str = "event_timestamp"
    created: str = "created"


def as_of(questions: pl.DataFrame, time: str, table: ViewTable) -> pl.DataFrame:
    """The newest row of a view at or before each question's moment, null where there is none or it has expired.

    Returns the features and `_known`, the event timestamp used; one row a question, in the questions' order.
    """
    in_question, rows = alike(
        questions.select(*table.keys, pl.col(time).alias(ASKED_AT)).with_row_index(ROW),
        table.rows,
        table.keys,
    )
    order = [name for name in (table.event_timestamp, table.created) if name in rows.columns]
    known = (
        rows.sort(order, nulls_last=False, maintain_order=True)
        .join(in_question.select(table.keys).unique(), on=list(table.keys), how="semi", maintain_order="left")
        .select(*table.keys, pl.col(table.event_timestamp).alias(KNOWN_AT), *table.features)
    )
    answers = in_question.sort(ASKED_AT).join_asof(
        known,
        left_on=ASKED_AT,
        right_on=KNOWN_AT,
        by=list(table.keys),
        strategy="backward",
        tolerance=table.ttl,
        check_sortedness=False,
        coalesce=False,
    )
    return answers.sort(ROW).select(KNOWN_AT, *table.features)


def cells_that_differ(
    questions: pl.DataFrame, joined: pl.DataFrame, time: str, table: ViewTable
) -> dict[str, int]:
    """Per feature of one view, how many joined cells are not what was known at the question's moment."""
    return {name: int(cells.sum()) for name, cells in differing(questions, joined, time, table).items()}


def differing(
    questions: pl.DataFrame, joined: pl.DataFrame, time: str, table: ViewTable, whole: bool = True
) -> dict[str, pl.Series]:
    """Per feature of one view which joined cells are not what was known, features of which all are left out.

    Where the table's rows are not the `whole` of what may count, a question that none of them answers is not judged.
    """
    expected = as_of(questions, time, table)
    judged = expected[KNOWN_AT].is_not_null() | whole
    differ = {name: ~_same(expected[name], joined[name]) & judged for name in table.features}
    return {name: cells for name, cells in differ.items() if cells.any()}


def _same(expected: pl.Series, answer: pl.Series) -> pl.Series:
    """Whether cells are the same: numbers and flags within rounding, NaN being null, anything else exactly."""
    if not all(one.dtype.is_numeric() or one.dtype == pl.Boolean for one in (expected, answer)):
        return expected.eq_missing(answer)
    expected, answer = expected.cast(pl.Float64), answer.cast(pl.Float64)
    gap = (expected - answer).abs() <= 1e-5 * expected.abs().clip(1.0)
    both_missing = (expected.is_null() | expected.is_nan()) & (answer.is_null() | answer.is_nan())
    return gap.fill_null(False) | both_missing.fill_null(True)
