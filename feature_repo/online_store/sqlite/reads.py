"""Reads of a SQLite online store by the tables' names, over a connection for each thread."""

import sqlite3
import threading
from collections.abc import Sequence
from pathlib import Path

from ..few_rows import Stored
from ..plan import KeyGroup, Plan, StoredCells
from ..reads import KeysByGroup, Reads
from .one_row import OneRow
from .reading import Query, cells_of, query_of, set_up


class SqliteReads(Reads):
    """The tables of one database, which has to be there."""

    def __init__(self, path: Path) -> None:
        self._path, self._connections = path, threading.local()

    def fetch(self, questions: KeysByGroup) -> list[list[StoredCells]]:
        """A query for all views with the same key."""
        return [cells_of(self._connection(), self._queries(group), keys) for group, keys in questions]

    def one_row(self, plan: Plan, row_keys: Sequence[bytes | None]) -> list[Stored]:
        """A statement for all views."""
        if "one row" not in plan.memo:
            plan.memo["one row"] = OneRow(plan, [self._queries(group) for group in plan.groups])
        return plan.memo["one row"].read(self._connection(), row_keys)

    @staticmethod
    def _queries(group: KeyGroup) -> list[Query]:
        if "queries" not in group.memo:
            group.memo["queries"] = [query_of(read, read.view.table) for read in group.views]
        return group.memo["queries"]

    def _connection(self) -> sqlite3.Connection:
        """One that sees only what is committed."""
        if not hasattr(self._connections, "own"):
            self._connections.own = set_up(
                sqlite3.connect(f"{self._path.absolute().as_uri()}?mode=rw", uri=True)
            )
        return self._connections.own
