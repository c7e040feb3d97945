"""What an aggregate is made of, as polars' expressions of one row: a column, or polars' SQL."""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import polars as pl

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

OF_VALUES: tuple[Kind, ...] = ("int", "float", "str", "bool", "date")
TEXTS = re.compile("'[^']*'|\"[^\"]*\"")
OVER_ROWS = re.compile(r"\bover\s*\(|\bselect\b|\brandom\b", re.IGNORECASE)
SHOWN = 3


def expression(text: str, columns: Mapping[str, Any]) -> pl.Expr:
    """A column by its name, or the expression that SQL says. Raises ValueError for what is neither."""
    if text in columns:
        return pl.col(text)
    try:
        return pl.sql_expr(text)
    except pl.exceptions.PolarsError as error:
        raise ValueError(
            f"{text!r} is no column and no SQL that polars reads: {_first(error)}; there are {', '.join(columns)}"
        ) from error


def kind_of(text: str, columns: Mapping[str, Column]) -> Kind:
    """The kind of the values of a column or an expression.

    Raises ValueError for one that names no column, is made of several rows, or has no kind.
    """
    return _kind_among(text, tuple((name, one.kind) for name, one in columns.items()))


@lru_cache(maxsize=1024)
def _kind_among(text: str, kinds: tuple[tuple[str, Kind], ...]) -> Kind:
    columns = dict(kinds)
    if columns.get(text) in OF_VALUES:  # without polars, whose threads would keep a process from being forked
        return columns[text]
    expression_of_row = expression(text, columns)
    if call := OVER_ROWS.search(TEXTS.sub("", text)):
        raise ValueError(f"{text!r} has {call[0]!r}, and a value is made of one row: leave it out")
    rows = pl.DataFrame(
        {name: pl.Series([None] * SHOWN, dtype=TYPES[kind]) for name, kind in columns.items()}
    )
    try:
        values = rows.select(expression_of_row.alias("_value"))
    except pl.exceptions.PolarsError as error:
        raise ValueError(
            f"{text!r} cannot be computed: {_first(error)}; there are {', '.join(columns)}"
        ) from error
    if values.height != SHOWN:
        raise ValueError(
            f"{text!r} makes one value of several rows, and a value is made of one row: leave that out"
        )
    return _kind(text, values.schema["_value"])


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


def _kind(text: str, dtype: pl.DataType) -> Kind:
    if dtype.is_integer():
        return "int"
    if dtype.is_float():
        return "float"
    kinds: dict[Any, Kind] = {pl.String: "str", pl.Boolean: "bool", pl.Date: "date"}
    if dtype not in kinds:
        raise ValueError(f"{text!r} is {dtype}, and must be a number, a text, true or false, or a day")
    return kinds[dtype]


def _first(error: Exception) -> str:
    return str(error).splitlines()[0]
