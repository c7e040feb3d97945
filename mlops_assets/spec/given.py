"""What a model is given: features chosen by name, and columns that each request brings."""

from collections.abc import Iterable
from typing import Annotated, Any

from pydantic import Discriminator, Field, Tag

from mlops_assets.spec.base import ImportPath, Part
from mlops_assets.spec.columns import unusable
from mlops_assets.spec.typed_columns import Column, ColumnOrType

KINDS = ("int", "float", "str", "bool")
"""Types of a request column that a model takes."""

FeatureName = Annotated[
    str,
    Field(
        pattern=r"^[A-Za-z][A-Za-z0-9_]*(:[A-Za-z][A-Za-z0-9_]*)?$",
        examples=["zipcodes", "zipcodes:population"],
    ),
]


class AllBut(Part):
    """All features of the use case that the rows of the prediction table have the keys of, without some."""

    exclude: list[FeatureName] = Field(
        default_factory=list, description="Those left out: `view`, or `view:feature`."
    )


def _kind_of_choice(value: Any) -> str:
    return "list" if isinstance(value, list | tuple) else "all"


Features = Annotated[
    Annotated[list[FeatureName], Tag("list")] | Annotated[AllBut, Tag("all")],
    Discriminator(_kind_of_choice),
]
"""`view` and `view:feature`, or all but some; an empty list where each request brings all that the model is given."""


def _kind_of_request(value: Any) -> str:
    return "columns" if isinstance(value, dict) else "path"


Request = Annotated[
    Annotated[ImportPath, Tag("path")]
    | Annotated[dict[str, ColumnOrType], Field(min_length=1), Tag("columns")],
    Discriminator(_kind_of_request),
]
"""The endpoint's request: a pydantic model by its import path, or columns that are features and fields of it at once."""


def refuse_columns(columns: dict[str, Column], key: Iterable[str], time: str) -> None:
    """Raise ValueError for a request column that no model takes, or whose name is taken."""
    taken = {**dict.fromkeys(key, "prediction.key"), time: "prediction.time"}
    for name, column in columns.items():
        if column.kind not in KINDS:
            raise ValueError(
                f"request column {name!r} is {column.type}, and a model takes {', '.join(KINDS)}: leave it out, or make a "
                "number of it in the table"
            )
        if name in taken:
            raise ValueError(
                f"request column {name!r} is {taken[name]} too, which is no feature: leave it out"
            )
        if why := unusable(name):
            raise ValueError(f"request column {name!r} {why}: rename the column")
        if not name.isidentifier() or "__" in name:
            raise ValueError(
                f"{name!r} is no name of a request column: give a letter, then letters, digits and single underscores"
            )


def service_name(features: object, value: str, model: str) -> str:
    """The feature service that a model reads: the one it names, or the one of its name that its features become.

    Raises ValueError where it says both, or neither.
    """
    if features is None and not value:
        raise ValueError(
            "nothing says what the model is given: give features, for example [view] or {exclude: []}, or [] where "
            "prediction.request has all of it"
        )
    if features is not None and value not in ("", model):
        raise ValueError(
            f"feature_service={value!r} and features say twice what the model is given: keep one of them"
        )
    return value if features is None else model
