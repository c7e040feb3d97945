"""A table as a feature view too: by which key its values are looked up, which of them, and from when on they count."""

from collections.abc import Mapping
from typing import Any, Literal

import pydantic
from pydantic import Field

from mlops_assets.spec.base import Duration, Part
from mlops_assets.spec.columns import CREATED, EVENT_TIME
from mlops_assets.spec.typed_columns import Column, of_kind

KEY_KINDS = ("int", "str")
CONTENT_KNOWN_AT = "content_known_at"
IN_FEATURE_TABLES = (EVENT_TIME, CONTENT_KNOWN_AT, CREATED)
FEATURE_TYPES: dict[str, Literal["Int64", "Float32", "String", "Bool"]] = {
    "int": "Int64",
    "float": "Float32",
    "str": "String",
    "bool": "Bool",
}
"""Type of a column in the feature table, as Feast prints it."""

NO_VIEWS = ("registry", "online")
"""Assets beside the feature tables: what the feature store knows, and what is online."""


class Features(Part):
    """The table as a feature view too: by which key its values are looked up, and which of them."""

    key: list[str] = Field(min_length=1, description="Columns by which the features are joined.")
    columns: list[str] | None = Field(
        default=None,
        min_length=1,
        description="The features; by default every column that can be one, besides key, time and known_at.",
    )
    ttl: Duration | None = Field(
        default=None, description="A value older than this is not used; by default never too old."
    )
    view: str | None = Field(
        default=None,
        pattern=r"^[a-z][a-z0-9_]*$",
        description="Name of the feature view; by default the table's.",
    )

    @pydantic.field_validator("view")
    @classmethod
    def _is_free(cls, value: str | None) -> str | None:
        return value and free_view(value)

    @pydantic.field_validator("ttl")
    @classmethod
    def _lives(cls, value: Any) -> Any:
        if value is not None and not value:
            raise ValueError(
                "a value that lives for 0s is never used: give a longer ttl, or leave it out for ever"
            )
        return value


def free_view(name: str) -> str:
    """The name of a view, or ValueError where an asset of the use case has it."""
    if name in NO_VIEWS:
        raise ValueError(
            f"view {name!r} has the name of an asset beside the feature tables: give another in features.view"
        )
    return name


def refuse_unknown_in_time(table: Mapping[str, Any]) -> None:
    """Raise ValueError where rows may become known when no partition would take them as features any more."""
    known = table["known_at"]
    if table["time"] and known not in (None, table["time"]) and not table["lateness"]:
        raise ValueError(
            f"features count from known_at={known!r}, which may lie after the end of a row's partition, and lateness is "
            "0s: give in lateness how long after that end a row may become known, for example 6h"
        )


def features_of_table(features: Features, table: Mapping[str, Any]) -> list[str]:
    """The features by name; ValueError for a key that is none, and for a column that no model takes."""
    columns: dict[str, Column] = table["columns"]
    of_kind(
        "features.key",
        features.key,
        columns,
        KEY_KINDS,
        "features are looked up by numbers and texts",
        null=True,
    )
    fixed = {*features.key, table["time"], table["known_at"]}
    able = [name for name, one in columns.items() if one.kind in tuple(FEATURE_TYPES)]
    named = features.columns or [name for name in able if name not in {*fixed, *table["key"]}]
    if not named:
        raise ValueError("features has no columns beside key and time: declare one that a model is given")
    of_kind(
        "features.columns", named, columns, tuple(FEATURE_TYPES), "a model takes numbers and texts", null=True
    )
    for name in [*features.key, *named]:
        if name in fixed and name not in features.key:
            raise ValueError(f"features.columns has {name!r}, which is the time or known_at: leave it out")
        if name in features.key and name in named:
            raise ValueError(
                f"{name!r} is in features.key and in features.columns: leave it out of the columns"
            )
        if name in IN_FEATURE_TABLES:
            raise ValueError(f"{name!r} is the platform's own column in feature tables: rename the column")
        if not name.isidentifier() or "__" in name:
            raise ValueError(
                f"{name!r} is no name of a feature or its key: give a letter, then letters, digits and single underscores"
            )
    return named
