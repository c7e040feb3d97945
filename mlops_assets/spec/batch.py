"""Which rows a model scores in batches beside the requests of its endpoint."""

from typing import Self

import pydantic
from pydantic import Field

from mlops_assets.spec.base import Part
from mlops_assets.spec.columns import PREDICTIONS
from mlops_assets.spec.sources import PATH, Paths
from mlops_assets.spec.use_case import in_use_case

AS_OF, REFUSED, MISSING = "as_of", "refused", "missing"
"""Columns of `<model>/batch_predictions`: the moment of the features, and why a row has no score."""

OWN_COLUMNS = (*PREDICTIONS, AS_OF, REFUSED)


class Batch(Part):
    """Rows that are scored as requests would be, as the asset `<name>/batch_predictions`."""

    table: str | None = Field(
        default=None,
        pattern=r"^[A-Za-z0-9_-]+(/[A-Za-z0-9_-]+)*$",
        description="Lake table with the fields of a request in each row; a name without `/` is of the use case. Partition by "
        "partition of the model's calendar, each as of its end.",
    )
    path: Paths | None = Field(
        default=None, description=f"Parquet files instead, scored whole as of now. {PATH}"
    )
    whole: bool = Field(
        default=False, description="Score all rows of the table as of now, and not partition by partition."
    )
    key: list[str] = Field(
        default_factory=list,
        description="Columns that name a row beside its score; those of `prediction.key` by default.",
    )
    over_ray_from: int = Field(
        default=1_000_000,
        ge=1,
        description="So many rows at once are scored over Ray Data, by several processes; fewer in the run's own.",
    )

    @property
    def partitioned(self) -> bool:
        """Whether the scores are cut by the model's calendar."""
        return self.table is not None and not self.whole

    @pydantic.field_validator("table")
    @classmethod
    def _is_of_the_use_case(cls, value: str | None) -> str | None:
        return value and in_use_case(value)

    @pydantic.field_validator("key")
    @classmethod
    def _stands_beside_ours(cls, value: list[str]) -> list[str]:
        for name in value:
            if name in OWN_COLUMNS:
                raise ValueError(
                    f"batch.key {name!r} is the name of the platform's own column in the table of batch predictions: "
                    "rename the column"
                )
        if twice := next((name for name in value if value.count(name) > 1), None):
            raise ValueError(f"batch.key names {twice!r} twice: name it once")
        return value

    @pydantic.model_validator(mode="after")
    def _has_one_source(self) -> Self:
        if (self.table is None) == (self.path is None):
            given = "both" if self.table else "neither of"
            raise ValueError(f"batch has {given} table and path: name the one in which the rows are")
        if self.path is not None and self.whole:
            raise ValueError("batch.whole is for a table: files of batch.path are always scored whole")
        return self


def batch_fits(value: Batch | None, key: list[str]) -> str | None:
    """What is wrong with a model's batch beside its prediction's key; None where all is well."""
    if value is None or value.key:
        return None
    taken = [name for name in key if name in OWN_COLUMNS]
    if not taken:
        return None
    return (
        f"prediction.key {taken[0]!r} is the name of the platform's own column in the table of batch predictions: name other "
        "columns in batch.key"
    )
