"""What a data scientist writes down about one table of raw data, checked before anything is read.

Plain pydantic: nothing here knows Dagster, polars or Feast, so that a spec can be read and checked anywhere.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Literal, Self

import pydantic
from pydantic import Field

from mlops_assets.spec.aggregates import Aggregates, refuse_unfit
from mlops_assets.spec.base import Duration, Part, TimeZone
from mlops_assets.spec.columns import unusable
from mlops_assets.spec.http import HttpSource
from mlops_assets.spec.outcomes import Outcome, refuse_unfit_outcome
from mlops_assets.spec.sources import AssetSource, FileSource, PythonSource, Source, SqlSource
from mlops_assets.spec.table_features import Features, features_of_table, free_view, refuse_unknown_in_time
from mlops_assets.spec.typed_columns import KINDS, Column, ColumnOrType, of_kind

NUMBERS = ("int", "float")
FEATURES_FOLDER = "features"
CRON = r"^\S+ \S+ \S+ \S+ \S+$"


class Promise(Part):
    """What healthy values of a column are; outside of it a check warns."""

    range: tuple[float, float] | None = Field(
        default=None, description="Smallest and largest value that is believable."
    )
    nulls: float | None = Field(default=None, ge=0, le=1, description="Largest share of missing values.")

    @pydantic.field_validator("range")
    @classmethod
    def _in_order(cls, value: tuple[float, float] | None) -> tuple[float, float] | None:
        if value and value[0] > value[1]:
            raise ValueError(f"range {list(value)} is empty: give the smaller value first")
        return value


class TableSpec(Part):
    """One lake table: where its rows come from, their columns, and what is promised of them."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$", description="The lake table is `<use case>/<name>`.")
    description: str = Field(default="", description="A sentence on what a row is.")
    source: Source = Field(
        description="Where the rows come from: kind parquet, csv, sql, http, asset or python."
    )
    columns: dict[str, ColumnOrType] = Field(
        min_length=1, description="Column -> type; others of the source are left out."
    )
    key: list[str] = Field(min_length=1, description="Columns that name one row.")
    time: str | None = Field(
        default=None,
        description="datetime column by which rows are cut into partitions; absent: a static table, written whole.",
    )
    timezone: TimeZone | None = Field(
        default=None,
        description="Zone of times that the source gives without one, UTC by default; of an hour that is there twice "
        "the first is taken.",
    )
    known_at: str | None = Field(
        default=None,
        description="datetime column with the moment a row's content was known; by default its time.",
    )
    cadence: str | None = Field(
        default=None,
        pattern=rf"^(hourly|daily|weekly|monthly)$|{CRON}",
        description="Partitions coarser than the use case's: hourly, daily, weekly, monthly or a cron line.",
    )
    lateness: Duration = Field(
        default="0s",  # type: ignore[assignment]
        validate_default=True,
        description="A partition is over at its end plus this: until then its rows may still come.",
    )
    alarm_after: Duration = Field(
        default="24h",  # type: ignore[assignment]
        validate_default=True,
        description="Rows that are not there so long after a partition is over raise an alarm, and keep back no other one.",
    )
    empty: Literal["wait", "allowed"] = Field(
        default="wait",
        description="wait: a partition without rows is not there yet; allowed: it is one with no rows.",
    )
    every: Duration | None = Field(
        default=None,
        description="The longest silence in a partition that is not a gap, of which a check warns.",
    )
    expect: dict[str, Promise] = Field(
        default_factory=dict, description="Column -> range and share of nulls; a check warns outside of them."
    )
    features: Features | None = Field(
        default=None, description="The table is a feature view too: `<use case>/features/<view>`."
    )
    aggregates: dict[str, Aggregates] = Field(
        default_factory=dict,
        description="Feature views of trailing aggregates of the rows: view -> key and features.",
    )

    outcomes: dict[str, Outcome] = Field(
        default_factory=dict,
        description="Tables of what follows each row, `<use case>/<outcome>`: labels of models that predict these rows.",
    )

    @pydantic.field_validator("name")
    @classmethod
    def _is_free(cls, value: str) -> str:
        if value == FEATURES_FOLDER:
            raise ValueError(
                f"{value!r} is where the feature tables of the use case lie: name the table after its rows"
            )
        return value

    @pydantic.field_validator("columns")
    @classmethod
    def _have_names(cls, value: dict[str, Column]) -> dict[str, Column]:
        for name in value:
            if why := unusable(name):
                raise ValueError(f"column {name!r} {why}: rename the column")
        return value

    @pydantic.field_validator("key")
    @classmethod
    def _name_a_row(cls, value: list[str], info: pydantic.ValidationInfo) -> list[str]:
        _known(
            "key",
            value,
            info,
            [kind for kind in KINDS if kind != "float"],
            "no float is equal to another for sure",
        )
        return value

    @pydantic.field_validator("time", "known_at")
    @classmethod
    def _is_a_moment(cls, value: str | None, info: pydantic.ValidationInfo) -> str | None:
        why = "a day is not a moment; where the source has days only, a python source says when in the day"
        if value is not None:
            _known(str(info.field_name), [value], info, ["datetime"], why)
        return value

    @pydantic.model_validator(mode="after")
    def _asks_for_a_span(self) -> Self:
        if isinstance(source := self.reads, SqlSource) and source.bounded == self.static:
            raise ValueError(
                "source.query asks for a span, and a table without time is static, read whole: give time, or leave :start "
                "and :end out"
                if self.static
                else f"source.query does not name both :start and :end, and the table is cut into partitions by {self.time}: "
                f"add WHERE {self.time} >= :start AND {self.time} < :end"
            )
        if isinstance(source, HttpSource) and source.bounded and self.static:
            raise ValueError(
                "source.parameters ask for a span, and a table without time is static, read whole: give time, or leave :start "
                "and :end out"
            )
        return self

    @pydantic.field_validator("cadence", "every", "empty")
    @classmethod
    def _is_cut(cls, value: Any, info: pydantic.ValidationInfo) -> Any:
        if value is not None and "time" in info.data and info.data["time"] is None:
            raise ValueError(
                f"{info.field_name} is about partitions, and a table without time is static, written whole: "
                f"give time, or leave {info.field_name} out"
            )
        return value

    @pydantic.field_validator("expect")
    @classmethod
    def _fits_the_columns(
        cls, value: dict[str, Promise], info: pydantic.ValidationInfo
    ) -> dict[str, Promise]:
        _there("expect", value, info)
        columns = info.data.get("columns", {})
        for name, promise in value.items():
            column = columns.get(name)
            if column and promise.range and column.kind not in NUMBERS:
                raise ValueError(
                    f"expect.{name}.range is for numbers, and column {name!r} is {column.type}: leave it out"
                )
            if column and promise.nulls is not None and not column.nullable:
                raise ValueError(
                    f"expect.{name}.nulls: column {name!r} is {column.type}, of which no value may be missing: leave it "
                    f"out, or declare '{column.type} | null'"
                )
        return value

    @pydantic.field_validator("features")
    @classmethod
    def _can_be_features(cls, value: Features | None, info: pydantic.ValidationInfo) -> Features | None:
        if value is None or not {"columns", "key", "time", "known_at", "lateness"} <= info.data.keys():
            return value
        refuse_unknown_in_time(info.data)
        free_view(value.view or info.data.get("name", ""))
        return value.model_copy(update={"columns": features_of_table(value, info.data)})

    @pydantic.field_validator("aggregates")
    @classmethod
    def _can_be_aggregated(
        cls, value: dict[str, Aggregates], info: pydantic.ValidationInfo
    ) -> dict[str, Aggregates]:
        if not value or not {"columns", "key", "time", "known_at", "lateness"} <= info.data.keys():
            return value
        refuse_unknown_in_time(info.data)
        features = info.data.get("features")
        taken = features and (features.view or info.data.get("name"))
        for view, aggregate in value.items():
            if view == taken:
                raise ValueError(
                    f"aggregates.{view} has the name of the view of the table's features: rename one"
                )
            refuse_unfit(view, aggregate, info.data)
        return value

    @pydantic.field_validator("outcomes")
    @classmethod
    def _can_follow(cls, value: dict[str, Outcome], info: pydantic.ValidationInfo) -> dict[str, Outcome]:
        for name, outcome in (
            value.items() if {"columns", "key", "time", "known_at"} <= info.data.keys() else ()
        ):
            refuse_unfit_outcome(name, outcome, info.data)
        return value

    @property
    def static(self) -> bool:
        """Whether it is written whole."""
        return self.time is None

    @property
    def reads(self) -> FileSource | SqlSource | HttpSource | PythonSource:
        """What the rows are read from: of another asset's table, the place where it lies."""
        return self.source.at if isinstance(self.source, AssetSource) else self.source

    @property
    def view(self) -> str | None:
        """Name of the feature view that the table is, or None."""
        return (self.features.view or self.name) if self.features else None

    @property
    def known(self) -> str | None:
        """The column with the moment a row's content was known; None: all along."""
        return self.known_at or self.time

    @property
    def code(self) -> frozenset[str]:
        """Import paths that the spec names, the only ones that are imported for it."""
        return frozenset({self.source.function} if isinstance(self.source, PythonSource) else ())


def _there(purpose: str, names: Iterable[str], info: pydantic.ValidationInfo) -> None:
    columns: Mapping[str, Column] = info.data.get("columns") or {}
    for name in names:
        if columns and name not in columns:
            raise ValueError(f"{purpose} names {name!r}, which is no column: there are {', '.join(columns)}")


def _known(
    purpose: str, names: list[str], info: pydantic.ValidationInfo, kinds: Iterable[str], why: str
) -> None:
    if columns := info.data.get("columns"):
        of_kind(purpose, names, columns, kinds, why)
