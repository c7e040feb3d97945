"""Feast's SQLite online store with bulk writes, fast reads, and the rules of the offline join that it leaves out.

Stock Feast reads what this store writes, and the other way round. The table has the stock columns and two more, the
fractions of a second that the stock columns drop; clustered by its key, it needs one tree where the stock one has
three. Beside an entity's features stands one row that has all of them, which is what is read; where stock Feast
writes, a trigger takes it away. A change is one transaction, so that readers see all of it or nothing.
"""

import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pydantic
from feast.infra.online_stores.helpers import compute_table_id
from feast.infra.online_stores.sqlite import SqliteOnlineStore, SqliteOnlineStoreConfig
from feast.repo_config import RepoConfig

from ..batch import Batch
from ..codec.moment import NEVER
from ..few_rows import Stored
from ..plan import KeyGroup, Plan, StoredCells, ViewRead
from ..reading import BulkReads
from ..reads import Place
from ..writing import BulkWrites, Progress, Reach
from .cells import packed
from .one_row import OneRow
from .packing import NAME, Form, form_of
from .reading import CREATED, MOMENT, Query, cells_of, query_of, set_up, versions

ROWS_A_STATEMENT = 100
CHUNK = 20_000
REACH = b"", "__reach"
"""Entity key and feature name of the row that says how far a view was brought; no entity has an empty key."""

COLUMNS = (
    "entity_key BLOB NOT NULL, feature_name TEXT NOT NULL, value BLOB, value_text TEXT, vector_value BLOB, "
    "event_ts timestamp, created_ts timestamp, event_micros INTEGER, created_micros INTEGER, "
    "PRIMARY KEY(entity_key, feature_name)"
)
TRIGGERS = {
    "inserted": "AFTER INSERT ON {table} WHEN NEW.event_micros IS NULL BEGIN {forget}; END",
    "updated": "AFTER UPDATE ON {table} BEGIN {forget}; UPDATE {table} SET event_micros = NULL, "
    "created_micros = NULL WHERE entity_key = NEW.entity_key AND feature_name = NEW.feature_name; END",
}
"""This store inserts and replaces, with fractions, and never updates: whatever else happens is stock Feast's."""

FORGET = f"DELETE FROM {{table}} WHERE entity_key = NEW.entity_key AND feature_name = '{NAME}'"


class BulkSqliteOnlineStoreConfig(SqliteOnlineStoreConfig):
    """The stock store's settings under this store's name."""

    type: str = f"{__name__}.BulkSqliteOnlineStore"  # type: ignore[assignment]

    @pydantic.model_validator(mode="after")
    def _plain_values_only(self) -> "BulkSqliteOnlineStoreConfig":
        for setting in ("vector_enabled", "text_search_enabled", "enable_openai_compatible_store"):
            if getattr(self, setting):
                raise ValueError(f"{setting} needs an index that this store does not keep: use type: sqlite")
        return self


class BulkSqliteOnlineStore(BulkReads, BulkWrites, SqliteOnlineStore):
    """One row a feature value, as in the stock store; event timestamps are unix seconds and a fraction."""

    def __init__(self) -> None:
        super().__init__()
        self._writing = threading.RLock()
        self._readers = threading.local()
        self._ready: set[str] = set()

    def merge(self, config: RepoConfig, view: Any, batch: Batch, progress: Progress = None) -> None:
        """Replace the rows that are older, in the order of their keys, a statement an entity."""
        name, connection = self._table(config, view), self._get_conn(config)
        form = form_of(view) if set(batch.features) >= {feature.name for feature in view.features} else None
        batch = batch.sorted()
        with self.change(config):
            for start in range(0, len(batch), CHUNK):
                part = batch.rows(slice(start, min(start + CHUNK, len(batch))))
                keys = part.keys.to_numpy(zero_copy_only=False).tolist()
                newer = part.newer_than(versions(connection, name, keys))
                if len(newer):
                    _replace(connection, name, newer, form)
                if progress:
                    progress(len(part))

    def forget(self, config: RepoConfig, view: Any, keys: Sequence[bytes]) -> None:
        """Delete the rows of these keys."""
        statement = f"DELETE FROM {self._table(config, view)} WHERE entity_key = ?"
        with self.change(config):
            self._get_conn(config).executemany(statement, [(key,) for key in keys])

    def versions(self, config: RepoConfig, view: Any) -> pl.DataFrame:
        """Event and created times of the newest value of each key."""
        rows = self._get_conn(config).execute(
            f"SELECT entity_key, max({MOMENT}), max({CREATED}) "
            f"FROM {self._table(config, view)} WHERE entity_key != x'' GROUP BY entity_key"
        )
        schema = {"key": pl.Binary, "event": pl.Int64, "created": pl.Int64}
        return pl.DataFrame(rows.fetchall(), schema, orient="row").with_columns(
            pl.col("created").fill_null(NEVER)
        )

    def reach(self, config: RepoConfig, view: Any) -> Reach | None:
        """The view's row that no entity has."""
        answer = self._get_conn(config).execute(
            f"SELECT value FROM {self._table(config, view)} WHERE entity_key = ? AND feature_name = ?", REACH
        )
        row = answer.fetchone()
        if row is None:
            return None
        until, newest, shape = row[0].decode().split()
        return Reach(int(until), int(newest), shape)

    def publish(self, config: RepoConfig, view: Any, reach: Reach) -> None:
        """Replace the view's row that no entity has."""
        content = f"{reach.until} {reach.newest} {reach.shape}".encode()
        with self.change(config):
            self._get_conn(config).execute(
                f"INSERT OR REPLACE INTO {self._table(config, view)} "
                "(entity_key, feature_name, value, event_ts, event_micros) VALUES (?, ?, ?, ?, 0)",
                (*REACH, content, reach.until // 1_000_000),
            )

    @contextmanager
    def change(self, config: RepoConfig) -> Iterator[None]:
        """One transaction, whatever is called within."""
        connection = self._get_conn(config)
        with self._writing:
            if connection.in_transaction:
                yield
                return
            connection.execute("BEGIN IMMEDIATE")
            with connection:
                yield

    def fetch(
        self, config: RepoConfig, questions: Sequence[tuple[KeyGroup, list[bytes]]]
    ) -> list[list[StoredCells]]:
        """A query for all views with the same key, over a connection of the calling thread."""
        connection = self._reader(config)
        return [cells_of(connection, self._queries(config, group), keys) for group, keys in questions]

    def one_row(self, config: RepoConfig, plan: Plan, row_keys: Sequence[bytes | None]) -> list[Stored]:
        """A statement for all views."""
        if "one row" not in plan.memo:
            plan.memo["one row"] = OneRow(plan, [self._queries(config, group) for group in plan.groups])
        return plan.memo["one row"].read(self._reader(config), row_keys)

    def place(self, config: RepoConfig, read: ViewRead) -> Place:
        """Where a view is, for whoever reads it without Feast."""
        return Place(read.view.name, table=self._table(config, read.view))

    def _queries(self, config: RepoConfig, group: KeyGroup) -> list[Query]:
        if "queries" not in group.memo:
            group.memo["queries"] = [query_of(read, self._table(config, read.view)) for read in group.views]
        return group.memo["queries"]

    def update(
        self,
        config: RepoConfig,
        tables_to_delete: Sequence[Any],
        tables_to_keep: Sequence[Any],
        entities_to_delete: Sequence[Any],
        entities_to_keep: Sequence[Any],
        partial: bool,
    ) -> None:
        """Make the tables of the views that are kept, drop those of the others."""
        for view in tables_to_keep:
            self._table(config, view)
        with self.change(config):
            for view in tables_to_delete:
                self._get_conn(config).execute(f"DROP TABLE IF EXISTS {_quoted(config, view)}")
                self._ready.discard(_quoted(config, view))

    def _table(self, config: RepoConfig, view: Any) -> str:
        """The quoted name of a view's table, which is made, or rebuilt from the stock layout, where needed."""
        name = _quoted(config, view)
        if name not in self._ready:
            if "event_micros" not in _columns(self._get_conn(config), name):
                with self.change(config):
                    _prepare(self._get_conn(config), name)
            self._ready.add(name)
        return name

    def _get_conn(self, config: RepoConfig) -> Any:
        if self._conn is None:
            with self._writing:
                set_up(super()._get_conn(config))
        return self._conn

    def _reader(self, config: RepoConfig) -> sqlite3.Connection:
        """A connection of the calling thread, which sees only what is committed."""
        if not hasattr(self._readers, "connection"):
            self._readers.connection = set_up(sqlite3.connect(self._get_db_path(config)))
        return self._readers.connection


def _quoted(config: RepoConfig, view: Any) -> str:
    versioned = bool(config.registry and config.registry.enable_online_feature_view_versioning)  # type: ignore[union-attr]
    return '"' + compute_table_id(config.project, view, versioned).replace('"', '""') + '"'


def _columns(connection: sqlite3.Connection, name: str) -> set[str]:
    return {row[1] for row in connection.execute(f"PRAGMA table_info({name})")}


def _prepare(connection: sqlite3.Connection, name: str) -> None:
    columns = _columns(connection, name)
    if "event_micros" in columns:
        return
    old = name[:-1] + ' stock"'
    if columns:
        connection.execute(f"ALTER TABLE {name} RENAME TO {old}")
    connection.execute(f"CREATE TABLE {name} ({COLUMNS}) WITHOUT ROWID")
    if columns:
        columns_of_both = "entity_key, feature_name, value, value_text, vector_value, event_ts, created_ts"
        connection.execute(f"INSERT INTO {name} ({columns_of_both}) SELECT {columns_of_both} FROM {old}")
        connection.execute(f"DROP TABLE {old}")
    for event, trigger in TRIGGERS.items():
        body = trigger.format(table=name, forget=FORGET.format(table=name))
        connection.execute(f'CREATE TRIGGER {name[:-1]} {event}" {body}')


def _some(names: list[str], at_most: int) -> Iterator[list[str]]:
    for start in range(0, len(names), at_most):
        yield names[start : start + at_most]


def _replace(connection: sqlite3.Connection, name: str, batch: Batch, form: Form | None) -> None:
    """Put the rows in place of what is there; `form` is that of the packed row if the batch has all features of the view."""
    for features in _some(list(batch.features), ROWS_A_STATEMENT):
        cells = [batch.features[feature] for feature in features]
        connection.executemany(_statement(name, features), _bound(batch, cells))
    cells = packed(form, batch) if form else None
    if cells is not None:
        connection.executemany(_statement(name, [NAME]), _bound(batch, [cells]))
    else:
        gone = [(key,) for key in batch.keys.to_pylist()]
        connection.executemany(f"DELETE FROM {name} WHERE entity_key = ? AND feature_name = '{NAME}'", gone)


def _statement(name: str, features: Sequence[str]) -> str:
    literals = ["'" + feature.replace("'", "''") + "'" for feature in features]
    rows = ", ".join(f"(?1, {text}, ?{6 + i}, ?2, ?3, ?4, ?5)" for i, text in enumerate(literals))
    columns = "entity_key, feature_name, value, event_ts, event_micros, created_ts, created_micros"
    return f"INSERT OR REPLACE INTO {name} ({columns}) VALUES {rows}"


def _bound(batch: Batch, cells: Sequence[pa.Array]) -> Iterator[tuple[Any, ...]]:
    seconds, fractions = np.divmod(batch.event, 1_000_000)
    known = batch.created != NEVER
    created, created_fractions = np.divmod(np.where(known, batch.created, 0), 1_000_000)
    optional = [_where(known, part) for part in (created, created_fractions)]
    values = [some.to_numpy(zero_copy_only=False).tolist() for some in cells]
    keys = batch.keys.to_numpy(zero_copy_only=False).tolist()
    return zip(keys, seconds.tolist(), fractions.tolist(), *optional, *values, strict=True)


def _where(known: np.ndarray, numbers: np.ndarray) -> list[int | None]:
    if not known.any():
        return [None] * len(numbers)
    return [number if here else None for number, here in zip(numbers.tolist(), known.tolist(), strict=True)]
