"""Reading alone, for a process that was given the plan: without Feast, its registry or its settings."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, NamedTuple

from .answer import Answer, seen_of
from .few_rows import Stored, fetched
from .plan import KeyGroup, Plan, StoredCells
from .request import asked_of

KeysByGroup = Sequence[tuple[KeyGroup, list[bytes]]]


class Place(NamedTuple):
    """Where a store has a view: the table in SQLite, or the fields of its features in use and of its time stamp in Redis."""

    name: str
    table: str = ""
    fields: tuple[bytes, ...] = ()
    stamp: bytes = b""


class Reads(ABC):
    """What an online store has for the views of a plan, whose `ViewRead.view` is a Place."""

    @abstractmethod
    def fetch(self, questions: KeysByGroup) -> list[list[StoredCells]]:
        """For each group of views, what is stored for its keys, view by view."""

    def one_row(self, plan: Plan, row_keys: Sequence[bytes | None]) -> list[Stored]:
        """What is stored for one row, whose key for each group of views is given; view by view."""
        return fetched(self.fetch, plan, row_keys)

    def stored(self, plan: Plan, columns: Any) -> Answer:
        """The answer for columns of entity rows, without what is computed on demand."""
        rows, questions, places = asked_of(plan, columns)
        return Answer(plan, rows.columns, seen_of(plan, self.fetch(questions), places))
