"""Rows of a view by key: the packed row where there is one, else what stock Feast wrote, a row a feature."""

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

from ..codec.moment import NEVER, asked_moment
from ..plan import StoredCells, ViewRead
from .packing import NAME, Form, Reader, version

KEYS_A_QUERY = 5_000
TABLES_A_QUERY = 60
"""SQLite joins at most 64 tables."""

MOMENT = "event_ts * 1000000 + ifnull(event_micros, 0)"
CREATED = "created_ts * 1000000 + ifnull(created_micros, 0)"


@dataclass(frozen=True, eq=False)
class Query:
    """How a view's features are read: from its table, in the order of the answer."""

    table: str
    features: tuple[str, ...]
    reader: Reader


def query_of(read: ViewRead, table: str) -> Query:
    """The query for a view."""
    return Query(table, read.features, Reader(Form(read.declared), read.features))


def cells_of(
    connection: sqlite3.Connection, queries: Sequence[Query], keys: Sequence[bytes]
) -> list[StoredCells]:
    """Times and cells of the keys, in their order, view by view."""
    tables = tuple(query.table for query in queries)
    views: list[Sequence[bytes | None]] = []
    for start in range(0, len(tables), TABLES_A_QUERY):
        some = tables[start : start + TABLES_A_QUERY]
        rows = {row[0]: row for row in _rows(connection, partial(_packed_in, some), keys)}
        views += list(zip(*[rows[key] for key in keys], strict=True))[1:] or [()] * len(some)
    return [_of_view(connection, query, keys, cells) for query, cells in zip(queries, views, strict=True)]


def _of_view(
    connection: sqlite3.Connection, query: Query, keys: Sequence[bytes], cells: Sequence[bytes | None]
) -> StoredCells:
    packed = query.reader.read(cells)
    stored = _of_rows(connection, query, [keys[place] for place in packed.apart]) if packed.apart else {}
    if not stored:
        return packed
    missing = (None,) * (1 + len(query.features))
    answers = list(zip(packed.times, *packed.cells, strict=True))
    for place in packed.apart:
        answers[place] = stored.get(keys[place], missing)
    times, *columns = zip(*answers, strict=True)
    return StoredCells(times, columns)


@lru_cache(maxsize=256)
def _packed_in(tables: Sequence[str], keys: int) -> str:
    """A key a row, with the packed cell of each table; the keys lead, and each is looked up in its turn."""
    joins = [
        f"LEFT JOIN {table} AS t{n} ON t{n}.entity_key = asked.column1 AND t{n}.feature_name = '{NAME}'"
        for n, table in enumerate(tables)
    ]
    cells = "".join(f", t{n}.value" for n in range(len(tables)))
    return f"SELECT asked.column1{cells} FROM (VALUES {','.join(['(?)'] * keys)}) AS asked {' '.join(joins)}"


def versions(
    connection: sqlite3.Connection, table: str, keys: Sequence[bytes]
) -> dict[bytes, tuple[int, int]]:
    """Event and created time, in microseconds, of the keys that are stored."""
    packed = f"SELECT entity_key, value FROM {table} WHERE entity_key IN ({{}}) AND feature_name = '{NAME}'"
    known = {key: version(cell) for key, cell in _rows(connection, partial(_among, packed), keys)}
    apart = [key for key in keys if key not in known]
    query = (
        f"SELECT entity_key, max({MOMENT}), max({CREATED}) FROM {table} WHERE entity_key IN ({{}}) GROUP BY 1"
    )
    for key, event, created in _rows(connection, partial(_among, query), apart):
        known[key] = event, NEVER if created is None else created
    return known


def _among(query: str, keys: int) -> str:
    return query.format(",".join("?" * keys))


def _rows(
    connection: sqlite3.Connection, query: Callable[[int], str], keys: Sequence[bytes]
) -> Iterator[tuple[Any, ...]]:
    """Rows of a query that is written for so many keys."""
    for start in range(0, len(keys), KEYS_A_QUERY):
        some = keys[start : start + KEYS_A_QUERY]
        yield from connection.execute(query(len(some)), some).fetchall()


def _of_rows(
    connection: sqlite3.Connection, query: Query, keys: Sequence[bytes]
) -> dict[bytes, tuple[Any, ...]]:
    """Entities whose features stand apart: those known at the moment asked for, behind the newest time of them."""
    as_of = asked_moment()
    select = f"SELECT entity_key, feature_name, value, {MOMENT} FROM {query.table} WHERE entity_key IN ({{}})"
    stored: dict[bytes, list[tuple[str, bytes, int]]] = {}
    for key, *row in _rows(connection, partial(_among, select), keys):
        if row[0] in query.features:
            stored.setdefault(key, []).append((row[0], row[1], row[2]))
    answers: dict[bytes, tuple[Any, ...]] = {}
    for key, rows in stored.items():
        known = [row for row in rows if as_of is None or row[2] <= as_of] or rows
        values = {name: value for name, value, _ in known}
        answers[key] = max(time for _, _, time in known), *map(values.get, query.features)
    return answers


def set_up(connection: sqlite3.Connection) -> sqlite3.Connection:
    """A connection that waits for whoever writes, and does not keep them waiting."""
    connection.execute("PRAGMA busy_timeout=30000")
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=NORMAL")
    return connection
