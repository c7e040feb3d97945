"""What holds for a whole use case: who answers for it, how its time is cut into partitions, and which clock it lives by."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Literal

from pydantic import Field

from mlops_assets.spec.base import Day, ImportPath, Part
from mlops_assets.spec.calendar import Calendar

_CURRENT: ContextVar["UseCase | None"] = ContextVar("use_case", default=None)


class Replay(Part):
    """How `mlops run` goes through the history."""

    models: list[str] | None = Field(
        default=None,
        description="Models that the sensors retrain; the others are trained once, at the end. All by default.",
    )
    compare: str | None = Field(
        default=None,
        description="The model whose retraining policy is compared with others; the first by default.",
    )
    periods: dict[str, tuple[Day, Day]] = Field(
        default_factory=dict,
        description="Spans of days, first and last, over which the comparison adds up; the whole by default.",
    )
    shared_runs: bool = Field(
        default=False,
        description="Partitions between which no training can be decided share a run, and a line of the table.",
    )
    naive: list[str] = Field(
        default_factory=list,
        description="Features of the compared model of which alone a logistic model (regression: a linear one) is fitted "
        "whenever the model is trained; the comparison shows what that rule comes to beside it.",
    )


class Ingest(Part):
    """How partitions are asked for as they end."""

    at_once: int = Field(
        default=1,
        ge=1,
        description="Runs that ingest at the same time; where features look back on earlier partitions it is always one.",
    )


class UseCase(Part):
    """One business: its tables, features and models share a folder, a calendar and a clock."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$", description="The folder's name.")
    owner: str = Field(description="Team or e-mail address that answers for the tables.")
    description: str = ""
    calendar: Calendar = Field(description="How its time is cut into partitions.")
    clock: Literal["data", "wall"] = Field(
        default="data",
        description="data: now is the end of what was ingested; wall: now is the moment that the clock shows.",
    )
    corrections: int = Field(
        default=0, ge=0, description="Newest partitions that are read again when their source has changed."
    )
    ingest: Ingest = Ingest()
    tables: ImportPath | None = Field(
        default=None, description="Function of the calendar that gives further tables, made by Python."
    )
    replay: Replay = Replay()
    live: ImportPath | None = Field(
        default=None,
        description="Class that holds back the rows of tables made by Python until their time has come, for `mlops live`.",
    )


def current_use_case() -> UseCase | None:
    """The use case whose files are being read; None outside of `reading`."""
    return _CURRENT.get()


def in_use_case(table: str) -> str:
    """The lake table of a name in the use case that is being read; one with `/` in it is whole already."""
    use_case = current_use_case()
    return table if "/" in table or use_case is None else f"{use_case.name}/{table}"


@contextmanager
def reading(use_case: UseCase) -> Iterator[None]:
    """Read tables and models of this use case, which inherit its calendar."""
    token = _CURRENT.set(use_case)
    try:
        yield
    finally:
        _CURRENT.reset(token)
