"""Rows of a view by key: the packed row where there is one, else what stock Feast wrote, a row a feature."""

import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from .batch import NEVER
from .moment import asked_moment
from .plan import KeyGroup, ViewRead
from .reading import Found
from .sqlite_packing import NAME, Layout, version

KEYS_A_QUERY = 5_000
MOMENT = "event_ts * 1000000 + ifnull(event_micros, 0)"
CREATED = "created_ts * 1000000 + ifnull(created_micros, 0)"


@dataclass(frozen=True, eq=False)
class Query:
    """How a view's features are read: from its table, in the order of the answer."""

    table: str
    features: tuple[str, ...]
    layout: Layout


def query_of(group: KeyGroup, read: ViewRead, table: str) -> Query:
    """The view's query, kept with the plan."""
    name = f"{table} {read.features}"
    if name not in group.memo:
        layout = Layout([field.name for field in read.view.features], read.features)
        group.memo[name] = Query(table, read.features, layout)
    return group.memo[name]


def found(connection: sqlite3.Connection, query: Query, keys: Sequence[bytes]) -> Found:
    """Times and cells of the keys, in their order."""
    taken = query.layout.taken
    known = {key: taken(cell) for key, cell in _packed(connection, query.table, keys)}
    apart = [key for key in keys if known.get(key) is None]
    if apart:
        known |= _of_rows(connection, query, apart)
    missing = None, [None] * len(query.features)
    answers = [known.get(key) or missing for key in keys]
    columns = list(zip(*(cells for _, cells in answers), strict=True)) if keys else [()] * len(query.features)
    return Found([time for time, _ in answers], columns)


def versions(
    connection: sqlite3.Connection, table: str, keys: Sequence[bytes]
) -> dict[bytes, tuple[int, int]]:
    """Event and created time, in microseconds, of the keys that are stored."""
    known = {key: version(cell) for key, cell in _packed(connection, table, keys)}
    apart = [key for key in keys if key not in known]
    query = (
        f"SELECT entity_key, max({MOMENT}), max({CREATED}) FROM {table} WHERE entity_key IN ({{}}) GROUP BY 1"
    )
    for key, event, created in _rows(connection, query, apart):
        known[key] = event, NEVER if created is None else created
    return known


def _rows(connection: sqlite3.Connection, query: str, keys: Sequence[bytes]) -> Iterator[tuple[Any, ...]]:
    for start in range(0, len(keys), KEYS_A_QUERY):
        some = keys[start : start + KEYS_A_QUERY]
        yield from connection.execute(query.format(",".join("?" * len(some))), some)


def _packed(
    connection: sqlite3.Connection, table: str, keys: Sequence[bytes]
) -> Iterator[tuple[bytes, bytes]]:
    query = f"SELECT entity_key, value FROM {table} WHERE entity_key IN ({{}}) AND feature_name = '{NAME}'"
    return _rows(connection, query, keys)


def _of_rows(
    connection: sqlite3.Connection, query: Query, keys: Sequence[bytes]
) -> dict[bytes, tuple[int, list[bytes | None]]]:
    """Entities whose features stand apart: those known at the moment asked for, timed by the newest of them."""
    asked = asked_moment()
    select = f"SELECT entity_key, feature_name, value, {MOMENT} FROM {query.table} WHERE entity_key IN ({{}})"
    stored: dict[bytes, list[tuple[str, bytes, int]]] = {}
    for key, *row in _rows(connection, select, keys):
        if row[0] in query.features:
            stored.setdefault(key, []).append((row[0], row[1], row[2]))
    answers: dict[bytes, tuple[int, list[bytes | None]]] = {}
    for key, rows in stored.items():
        known = [row for row in rows if asked is None or row[2] <= asked] or rows
        values = {name: value for name, value, _ in known}
        answers[key] = max(row[2] for row in known), [values.get(feature) for feature in query.features]
    return answers
