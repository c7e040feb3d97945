"""The deployment record: what one deployed model is made of, for a process that has neither Dagster nor the registry.

It is data. Which code serves a model is asked from the repository by the model's name; a record can only name what the
repository vouches for.
"""

from pathlib import Path
from typing import Annotated, ClassVar, Literal

import pydantic
from pydantic import Field

from resources.moments import Moment
from resources.records.moved import now_at
from resources.records.reader import Content, Part, Record, RecordError, numbered, read_record

ImportPath = Annotated[str, Field(pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$")]
ColumnType = Annotated[str, Field(pattern=r"^(int|float|str|bool)( ?\| ?null)?$")]
CODE = ("scorer", "rows", "request")
"""Fields that name code."""


def _code_where_it_is_now(content: Content) -> Content:
    return content | {name: now_at(content[name]) for name in CODE if name in content}


class Deployment(Record):
    """What one deployed model is made of."""

    model_config = Part.model_config | pydantic.ConfigDict(coerce_numbers_to_str=True)

    CALLED: ClassVar[str] = "the deployment record"
    AGAIN: ClassVar[str] = "publish the deployment again"
    STEPS: ClassVar = (_code_where_it_is_now, numbered)

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
    version: Annotated[str, Field(pattern=r"^[0-9]{1,18}$")]
    task: Literal["classification", "regression"]
    model_path: str = Field(description="File that the scorer reads.")
    model_sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    scorer: ImportPath = Field(
        description="Class made from the file's bytes, with `predict(frame) -> array`; like `rows` and `request` it is "
        "imported only if the repository declares it."
    )
    feature_service: str
    rows: ImportPath | None = Field(default=None, description="Function that adds join keys to request rows.")
    request: ImportPath | None = Field(default=None, description="Pydantic model of one request.")
    columns: dict[str, ColumnType] = Field(
        default_factory=dict,
        exclude_if=lambda value: not value,
        description="Columns that each request brings and that the model is given as they are, with their types.",
    )
    key: list[str] = Field(default_factory=list, description="Columns that name one prediction.")
    time: str = Field(description="Column that holds the moment of the prediction.")
    owner: str = ""
    clock: Literal["data", "wall"] = Field(
        default="data",
        description="What now is: the end of what was ingested, or the moment at which a request arrives.",
    )
    moment: Moment | None = Field(
        default=None, description="Now of the online store, in records of releases that kept it here."
    )

    def content(self) -> Content:
        """Every field, so that what its defaults were is on record; a moment only where there is one."""
        return self.model_dump(mode="json", exclude={"moment"} if self.moment is None else None)

    def same_model(self, other: "Deployment") -> bool:
        """Whether only the moment or the owner differs, so that nothing has to be loaded again."""
        return self.model_copy(update={"moment": other.moment, "owner": other.owner}) == other


def deployment_in(path: Path, name: str | None = None) -> Deployment:
    """The deployment record in a file, which has the model's name (or is one of model `name`); errors name the file and the field."""
    record, expected = read_record(Deployment, path.read_bytes(), str(path)), name or path.stem
    if record.name != expected:
        raise RecordError(f"{path} holds model {record.name!r}: name the file {record.name}.json")
    return record
