"""What an aggregate is made of, as polars' expressions of one row: a column, or polars' SQL."""

from collections.abc import Mapping

import polars as pl

from mlops_assets.ml.aggregates.apart import kind_of
from mlops_assets.ml.aggregates.kinds import expression
from mlops_assets.ml.typed import TYPES
from mlops_assets.spec.aggregates import Aggregate
from mlops_assets.spec.typed_columns import Column, Kind

KINDS: Mapping[str, tuple[Kind, ...]] = {
    "sum": ("int", "float"),
    "mean": ("int", "float"),
    "min": ("int", "float"),
    "max": ("int", "float"),
    "last": ("int", "float", "str", "bool"),
    "distinct": ("int", "str", "bool", "date"),
    "rate": ("bool",),
}
"""Which values an aggregate takes."""

GIVES: Mapping[str, Kind] = {
    "count": "int",
    "distinct": "int",
    "time_since": "int",
    "gap": "int",
    "span": "int",
    "mean": "float",
    "rate": "float",
}
"""What an aggregate gives, where that is not the kind of its values."""


def value_kind(one: Aggregate, columns: Mapping[str, Column]) -> Kind:
    """What a feature is. Raises ValueError for an aggregate that its values do not allow, and a filter that is none."""
    if one.where is not None and (condition := kind_of(one.where, columns)) != "bool":
        raise ValueError(f"where {one.where!r} is {condition}, and must be true or false: write a condition")
    if one.of is None:
        return GIVES[one.word]
    kind = kind_of(one.of, columns)
    if kind not in KINDS[one.word]:
        raise ValueError(
            f"{one.word} of {one.of!r}, which is {kind}: {one.word} takes {' or '.join(KINDS[one.word])}"
        )
    return GIVES.get(one.word, kind)


def values_of(one: Aggregate, columns: Mapping[str, Column]) -> pl.Expr:
    """The value that a row has for a feature; null where it does not count."""
    value = (
        pl.lit(True) if one.of is None else expression(one.of, columns).cast(TYPES[kind_of(one.of, columns)])
    )
    if one.of is not None and kind_of(one.of, columns) == "float":
        value = pl.when(value.is_finite()).then(value)
    return value if one.where is None else pl.when(expression(one.where, columns)).then(value)
