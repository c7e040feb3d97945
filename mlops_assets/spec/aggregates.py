"""Trailing aggregates of a table: what is counted, summed or kept of the rows of a key, over which time.

A value at a moment is made of the rows whose time is less than `over` before it (a row exactly `over` old has left), as
they were known at that moment.
"""

import re
from datetime import timedelta
from typing import Any, Literal, get_args

import pydantic
from pydantic import Field

from mlops_assets.spec.base import Duration, Part, duration_text
from mlops_assets.spec.table_features import IN_FEATURE_TABLES, KEY_KINDS, free_view
from mlops_assets.spec.typed_columns import Column, of_kind

LIFETIME = "lifetime"
VIEW = r"[a-z][a-z0-9_]*"
Word = Literal["count", "sum", "mean", "min", "max", "last", "distinct", "rate", "time_since", "gap", "span"]
WORDS: tuple[Word, ...] = get_args(Word)
OF_TIMES: tuple[Word, ...] = ("time_since", "gap", "span")
"""Aggregates of the rows' times, in whole steps."""

Over = Duration | Literal["lifetime"]


class Aggregate(Part):
    """One feature: an aggregate of a column, or of an expression in polars' SQL, over the time before a moment."""

    count: Literal["rows"] | None = Field(default=None, description="How many rows: `rows`.")
    sum: str | None = Field(default=None, description="Sum of a column or an SQL expression; 0 of no row.")
    mean: str | None = Field(default=None, description="Mean of a column or an SQL expression.")
    min: str | None = Field(default=None, description="Smallest value of a column or an SQL expression.")
    max: str | None = Field(default=None, description="Largest value of a column or an SQL expression.")
    last: str | None = Field(default=None, description="Value of the newest row that has one.")
    distinct: str | None = Field(default=None, description="How many different values.")
    rate: str | None = Field(
        default=None, description="Share of the rows for which an SQL condition holds, from 0 to 1."
    )
    time_since: Duration | None = Field(
        default=None, description="How many whole spans of this length have passed since the newest row."
    )
    gap: Duration | None = Field(
        default=None,
        description="How many whole spans of this length lie between the newest row and the one before it.",
    )
    span: Duration | None = Field(
        default=None,
        description="How many whole spans of this length lie between the oldest row and the newest.",
    )
    over: Over = Field(description="How far back: `1h`, `7d`, ... or `lifetime`.")
    where: str | None = Field(
        default=None, description="An SQL condition: rows for which it does not hold are left out."
    )
    description: str = Field(default="", description="A sentence for the catalogue.")
    unit: str = Field(default="", description="The unit of the value.")

    @pydantic.field_validator("over")
    @classmethod
    def _is_some_time(cls, value: Over) -> Over:
        if value == timedelta():
            raise ValueError("over 0s no row is ever counted: give a longer time, or lifetime")
        return value

    @pydantic.field_validator(*OF_TIMES)
    @classmethod
    def _is_a_step(cls, value: timedelta | None, info: pydantic.ValidationInfo) -> timedelta | None:
        if value == timedelta():
            raise ValueError(f"{info.field_name} counts steps, and 0s is none: give for example 1d")
        return value

    @pydantic.model_validator(mode="after")
    def _is_one_aggregate(self) -> "Aggregate":
        given = [word for word in WORDS if getattr(self, word) is not None]
        if len(given) != 1:
            said = f"has {' and '.join(given)}" if given else "has no aggregate"
            raise ValueError(f"a feature is one aggregate, and this {said}: give one of {', '.join(WORDS)}")
        if self.time_since and self.over == LIFETIME:
            raise ValueError(
                "time_since over a lifetime would change for ever: say in over from when on it is missing, for example 365d"
            )
        return self

    @property
    def word(self) -> Word:
        """Which aggregate it is."""
        return next(word for word in WORDS if getattr(self, word) is not None)  # type: ignore[return-value]

    @property
    def of(self) -> str | None:
        """The column or expression that is aggregated; None of rows and of their times."""
        return None if self.word in ("count", *OF_TIMES) else getattr(self, self.word)

    @property
    def step(self) -> timedelta | None:
        """In what an aggregate of times counts; None of any other."""
        return getattr(self, self.word) if self.word in OF_TIMES else None

    @property
    def words(self) -> str:
        """The definition as a sentence without its point."""
        steps = f"whole spans of {duration_text(self.step or timedelta())}"
        said = {
            "count": "number of rows",
            "rate": f"share of rows with {self.of}",
            "time_since": f"{steps} since the newest row",
            "gap": f"{steps} between the newest row and the one before it",
            "span": f"{steps} between the oldest row and the newest",
            "last": f"newest {self.of}",
            "distinct": f"number of different {self.of}",
        }.get(self.word, f"{self.word} of {self.of}")
        over = duration_text(self.window) if self.window else LIFETIME
        return f"{said} over {over}" + (f" where {self.where}" if self.where else "")

    @property
    def window(self) -> timedelta | None:
        """How far back; None: a lifetime."""
        return self.over if isinstance(self.over, timedelta) else None


class Aggregates(Part):
    """A feature view of aggregates: by which key rows belong together, and the features."""

    key: list[str] = Field(
        min_length=1, description="Columns by which rows belong together and are looked up."
    )
    features: dict[str, Aggregate] = Field(min_length=1, description="Feature -> its aggregate.")
    description: str = Field(default="", description="A sentence on the view.")

    @property
    def longest(self) -> timedelta | None:
        """The longest time that a feature looks back; None: a lifetime."""
        windows = [one.window for one in self.features.values()]
        return None if None in windows else max(window for window in windows if window)


def refuse_unfit(view: str, aggregates: Aggregates, table: dict[str, Any]) -> None:
    """Raise ValueError for a view that the table cannot have."""
    if not re.fullmatch(VIEW, view):
        raise ValueError(
            f"aggregates.{view}: a view is named in small letters, digits and underscores: rename it"
        )
    free_view(view)
    columns: dict[str, Column] = table["columns"]
    if table["time"] is None:
        raise ValueError(
            f"aggregates.{view} looks back in time, and a table without time is static: give time, or leave it out"
        )
    of_kind(
        f"aggregates.{view}.key",
        aggregates.key,
        columns,
        KEY_KINDS,
        "features are looked up by numbers and texts",
        null=True,
    )
    for name in [*aggregates.key, *aggregates.features]:
        if name in IN_FEATURE_TABLES:
            raise ValueError(f"{name!r} is the platform's own column in feature tables: rename it")
        if not name.isidentifier() or "__" in name or name.startswith("_"):
            raise ValueError(
                f"{name!r} is no name of a feature or its key: give a letter, then letters, digits and single underscores"
            )
        if name in aggregates.key and name in aggregates.features:
            raise ValueError(f"{name!r} is in aggregates.{view}.key and a feature: rename the feature")
