"""Dagster's SQLite storages with one engine a process for each file.

Dagster makes a new engine for every statement, so each statement is compiled anew: 14 ms an event, and a partition's
run has 250 of them. With one engine an event costs a third, and with what its tables are asked once and one transaction
an event, half of that. And whoever opens an instance, as each tick of each sensor does, reads the program of every
migration that Dagster ever had; here a process does it once a file. Schema, files and queries stay Dagster's own.
"""

import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, TypeVar

import sqlalchemy as db
import sqlalchemy.event
from dagster import AssetKey, AssetRecordsFilter, EventLogEntry
from dagster._core.errors import DagsterInvariantViolationError
from dagster._core.event_api import EventLogCursor, EventRecordsResult
from dagster._core.events import ASSET_CHECK_EVENTS, ASSET_EVENTS
from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecordStatus
from dagster._core.storage.event_log import SqlPollingEventWatcher
from dagster._core.storage.event_log.schema import AssetCheckExecutionsTable, SqlEventLogStorageTable
from dagster._core.storage.event_log.sqlite import ConsolidatedSqliteEventLogStorage
from dagster._core.storage.runs import SqliteRunStorage
from dagster._core.storage.schedules import SqliteScheduleStorage
from dagster._core.storage.sqlite import create_db_conn_string

BUSY_TIMEOUT_SECONDS = 60
PLANNED, SUCCEEDED, FAILED = (
    status.value
    for status in (
        AssetCheckExecutionRecordStatus.PLANNED,
        AssetCheckExecutionRecordStatus.SUCCEEDED,
        AssetCheckExecutionRecordStatus.FAILED,
    )
)
CHECKS = AssetCheckExecutionsTable.c
EVENT, CHECK = SqlEventLogStorageTable.insert(), AssetCheckExecutionsTable.insert()
EVALUATED = AssetCheckExecutionsTable.update().where(
    CHECKS.asset_key == db.bindparam("of_asset_key"),
    CHECKS.check_name == db.bindparam("of_check_name"),
    CHECKS.run_id == db.bindparam("of_run_id"),
    CHECKS.partition.is_not_distinct_from(db.bindparam("of_partition")),
)
ANY_MATERIALIZATION = (
    "SELECT 1 FROM event_logs WHERE asset_key = ? AND dagster_event_type = 'ASSET_MATERIALIZATION' "
    "AND partition = ? LIMIT 1"
)


Opened = TypeVar("Opened", bound="Runs | Schedules")


def open_once(kind: type[Opened], base_dir: str, name: str, inst_data: Any) -> Opened:
    """A storage as Dagster's `from_local` opens it; where this process did so before, its schema is not asked for again."""
    address = create_db_conn_string(base_dir, name)
    before = _whole(address)
    if before in _WHOLE:
        return kind(address, inst_data)
    storage = kind.from_local(base_dir=base_dir, inst_data=inst_data)
    _WHOLE.add(_whole(address))
    return storage  # type: ignore[return-value]


_WHOLE: set[str] = set()
"""Files whose schema this process has seen to be there."""


def _whole(address: str) -> str:
    """A file's address and number: another file in its place has another one, and a missing one none that was seen."""
    path = Path(str(db.make_url(address).database))
    return f"{address} {path.stat().st_ino if path.exists() else os.urandom(8).hex()}"


def engine_of(address: str) -> db.Engine:
    """This process's engine for a file; a process that was forked has its own."""
    return _engine(address, _whole(address), os.getpid())


@lru_cache(maxsize=32)
def _engine(address: str, _file: str, _process: int) -> db.Engine:
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
        return engine_of(self._conn_string)

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

    def store_event(self, event: EventLogEntry) -> None:
        """Dagster's own, with statements that are made once, and the event made into text once."""
        with self._one_transaction():
            row = self._event_to_row(event)
            event_id = self._open.connection.execute(EVENT, row).inserted_primary_key[0]
            if event.is_dagster_event and event.dagster_event_type in ASSET_EVENTS and row["asset_key"]:
                self._store_asset_event_tags(self._open.connection, [event], [event_id])
                self._store_asset_event(self._open.connection, event, event_id)
            if event.is_dagster_event and event.dagster_event_type in ASSET_CHECK_EVENTS:
                self._open.text = row["event"]
                self.store_asset_check_event(event, event_id)

    def store_event_batch(self, events: Sequence[EventLogEntry]) -> None:
        """All events or, where one cannot be stored, none: Dagster then stores them one by one."""
        with self._one_transaction():
            for event in events:
                self.store_event(event)

    def _store_asset_check_evaluation_planned(self, event: EventLogEntry, event_id: int | None) -> None:
        planned: Any = event.get_dagster_event().event_specific_data
        names = planned.partitions_subset.get_partition_keys() if planned.partitions_subset else [None]
        row = self._check_row(event, event_id, PLANNED)
        keys = {"asset_key": planned.asset_key.to_string(), "check_name": planned.check_name}
        rows = [{**row, **keys, "run_id": event.run_id, "partition": name} for name in names]
        self._open.connection.execute(CHECK, rows)

    def _update_asset_check_evaluation(self, event: EventLogEntry, event_id: int | None) -> None:
        evaluation: Any = event.get_dagster_event().event_specific_data
        target = evaluation.target_materialization_data
        row = {
            **self._check_row(event, event_id, SUCCEEDED if evaluation.passed else FAILED),
            "materialization_event_storage_id": target.storage_id if target else None,
            "partition": evaluation.partition,
        }
        of = {
            "asset_key": evaluation.asset_key.to_string(),
            "check_name": evaluation.check_name,
            "run_id": event.run_id,
        }
        where = {f"of_{name}": value for name, value in of.items()}
        done = self._open.connection.execute(
            EVALUATED, {**row, **where, "of_partition": evaluation.partition}
        )
        if done.rowcount == 0:
            self._open.connection.execute(CHECK, {**row, **of})
        elif done.rowcount > 1:
            raise DagsterInvariantViolationError(f"{of}: {done.rowcount} planned checks, one was expected")

    def _check_row(self, event: EventLogEntry, event_id: int | None, status: str) -> dict[str, Any]:
        return {
            "execution_status": status,
            "evaluation_event": self._open.text,
            "evaluation_event_timestamp": self._event_insert_timestamp(event),
            "evaluation_event_storage_id": event_id,
        }

    def fetch_materializations(
        self,
        records_filter: AssetKey | AssetRecordsFilter,
        limit: int,
        cursor: str | None = None,
        ascending: bool = False,
    ) -> EventRecordsResult:
        """Dagster's own, which each check asks twice, unless there is none: a new partition has no materialization yet."""
        if isinstance(records_filter, AssetRecordsFilter) and cursor is None:
            names = records_filter.asset_partitions or []
            if len(names) == 1 and not self._is_materialized(records_filter.asset_key, names[0]):
                return EventRecordsResult([], EventLogCursor.from_storage_id(-1).to_string(), has_more=False)
        return super().fetch_materializations(records_filter, limit, cursor, ascending)

    def _is_materialized(self, asset: AssetKey, partition: str) -> bool:
        with self._connect() as connection:
            answer = connection.exec_driver_sql(ANY_MATERIALIZATION, (asset.to_string(), partition))
            return answer.first() is not None

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


class _OneEngine:
    """What the two storages have in common that Dagster asks for a connection."""

    _conn_string: str

    @cached_property
    def _engine(self) -> db.Engine:
        return engine_of(self._conn_string)

    @contextmanager
    def connect(self) -> Iterator[db.Connection]:
        with self._engine.begin() as connection:
            yield connection

    def dispose(self) -> None:
        self._engine.dispose()


class Runs(_OneEngine, SqliteRunStorage):
    """The table of runs."""

    @classmethod
    def from_config_value(cls, inst_data: Any, config_value: Any) -> "Runs":
        return open_once(cls, config_value["base_dir"], "runs", inst_data)


class Schedules(_OneEngine, SqliteScheduleStorage):
    """Sensors, schedules and their ticks."""

    @classmethod
    def from_config_value(cls, inst_data: Any, config_value: Any) -> "Schedules":
        return open_once(cls, config_value["base_dir"], "schedules", inst_data)
