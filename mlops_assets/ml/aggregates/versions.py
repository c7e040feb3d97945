"""The rows of a table as what was known of each, and from when to when: a later version of a row takes the place of one before."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from mlops_assets.ml.aggregates.expressions import value_kind, values_of
from mlops_assets.ml.typed import INSTANT
from mlops_assets.spec.aggregates import Aggregate, Aggregates
from mlops_assets.spec.typed_columns import Column, Kind

TIME, KNOWN, UNTIL = "_time", "_known", "_until"
NEVER = 1 << 62
"""In microseconds: later than any moment."""


class AggregateError(Exception):
    """Rows of which nothing decides what they add up to, or whose aggregate no feature can hold."""


@dataclass(frozen=True)
class Shape:
    """What a table's columns are to its aggregates.

    Rows that agree in `row` and in `time` are versions of one row; of those that are known by a moment the newest counts.
    `known` None: every row is known at its time.
    """

    columns: Mapping[str, Column]
    row: Sequence[str]
    time: str
    known: str | None = None

    def needs(self, aggregates: Aggregates) -> list[str]:
        """The columns that the aggregates are made of, in the table's order."""
        roots = {
            name
            for one in aggregates.features.values()
            for name in values_of(one, self.columns).meta.root_names()
        }
        named = {*self.row, self.time, *([self.known] if self.known else ()), *aggregates.key, *roots}
        return [name for name in self.columns if name in named]

    def kinds(self, aggregates: Aggregates) -> dict[str, Kind]:
        """What each feature is. Raises ValueError for one that cannot be."""
        return {name: value_kind(one, self.columns) for name, one in aggregates.features.items()}


def refuse_unfit_sql(view: str, aggregates: Aggregates, columns: Mapping[str, Column]) -> None:
    """Raise ValueError for an aggregate that these columns do not allow, with its name."""
    for name, one in aggregates.features.items():
        try:
            value_kind(one, columns)
        except ValueError as error:
            raise ValueError(f"aggregates.{view}.features.{name}: {error}") from error


def columns_of(features: Sequence[Aggregate]) -> list[str]:
    """For each feature the column with a row's value; those that take one value of one choice of rows share it."""
    columns: dict[tuple[str | None, str | None], str] = {}
    return [columns.setdefault((one.of, one.where), f"_value_{n}") for n, one in enumerate(features)]


def versions_of(rows: pl.DataFrame, aggregates: Aggregates, shape: Shape) -> pl.DataFrame:
    """Key, time, when it was known and until when it counts (microseconds), and the row's values (`columns_of`).

    Rows without a key are left out, and sorted from the oldest to the newest; those that are the same in all columns that
    are needed are one.

    Raises AggregateError where two versions of one row became known at one moment and say different things.
    """
    moment = pl.col(shape.known or shape.time)
    versions = [*shape.row, shape.time]
    order = [shape.time, *([shape.known] if shape.known else ()), *shape.row]
    ordered = rows.select(shape.needs(aggregates)).sort(order)
    if ordered.select(
        pl.all_horizontal([pl.col(n).eq_missing(pl.col(n).shift()) for n in order]).any()
    ).item():
        ordered = ordered.unique(maintain_order=True)
        _refuse_undecided(ordered, order, shape)
    replaced = moment.shift(-1).over(versions) if shape.known else pl.lit(None, INSTANT)
    ordered = ordered.with_columns(replaced.alias(UNTIL))
    features = [*aggregates.features.values()]
    values = dict(zip(columns_of(features), features, strict=True))
    return ordered.drop_nulls(aggregates.key).select(
        *aggregates.key,
        pl.col(shape.time).cast(pl.Int64).alias(TIME),
        moment.cast(pl.Int64).alias(KNOWN),
        pl.col(UNTIL).cast(pl.Int64).fill_null(NEVER),
        *(values_of(one, shape.columns).alias(column) for column, one in values.items()),
    )


def _refuse_undecided(rows: pl.DataFrame, names: Sequence[str], shape: Shape) -> None:
    same = [pl.col(name) == pl.col(name).shift() for name in names]
    twins = rows.with_row_index("_at").filter(pl.all_horizontal(same)).head(1)
    if twins.height:
        one, other = rows.slice(int(twins["_at"][0]) - 1, 2).to_dicts()
        raise AggregateError(
            f"two rows are the same row ({', '.join(shape.row)}), known at one moment, and say different things, {_said(one)} "
            f"and {_said(other)}: name a key that tells them apart, or a known_at that says which is newer"
        )


def _said(row: Mapping[str, Any]) -> str:
    return "(" + ", ".join(f"{name} {value}" for name, value in row.items()) + ")"
