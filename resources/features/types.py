"""Feast's types, each decided: what may be a feature of a model, and what JSON can hold of a request or an event.

A type is named as Feast prints it: `Float32`, `Array(Int64)`, `Struct({a: String})`.
"""

from collections.abc import Collection, Iterable
from typing import Annotated, Any

import polars as pl
from pydantic import Field, StrictBool, StrictFloat, StrictInt, StrictStr

from resources.features.errors import FeatureStoreError
from resources.moments import Moment

INSTANT = pl.Datetime("us", "UTC")
FLOAT32 = 3.4028234e38
FEATURES: dict[str, Any] = {
    "Bool": pl.Boolean,
    "Int32": pl.Int32,
    "Int64": pl.Int64,
    "Float32": pl.Float32,
    "Float64": pl.Float64,
    "String": pl.String,
}
"""What a model can be given, as columns: numbers, a Bool as 0 and 1, and text as a category."""

COLUMNS = FEATURES | {"UnixTimestamp": INSTANT}
"""What a request or an event can hold beside lists of it."""

REQUEST_TYPES: dict[str, Any] = {
    "Bool": bool,
    "Int32": int,
    "Int64": int,
    "Float32": float,
    "Float64": float,
    "String": str,
    "UnixTimestamp": Moment,
}
PUSHED: dict[str, Any] = {
    "Bool": StrictBool,
    "Int32": Annotated[StrictInt, Field(ge=-(2**31), lt=2**31)],
    "Int64": Annotated[StrictInt, Field(ge=-(2**63), lt=2**63)],
    "Float32": Annotated[StrictFloat, Field(ge=-FLOAT32, le=FLOAT32)],
    "Float64": Annotated[StrictFloat, Field(allow_inf_nan=False)],
    "String": Annotated[StrictStr, Field(min_length=1)],
    "UnixTimestamp": Moment,
}
NOT_FOR_MODELS = frozenset(
    {
        *("UnixTimestamp", "ZonedTimestamp", "Bytes", "PdfBytes", "ImageBytes", "Map", "ScalarMap", "Json"),
        *("Uuid", "TimeUuid", "Decimal", "Invalid"),
    }
)
"""Types of one value that a service may store and an on-demand view may read, but that no model takes."""

OF_MANY = ("Array(", "Set(", "Struct(")


def is_known(kind: str) -> bool:
    """Whether somebody has decided what becomes of a type; one that a later Feast adds is not."""
    return kind in FEATURES or kind in NOT_FOR_MODELS or kind.startswith(OF_MANY)


def refused_feature(view: str, feature: str, kind: str, service: str) -> str | None:
    """Why a field cannot be a feature of a model, and what to do instead; None where it can."""
    if kind in FEATURES:
        return None
    return (
        f"feature {feature!r} of view {view!r} is {kind}, and a model takes {_listed(FEATURES)}: let an on-demand view "
        f"make one of these of it, or leave it out of feature service {service!r}"
    )


def refused_input(column: str, kind: str, service: str) -> str | None:
    """Why a request that is made from the service cannot hold a column, and what to do instead; None where it can."""
    if held(kind, REQUEST_TYPES) is not None:
        return None
    return (
        f"column {column!r}, by which feature service {service!r} is asked, is {kind}, and a JSON request holds "
        f"{_listed(REQUEST_TYPES)} and Arrays of these: give the model a request of its own in prediction.request"
    )


def refused_event(column: str, kind: str, source: str) -> str | None:
    """Why an event cannot hold a column, and what to do instead; None where it can."""
    if held(kind, PUSHED) is not None:
        return None
    return (
        f"push source {source!r}: the column {column!r} is {kind}, and a JSON event holds {_listed(PUSHED)} and Arrays "
        "of these: move it to a view of its own, or write the rows to the table of the view"
    )


def request_types(columns: Iterable[tuple[str, str]], keys: Collection[str], service: str) -> dict[str, Any]:
    """Python type of every column (name, type) of a request; raises FeatureStoreError for one that JSON cannot hold.

    A join key must be there, for it names what is asked about; a request column may be null, its type is `... | None`.
    """
    types = {}
    for name, kind in columns:
        if problem := refused_input(name, kind, service):
            raise FeatureStoreError(problem)
        types[name] = held(kind, REQUEST_TYPES) if name in keys else held(kind, REQUEST_TYPES) | None
    return types


def held(kind: str, values: dict[str, Any]) -> Any:
    """The type of a value in JSON; None where JSON cannot hold one."""
    if kind.startswith("Array("):
        inner = held(kind[len("Array(") : -1], values)
        return None if inner is None else list[inner]
    return values.get(kind)


def column(kind: str) -> Any:
    """The type of a column that holds what a request or an event had."""
    return pl.List(column(kind[len("Array(") : -1])) if kind.startswith("Array(") else COLUMNS[kind]


def _listed(names: dict[str, Any]) -> str:
    *most, last = sorted(names)
    return f"{', '.join(most)} or {last}"


def stable(values: pl.Series, dtype: Any) -> pl.Series:
    """Values as a column of its type, NaN as null."""
    has_nan = values.dtype.is_float() and bool(values.is_nan().any())
    return (values.fill_nan(None) if has_nan else values).cast(dtype)
