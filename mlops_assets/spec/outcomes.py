"""What follows a row of a table: whether, how often or by how much something happens to its key within a time after it.

A model's label is most often of this form. The table of an outcome has a line for every later row that changes it, from
the moment on at which that row was known, so that a label is never read before it could be told.
"""

import re
from datetime import timedelta
from typing import Any, Literal, get_args

import pydantic
from pydantic import Field

from mlops_assets.spec.base import Duration, Part, duration_text
from mlops_assets.spec.typed_columns import KINDS, Column, Kind, of_kind

KNOWN_AT = "known_at"
OUTCOME = r"[a-z][a-z0-9_]*"
Word = Literal["any", "count", "sum"]
WORDS: tuple[Word, ...] = get_args(Word)
GIVES: dict[Word, Kind] = {"any": "int", "count": "int"}
"""What an outcome is, where that is not the kind of its values."""


class Outcome(Part):
    """What happens to the key of a row in the time after it, not counting the row itself."""

    key: list[str] = Field(min_length=1, description="Columns by which rows belong together.")
    any: Literal["rows"] | None = Field(default=None, description="1 where another row follows: `rows`.")
    count: Literal["rows"] | None = Field(default=None, description="How many rows follow: `rows`.")
    sum: str | None = Field(
        default=None, description="Sum of a column or an SQL expression of the rows that follow."
    )
    within: Duration = Field(description="How long after a row: `30d`.")
    where: str | None = Field(
        default=None, description="An SQL condition: rows for which it does not hold do not count."
    )
    description: str = Field(default="", description="A sentence for the catalogue.")
    unit: str = Field(default="", description="The unit of the value.")

    @pydantic.field_validator("within")
    @classmethod
    def _is_some_time(cls, value: timedelta) -> timedelta:
        if value == timedelta():
            raise ValueError("within 0s nothing follows: give a longer time, for example 30d")
        return value

    @pydantic.model_validator(mode="after")
    def _is_one_outcome(self) -> "Outcome":
        given = [word for word in WORDS if getattr(self, word) is not None]
        if len(given) != 1:
            said = f"has {' and '.join(given)}" if given else "has none"
            raise ValueError(f"an outcome is one of {', '.join(WORDS)}, and this {said}: give one")
        return self

    @property
    def word(self) -> Word:
        """Which outcome it is."""
        return next(word for word in WORDS if getattr(self, word) is not None)

    @property
    def words(self) -> str:
        """The definition as a sentence without its point."""
        said = {"any": "whether a row follows", "count": "number of rows that follow"}
        what = said.get(self.word, f"sum of {self.sum} of the rows that follow")
        where = f" where {self.where}" if self.where else ""
        return f"{what} of the same {', '.join(self.key)} within {duration_text(self.within)}{where}"


def refuse_unfit_outcome(name: str, outcome: Outcome, table: dict[str, Any]) -> None:
    """Raise ValueError for an outcome that the table cannot have."""
    columns: dict[str, Column] = table["columns"]
    if not re.fullmatch(OUTCOME, name):
        raise ValueError(
            f"outcomes.{name}: an outcome is named in small letters, digits and underscores: rename it"
        )
    if name == table["name"]:
        raise ValueError(f"outcomes.{name} has the name of the table: rename one")
    if table["time"] is None:
        raise ValueError(
            f"outcomes.{name} looks ahead in time, and a table without time is static: give time, or leave it out"
        )
    if table["known_at"] not in (None, table["time"]):
        raise ValueError(
            f"outcomes.{name}: rows are known at {table['known_at']}, and an outcome is of rows that are known at their time, "
            f"{table['time']}: leave known_at out, or make the outcomes in a table of your own"
        )
    for taken in (name, KNOWN_AT):
        if taken in table["key"]:
            raise ValueError(f"outcomes.{name}: {taken!r} is a column of the key too: rename one")
    able = [kind for kind in KINDS if kind not in ("float", "datetime")]
    of_kind(
        f"outcomes.{name}.key", outcome.key, columns, able, "no float is equal to another for sure", null=True
    )
