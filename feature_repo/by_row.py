"""A function of one row as an on-demand view of stock Feast, said once for Feast and for an endpoint.

Feast's python mode gives a function the columns of all rows, and its singleton mode those of the first row alone online and of
all rows offline. What stands between is made here: rows out of columns, in the types that the view declares. No Feast is
imported; its decorator is given.
"""

import ast
import hashlib
import inspect
import textwrap
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC
from typing import Any

import numpy as np

from feature_repo.forms import Form

WHOLE = ("Int32", "Int64")
TYPED: Mapping[str, Callable[[Any], Any]] = {
    "Float32": np.float32,
    "Float64": float,
    "Int32": np.int32,
    "Int64": int,
    "String": str,
    "Bool": bool,
}
"""What a value of a feature becomes, by Feast's name of its type; Feast tells the type of a column by its first value."""

Columns = Mapping[str, Sequence[Any]]


def view_by_row(
    form: Form, decorator: Callable[..., Any], *, sources: list[Any], schema: list[Any], **said: Any
) -> Any:
    """The on-demand view of a form with a `scalar` function: Feast calls that for every row, online and offline.

    `decorator` is Feast's `on_demand_feature_view`, and `sources`, `schema` and the rest are what it takes. The function is
    given None for a missing value, and numbers in the types that the sources declare. When definitions are applied Feast
    tries it on values of its own (1, 1.0, "hello world", True): it must give each feature a value for them. Raises ValueError for
    a form without a scalar at the top level of a module, and for a feature of a type that no model takes.
    """
    scalar = form.scalar
    if scalar is None:
        raise ValueError(f"the form of the on-demand view {form.view!r} has no scalar function: give one")
    if scalar.__qualname__ != scalar.__name__:
        raise ValueError(
            f"the scalar function {scalar.__qualname__} of {form.view!r} is made inside of another one, and Feast imports it by "
            "its name: put it at the top level of a module"
        )
    given, gives = _types(sources), _types([_Fields(schema)])
    for name, kind in gives.items():
        if kind not in TYPED:
            raise ValueError(
                f"feature {name!r} of {form.view!r} is {kind}, which a function of one row cannot give: declare one of "
                f"{', '.join(TYPED)}"
            )
    reads = form.reads

    def by_lists(columns: Columns) -> dict[str, list[Any]]:
        return rows_of(scalar, reads, given, gives, columns)

    by_lists.__doc__ = scalar.__doc__
    view = decorator(name=form.view, sources=sources, schema=schema, mode="python", **said)(by_lists)
    if hasattr(view, "feature_transformation"):
        view.udf_string = view.feature_transformation.udf_string = _text(scalar, reads, given, gives)
    return view


def _text(
    scalar: Callable[..., Any], reads: Sequence[str], given: Mapping[str, str], gives: Mapping[str, str]
) -> str:
    """The source that Feast keeps in its registry and runs to have the function again, alone: so it imports what it calls.

    The digest is of the function's own source, by which a change of it is seen.
    """
    return (
        "def by_lists(columns):\n"
        "    from feature_repo.by_row import rows_of\n"
        f"    from {scalar.__module__} import {scalar.__name__} as scalar\n"
        f"    digest = {_digest(scalar)!r}\n"
        f"    return rows_of(scalar, {tuple(reads)!r}, {dict(given)!r}, {dict(gives)!r}, columns)\n"
    )


def _digest(scalar: Callable[..., Any]) -> str:
    """A hash of the function's source without comments, docstring and layout."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(scalar)))
    function: Any = tree.body[0]
    if ast.get_docstring(function):
        function.body = function.body[1:] or [ast.Pass()]
    return hashlib.sha256(ast.dump(tree).encode()).hexdigest()[:16]


def rows_of(
    scalar: Callable[..., Mapping[str, Any]],
    reads: Sequence[str],
    given: Mapping[str, str],
    gives: Mapping[str, str],
    columns: Columns,
) -> dict[str, list[Any]]:
    """The features of all rows; `given` and `gives` have the types of what is read and given."""
    lists = [[_read(value, given.get(name, "")) for value in columns[name]] for name in reads]
    rows = [scalar(**dict(zip(reads, row, strict=True))) for row in zip(*lists, strict=True)]
    return {name: [_given(row[name], TYPED[kind]) for row in rows] for name, kind in gives.items()}


class _Fields:
    """A schema where a source is expected."""

    def __init__(self, schema: Sequence[Any]) -> None:
        self.schema = schema


def _types(sources: Sequence[Any]) -> dict[str, str]:
    """Feast's names of the types of all fields; those of what stands in for Feast are not known, and not needed."""
    fields = [
        field
        for source in sources
        for field in (getattr(source, "schema", None) or getattr(source, "features", None) or [])
    ]
    return {field.name: str(field.dtype) for field in fields if hasattr(field, "dtype")}


def _read(value: Any, kind: str) -> Any:
    """A value as the online store gives it: offline, frames have made missing ones NaN and whole numbers floats."""
    if value is None or value != value:  # NaN and pandas' NaT
        return None
    if kind == "Float32":
        return float(np.float32(value))
    if kind in WHOLE:
        return int(value)
    if kind == "UnixTimestamp" and hasattr(value, "astimezone"):
        moment = value.to_pydatetime() if hasattr(value, "to_pydatetime") else value
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    return value


def _given(value: Any, typed: Callable[[Any], Any]) -> Any:
    with np.errstate(over="ignore"):
        return None if value is None or value != value else typed(value)
