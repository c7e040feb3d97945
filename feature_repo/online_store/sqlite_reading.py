"""One query a view: a row an entity, its values' bytes end to end with their names and lengths.

A row a value, as the table has them, would cost a Python tuple and several objects each.
"""

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from .moment import asked_moment
from .plan import KeyGroup, ViewRead
from .reading import Found

SEPARATOR = "\x1f"


@dataclass(frozen=True)
class Query:
    """SQL before and after the list of keys, and the features in the order of the answer."""

    table: str
    features: tuple[str, ...]
    whole: str
    single: str


def query_of(group: KeyGroup, read: ViewRead, table: str) -> Query:
    """The view's queries, kept with the plan."""
    name = f"{table} {read.features}"
    if name not in group.memo:
        group.memo[name] = _query(read, table)
    return group.memo[name]


def _query(read: ViewRead, table: str) -> Query:
    names = ", ".join("'" + feature.replace("'", "''") + "'" for feature in read.features)
    moment = "event_ts * 1000000 + ifnull(event_micros, 0)"
    wanted = (
        ""
        if set(read.features) == {f.name for f in read.view.features}
        else f" AND feature_name IN ({names})"
    )
    return Query(
        table=table,
        features=read.features,
        whole=(
            f"SELECT entity_key, min({moment}), max({moment}), CAST(group_concat(value, '') AS BLOB), "
            f"group_concat(feature_name || '{SEPARATOR}' || length(value), '{SEPARATOR}') "
            f"FROM {table} WHERE entity_key IN ({{}}){wanted} GROUP BY entity_key"
        ),
        single=(
            f"SELECT feature_name, value, {moment} FROM {table} WHERE entity_key = ? AND feature_name IN ({names})"
        ),
    )


def cells_of(connection: sqlite3.Connection, query: Query, parts: Sequence[Sequence[bytes]]) -> Found:
    """Times and cells of the keys, in their order."""
    times: list[int | None] = []
    rows: list[tuple[bytes | None, ...]] = []
    nothing = (None,) * len(query.features)
    for keys in parts:
        marks = ",".join("?" * len(keys))
        stored = {row[0]: row for row in connection.execute(query.whole.format(marks), keys)}
        for key in keys:
            found = stored.get(key)
            if found is None:
                times.append(None)
                rows.append(nothing)
                continue
            _, oldest, newest, content, layout = found
            if oldest == newest:
                times.append(newest)
                rows.append(
                    tuple([content[a:b] if b >= 0 else None for a, b in places(layout, query.features)])
                )
            else:
                time, cells = _of_several_times(connection, query, key)
                times.append(time)
                rows.append(cells)
    return Found(times, list(zip(*rows, strict=True)) if rows else [()] * len(query.features))


@lru_cache(maxsize=4096)
def places(layout: str, features: tuple[str, ...]) -> list[tuple[int, int]]:
    """Where each feature's bytes are; (0, -1) for one that is not stored."""
    parts = layout.split(SEPARATOR)
    found, position = {}, 0
    for name, length in zip(parts[::2], parts[1::2], strict=True):
        found[name] = (position, position + int(length))
        position += int(length)
    return [found.get(feature, (0, -1)) for feature in features]


def _of_several_times(
    connection: sqlite3.Connection, query: Query, key: bytes
) -> tuple[int | None, tuple[bytes | None, ...]]:
    """An entity whose features were written apart: those known at the moment asked for, timed by the newest of them."""
    asked = asked_moment()
    rows = connection.execute(query.single, (key,)).fetchall()
    known = [row for row in rows if asked is None or row[2] <= asked] or rows
    values = {name: value for name, value, _ in known}
    return max(row[2] for row in known), tuple([values.get(feature) for feature in query.features])
