"""Every type that Feast has, with a value of it as a table holds it."""

import contextlib
from datetime import UTC, datetime
from typing import Any

import polars as pl

INSTANT = pl.Datetime("us", "UTC")
NOON = datetime(2024, 1, 2, 12, tzinfo=UTC)
UUID = "6fa459ea-ee8a-3ca4-894e-db77e160355e"
STORED: dict[str, tuple[Any, Any]] = {
    "Bool": (pl.Boolean, True),
    "Int32": (pl.Int32, -7),
    "Int64": (pl.Int64, 2**40),
    "Float32": (pl.Float32, 1.5),
    "Float64": (pl.Float64, 0.1),
    "String": (pl.String, "Ærø"),
    "UnixTimestamp": (INSTANT, NOON),
    "ZonedTimestamp": (INSTANT, NOON),
    "Bytes": (pl.Binary, b"\x00\xff"),
    "PdfBytes": (pl.Binary, b"%PDF"),
    "ImageBytes": (pl.Binary, b"\x89PNG"),
    "Uuid": (pl.String, UUID),
    "TimeUuid": (pl.String, "d8d1a5c8-9f5b-11ee-8c90-0242ac120002"),
    "Decimal": (pl.String, "1.10"),
    "Json": (pl.String, '{"a": 1}'),
}
"""For each type of one value that a parquet file of polars holds: its column type and a value."""


def stored(kind: str) -> tuple[Any, Any] | None:
    """The column type and a value of a type; None of one that no column of polars is."""
    for many in ("Array(", "Set("):
        if kind.startswith(many):
            inner = stored(kind[len(many) : -1])
            return None if inner is None else (pl.List(inner[0]), [inner[1]])
    if kind == "Struct({a: String})":
        return pl.Struct({"a": pl.String}), {"a": "b"}
    return STORED.get(kind)


def every_type() -> list[Any]:
    """All of Feast's types: those of one value, lists and sets of each that may have one, nested ones, a structure."""
    from feast.types import Array, PrimitiveFeastType, Set, Struct

    single = [one for one in PrimitiveFeastType if one is not PrimitiveFeastType.INVALID]
    found = [*single]
    for many in (Array, Set):
        for one in single:
            with contextlib.suppress(ValueError, KeyError):
                kind = many(one)
                kind.to_value_type()
                found.append(kind)
    fields = {"a": PrimitiveFeastType.STRING}
    return [*found, Array(Array(PrimitiveFeastType.INT64)), Struct(fields), Array(Struct(fields))]
