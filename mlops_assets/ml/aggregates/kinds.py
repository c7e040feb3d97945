"""An expression of one row, and the kind of its values; run as a program, it answers questions about kinds.

Polars starts threads to work one out. A process that loads the definitions and has threads cannot be forked for a run, so
that each run would import everything again, for eight seconds: such a process asks this program (`apart`).
"""

import json
import re
import sys
from collections.abc import Mapping
from typing import Any

import polars as pl

from mlops_assets.ml.typed import TYPES
from mlops_assets.spec.typed_columns import Kind

TEXTS = re.compile("'[^']*'|\"[^\"]*\"")
OVER_ROWS = re.compile(r"\bover\s*\(|\bselect\b|\brandom\b", re.IGNORECASE)
SHOWN = 3


def main() -> None:
    """Answer each line, a question in JSON, with another line, until nobody asks any more."""
    for line in sys.stdin:
        try:
            answer = {"kind": work_out_kind(*json.loads(line))}
        except ValueError as error:
            answer = {"error": str(error)}
        print(json.dumps(answer), flush=True)


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


def work_out_kind(text: str, columns: Mapping[str, Kind]) -> Kind:
    """The kind of an expression's values, by trying it on rows without any; polars starts threads for that.

    Raises ValueError for an expression that names no column, is made of several rows, or has no kind.
    """
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


if __name__ == "__main__":
    main()
