"""What Dagster keeps of runs that ended long ago: the history of assets stays, the log of how each run went does not.

Materializations, observations, checks, what was planned, why a run failed and how it ended stay, so that every page of an
asset shows what it showed. Rows of runs stay too: the sensors ask them what was tried.
"""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

LOGS = (
    *("STEP_OUTPUT", "STEP_INPUT", "STEP_START", "STEP_SUCCESS", "STEP_SKIPPED", "STEP_UP_FOR_RETRY"),
    *("STEP_RESTARTED", "STEP_WORKER_STARTING", "STEP_WORKER_STARTED", "STEP_EXPECTATION_RESULT"),
    *("RESOURCE_INIT_STARTED", "RESOURCE_INIT_SUCCESS", "OBJECT_STORE_OPERATION", "ASSET_STORE_OPERATION"),
    *("LOADED_INPUT", "HANDLED_OUTPUT", "HOOK_COMPLETED", "HOOK_SKIPPED", "LOGS_CAPTURED", "ENGINE_EVENT"),
    "ASSET_CHECK_EVALUATION_PLANNED",
)
"""Types of events that no page of an asset or a check reads; what a step logged has no type. A type not named here stays.

Whether a check was planned and not evaluated stands in the table of checks. There a check of a partition that was
evaluated for the whole asset stands twice: Dagster finds no row of its plan to put the result in, and makes another.
"""

RUNS_AT_ONCE = 500
WORTH_IT = 0.1
"""The part of a SQLite file that must be free for it to be written anew."""

PATIENCE_S = 60


@dataclass(frozen=True)
class Freed:
    """How many runs lost their logs, and how much that was."""

    runs: int = 0
    events: int = 0
    characters: int = 0


def trim(instance: Any, before: datetime, dry: bool = False) -> Freed:
    """Remove events and captured output of runs that ended before a moment, a run at a time; the same again removes nothing more.

    Killed in between, it is ended by the same again: a run's output goes before its events, and its events at once.
    """
    runs = events = characters = 0
    for run in _ended(instance, before):
        count, size = _logs_of(instance.event_log_storage, run)
        if not count:
            continue
        if not dry:
            instance.compute_log_manager.delete_logs(prefix=[run, "compute_logs"])
            _delete(instance.event_log_storage, run)
        runs, events, characters = runs + 1, events + count, characters + size
    return Freed(runs, events, characters)


def _ended(instance: Any, before: datetime) -> Iterator[str]:
    from dagster import RunsFilter
    from dagster._core.storage.dagster_run import FINISHED_STATUSES

    question, cursor = RunsFilter(statuses=list(FINISHED_STATUSES), updated_before=before), None
    while records := instance.get_run_records(question, limit=RUNS_AT_ONCE, cursor=cursor, ascending=True):
        yield from (record.dagster_run.run_id for record in records)
        cursor = records[-1].dagster_run.run_id


def _logs_of(storage: Any, run: str) -> tuple[int, int]:
    """Number of a run's events that go, and of their characters."""
    import sqlalchemy as db
    from dagster._core.storage.event_log.schema import SqlEventLogStorageTable as Events

    if not _is_there(storage, run):
        return 0, 0
    question = db.select(db.func.count(), db.func.sum(db.func.length(Events.c.event))).where(_going(run))
    with storage.run_connection(run) as connection:
        count, size = connection.execute(question).one()
    return count, size or 0


def _delete(storage: Any, run: str) -> None:
    from dagster._core.storage.event_log.schema import SqlEventLogStorageTable as Events

    with storage.index_connection() as connection:
        connection.execute(_told_twice(run))
    with storage.run_connection(run) as connection:
        connection.execute(Events.delete().where(_going(run)))


def _told_twice(run: str) -> Any:
    """Removes the plans of checks that the same run evaluated."""
    import sqlalchemy as db
    from dagster._core.storage.event_log.schema import AssetCheckExecutionsTable as Checks

    done = Checks.alias("done")
    evaluated = db.select(done.c.id).where(
        done.c.run_id == run,
        done.c.execution_status != "PLANNED",
        done.c.asset_key == Checks.c.asset_key,
        done.c.check_name == Checks.c.check_name,
    )
    planned = (Checks.c.run_id == run, Checks.c.execution_status == "PLANNED")
    return Checks.delete().where(*planned, evaluated.exists())


def _going(run: str) -> Any:
    import sqlalchemy as db
    from dagster._core.storage.event_log.schema import SqlEventLogStorageTable as Events

    kind = Events.c.dagster_event_type
    return db.and_(Events.c.run_id == run, db.or_(kind.is_(None), kind.in_(LOGS)))


def _is_there(storage: Any, run: str) -> bool:
    """Dagster's default on one machine has a file a run, which must not be made by asking for it."""
    shard = getattr(storage, "path_for_shard", None)
    return shard is None or Path(shard(run)).exists()


def files(folder: Path) -> list[Path]:
    """The SQLite files below a folder."""
    return sorted(path for path in folder.rglob("*.db") if path.is_file())


def on_disk(paths: list[Path]) -> int:
    """Bytes of SQLite files with their write-ahead logs."""
    named = (Path(f"{path}{ending}") for path in paths for ending in ("", "-wal"))
    return sum(path.stat().st_size for path in named if path.exists())


def compact(path: Path, tell: Callable[[str], Any] = print) -> None:
    """Write a SQLite file anew where enough of it is free; whoever uses it waits for a moment, or it is left for the next time."""
    with closing(sqlite3.connect(path, timeout=PATIENCE_S, isolation_level=None)) as connection:
        free, pages = (
            connection.execute(f"PRAGMA {of}").fetchone()[0] for of in ("freelist_count", "page_count")
        )
        if free <= WORTH_IT * pages:
            return
        try:
            connection.execute("VACUUM")
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        except sqlite3.OperationalError as error:
            tell(f"{path.name} was in use for {PATIENCE_S} s and keeps its size until the next time: {error}")
