"""What a model predicts and when, and what a request for it brings."""

from collections.abc import Callable
from typing import Any, Self, TypeVar

import pydantic
from pydantic import Field

from mlops_assets.spec.base import ImportPath, Part
from mlops_assets.spec.given import Request, refuse_columns
from mlops_assets.spec.typed_columns import Column
from mlops_assets.spec.use_case import in_use_case

Rows = TypeVar("Rows", bound=Callable[..., Any])


def computed_from(**columns: str) -> Callable[[Rows], Rows]:
    """Say of a `prediction.rows` function from which columns of the prediction table each column it adds is computed.

    Names are separated by spaces. The catalogue shows it as column lineage; columns that are not named are copied.
    """

    def said(function: Rows) -> Rows:
        vars(function)["computed_from"] = {name: tuple(text.split()) for name, text in columns.items()}
        return function

    return said


class Prediction(Part):
    """What is predicted and when: one row of `table` is one prediction."""

    table: str = Field(
        pattern=r"^[A-Za-z0-9_-]+(/[A-Za-z0-9_-]+)*$",
        description="Lake table with a row for each thing predicted, partitioned by the spec's calendar; a name without `/` "
        "is of the use case.",
    )
    key: list[str] = Field(description="Columns that name one prediction.", min_length=1)
    time: str = Field(description="UTC column with the moment the prediction is made.")
    rows: ImportPath | None = Field(
        default=None,
        description="Function frame -> frame that adds join keys and request columns; used for training and serving alike.",
    )
    request: Request | None = Field(
        default=None,
        description="Columns of the table that are features and fields of the request at once, each with its type; or the "
        "import path of a pydantic model. By default the request is made from the features' keys.",
    )

    @property
    def columns(self) -> dict[str, Column]:
        """Columns that each request brings and that the model is given as they are."""
        return self.request if isinstance(self.request, dict) else {}

    @property
    def texts(self) -> list[str]:
        """Those of them that are texts."""
        return [name for name, column in self.columns.items() if column.kind == "str"]

    @property
    def request_model(self) -> str | None:
        """Import path of the request's own pydantic model."""
        return self.request if isinstance(self.request, str) else None

    @pydantic.field_validator("table")
    @classmethod
    def _is_of_the_use_case(cls, value: str) -> str:
        return in_use_case(value)

    @pydantic.model_validator(mode="after")
    def _columns_can_be_features(self) -> Self:
        refuse_columns(self.columns, self.key, self.time)
        return self
