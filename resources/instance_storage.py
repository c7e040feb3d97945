"""Dagster's SQLite storages with one engine each, kept open.

Dagster makes a new engine for every statement, so each statement is compiled anew: 14 ms an event, and a week's
run has 250 of them. With one engine an event costs a third, and with what its tables are asked once and one transaction
an event, half of that. Schema, files and queries stay Dagster's own.
"""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import Any

import sqlalchemy as db
import sqlalchemy.event
from dagster._core.storage.event_log import SqlPollingEventWatcher
from dagster._core.storage.event_log.sqlite import ConsolidatedSqliteEventLogStorage
from dagster._core.storage.runs import SqliteRunStorage

BUSY_TIMEOUT_SECONDS = 60


def one_engine(address: str) -> db.Engine:
    """An engine whose connections wait for each other; the write-ahead log is safe when a process is killed."""
    waiting = {"timeout": BUSY_TIMEOUT_SECONDS, "check_same_thread": False}
    engine = db.create_engine(address, connect_args=waiting)

    @sqlalchemy.event.listens_for(engine, "connect")
    def relaxed(connection: Any, _record: Any) -> None:
        connection.execute("PRAGMA synchronous=NORMAL")

    return engine


class EventLog(ConsolidatedSqliteEventLogStorage):
    """All events of all runs in one file; watchers poll it, as a write-ahead log hides changes from file watchers."""

    _conn_string: str

    @cached_property
    def _engine(self) -> db.Engine:
        return one_engine(self._conn_string)

    @cached_property
    def _open(self) -> threading.local:
        """The connection of the transaction that this thread is in."""
        return threading.local()

    @cached_property
    def _there(self) -> set[str]:
        """Tables and columns that were seen: none of them is ever dropped."""
        return set()

    @cached_property
    def _poller(self) -> SqlPollingEventWatcher:
        return SqlPollingEventWatcher(self)

    @contextmanager
    def _connect(self) -> Iterator[db.Connection]:
        outer = getattr(self._open, "connection", None)
        if outer is not None:
            yield outer
            return
        with self._engine.begin() as connection:
            yield connection

    @contextmanager
    def _one_transaction(self) -> Iterator[None]:
        """All statements of this thread until the end of the block are kept together or not at all."""
        if getattr(self._open, "connection", None) is not None:
            yield
            return
        with self._engine.begin() as self._open.connection:
            try:
                yield
            finally:
                self._open.connection = None

    def store_event(self, event: Any) -> None:
        with self._one_transaction():
            super().store_event(event)

    def store_event_batch(self, events: Sequence[Any]) -> None:
        """All events or, where one cannot be stored, none: Dagster then stores them one by one."""
        with self._one_transaction():
            for event in events:
                super().store_event(event)

    def has_table(self, table_name: str) -> bool:
        if table_name not in self._there:
            with self._connect() as connection:
                there = self._engine.dialect.has_table(connection, table_name)
            self._there.update([table_name] if there else [])
        return table_name in self._there

    def _has_asset_key_col_on_connection(self, conn: db.Connection, column_name: str) -> bool:
        column = f"asset_keys.{column_name}"
        if column not in self._there and super()._has_asset_key_col_on_connection(conn, column_name):
            self._there.add(column)
        return column in self._there

    def watch(self, run_id: str, cursor: Any, callback: Any) -> None:
        self._poller.watch_run(run_id, cursor, callback)

    def end_watch(self, run_id: str, handler: Any) -> None:
        self._poller.unwatch_run(run_id, handler)

    def dispose(self) -> None:
        if "_poller" in self.__dict__:
            self._poller.close()
        self._engine.dispose()


class Runs(SqliteRunStorage):
    """The table of runs."""

    _conn_string: str

    @classmethod
    def from_config_value(cls, inst_data: Any, config_value: Any) -> "Runs":
        return cls.from_local(inst_data=inst_data, **config_value)

    @cached_property
    def _engine(self) -> db.Engine:
        return one_engine(self._conn_string)

    @contextmanager
    def connect(self) -> Iterator[db.Connection]:
        with self._engine.begin() as connection:
            yield connection

    def dispose(self) -> None:
        self._engine.dispose()
