"""The columns of a table, as a spec says them: a name, the type of its values, whether they may be missing."""

import re
from collections.abc import Iterable
from typing import Annotated, Literal

import pydantic
from pydantic import BeforeValidator, Field

from mlops_assets.spec.base import Part

KINDS = ("int", "float", "str", "bool", "date", "datetime")
TYPE = rf"^({'|'.join(KINDS)})( ?\| ?null)?$"

Kind = Literal["int", "float", "str", "bool", "date", "datetime"]


class Column(Part):
    """One column: the type of its values, whether they may be missing, and what the catalogue says of it."""

    type: str = Field(
        pattern=TYPE,
        description="int, float, str, bool, date or datetime; with `| null` where a value may be missing.",
        examples=["int", "float | null"],
    )
    description: str = Field(default="", description="A sentence on what it says.")
    unit: str = Field(default="", description="The unit of its values.")

    @pydantic.field_validator("type", mode="before")
    @classmethod
    def _is_known(cls, value: object) -> object:
        if problem := _refused_type(value):
            raise ValueError(problem)
        return value

    @property
    def kind(self) -> Kind:
        """The type without `| null`."""
        return self.type.partition("|")[0].strip()  # type: ignore[return-value]

    @property
    def nullable(self) -> bool:
        """Whether a value may be missing."""
        return "|" in self.type


def _refused_type(value: object) -> str | None:
    if isinstance(value, str) and re.fullmatch(TYPE, value):
        return None
    one = f"use one of {', '.join(KINDS)}, with ' | null' where a value may be missing"
    if isinstance(value, str) and value.lower().startswith(("list", "array", "struct", "dict")):
        return f"type {value!r} holds several values, and a column holds one: give each a column of its own; {one}"
    return f"{value!r} is no type of a column: {one}"


def _as_a_column(value: object) -> object:
    return value if isinstance(value, dict | Column) else {"type": value}


ColumnOrType = Annotated[
    Column,
    BeforeValidator(_as_a_column, json_schema_input_type=Column | Annotated[str, Field(pattern=TYPE)]),
]


def of_kind(
    purpose: str,
    names: list[str],
    columns: dict[str, Column],
    kinds: Iterable[str],
    why: str,
    null: bool = False,
) -> None:
    """Raise for a name that is no column, is said twice, or whose column is of another type or may be missing."""
    allowed = [*kinds]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"{purpose} names {name!r} twice: leave one out")
        if name not in columns:
            raise ValueError(f"{purpose} names {name!r}, which is no column: there are {', '.join(columns)}")
        column = columns[name]
        if column.kind not in allowed:
            raise ValueError(
                f"{purpose} {name!r} is {column.type}, and must be {' or '.join(allowed)}: {why}"
            )
        if column.nullable and not null:
            raise ValueError(
                f"{purpose} {name!r} is '{column.type}', and may not be missing: declare it {column.kind}"
            )
