"""Old logs go from Dagster's storage, and every page of an asset shows what it showed."""

import os
import shutil
import signal
import threading
import traceback
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecordStatus

from mlops_assets.automation.retention import retain
from mlops_assets.local.servers import prepare_dagster_home
from resources import instance_retention
from resources.instance_retention import LOGS, Freed, compact, files, on_disk, trim
from resources.local import local_resources
from resources.settings import settings

LATER = datetime.now(UTC) + timedelta(days=1)


@pytest.fixture
def home(small_home, tmp_path, monkeypatch) -> Path:
    """A copy of eight replayed weeks."""
    copied = tmp_path / "home"
    shutil.copytree(small_home, copied)
    monkeypatch.setenv("MLOPS_HOME", str(copied))
    monkeypatch.setenv("DAGSTER_HOME", str(copied / "dagster"))
    return copied


@pytest.fixture
def instance(home) -> Iterator[dg.DagsterInstance]:
    prepare_dagster_home(settings())
    with dg.DagsterInstance.get() as opened:
        yield opened


def history(instance: dg.DagsterInstance) -> dict[str, Any]:
    """What the pages of all assets show: every materialization and check, the partitions, and what runs there were."""
    storage, found = instance.event_log_storage, dict[str, Any]()
    for key in instance.all_asset_keys():
        made = instance.fetch_materializations(key, limit=1000).records
        found[f"{key} made"] = [
            (r.storage_id, r.run_id, r.partition_key, repr(r.asset_materialization)) for r in made
        ]
        found[f"{key} partitions"] = sorted(storage.get_materialized_partitions(key))
        record = instance.get_asset_records([key])[0]
        found[f"{key} last"] = (
            record.asset_entry.last_run_id,
            record.asset_entry.last_materialization_storage_id,
        )
    for key, name in checks(instance):
        history = storage.get_asset_check_execution_history(dg.AssetCheckKey(key, name), limit=1000)
        done = [r for r in history if r.status != AssetCheckExecutionRecordStatus.PLANNED]
        found[f"{key} {name}"] = [(r.run_id, r.status, repr(r.event)) for r in done]
    found["runs"] = sorted((r.run_id, r.status, tuple(r.tags)) for r in instance.get_runs())
    return found


def checks(instance: dg.DagsterInstance) -> set[tuple[dg.AssetKey, str]]:
    with instance.event_log_storage.index_connection() as connection:
        rows = connection.exec_driver_sql("SELECT DISTINCT asset_key, check_name FROM asset_check_executions")
        return {(dg.AssetKey.from_db_string(key) or dg.AssetKey(key), name) for key, name in rows}


def types(instance: dg.DagsterInstance) -> dict[str | None, int]:
    with instance.event_log_storage.index_connection() as connection:
        asked = "SELECT dagster_event_type, count(*) FROM event_logs GROUP BY 1"
        return {row[0]: row[1] for row in connection.exec_driver_sql(asked)}


def test_logs_go_and_the_history_of_every_asset_stays(instance):
    before, had = history(instance), types(instance)
    assert sum(len(v) for k, v in before.items() if k.endswith(" made")) > 100
    told = trim(instance, LATER, dry=True)
    assert (types(instance), told.runs) == (had, len(instance.get_runs()))
    assert trim(instance, LATER) == told
    assert history(instance) == before
    assert set(types(instance)) == set(had) - {None, *LOGS}
    assert told.events == sum(had[kind] for kind in set(had) & {None, *LOGS})
    assert trim(instance, LATER) == Freed()


def test_a_plan_of_a_check_that_was_evaluated_is_kept_once(instance):
    asked = "SELECT count(*) FROM asset_check_executions WHERE execution_status = 'PLANNED'"

    def planned() -> int:
        with instance.event_log_storage.index_connection() as connection:
            return connection.exec_driver_sql(asked).scalar() or 0

    assert planned() > 100
    trim(instance, LATER)
    assert planned() < 10


def test_runs_that_are_younger_or_have_not_ended_keep_their_logs(instance):
    had = types(instance)
    assert trim(instance, datetime.now(UTC) - timedelta(days=1)) == Freed()
    run = instance.get_runs(limit=1)[0]
    with instance.run_storage.connect() as connection:
        connection.exec_driver_sql("UPDATE runs SET status = 'STARTED' WHERE run_id = ?", (run.run_id,))
    trim(instance, LATER)
    assert len(instance.all_logs(run.run_id)) > 10
    assert sum(types(instance).values()) < sum(had.values()) / 2


@pytest.mark.parametrize("deletions", [0, 3])
def test_a_process_that_is_killed_in_between_is_followed_by_one_that_ends_it(home, deletions):
    with_instance(home, lambda instance: (home / "before").write_text(repr(history(instance))))
    pid = os.fork()
    if not pid:
        try:
            with_instance(home, lambda instance: killed_after(instance, deletions))
        finally:
            traceback.print_exc()
            os._exit(1)
    assert os.WTERMSIG(os.waitpid(pid, 0)[1]) == signal.SIGKILL

    def ended(instance: dg.DagsterInstance) -> None:
        assert trim(instance, LATER).runs == len(instance.get_runs()) - deletions
        assert repr(history(instance)) == (home / "before").read_text()
        assert trim(instance, LATER) == Freed()

    with_instance(home, ended)


def with_instance(home: Path, work: Any) -> None:
    prepare_dagster_home(settings({"MLOPS_HOME": str(home)}))
    with dg.DagsterInstance.get() as instance:
        work(instance)


def killed_after(instance: dg.DagsterInstance, deletions: int) -> None:
    whole, left = instance_retention._delete, [deletions]

    def part(storage: Any, run: str) -> None:
        if not left[0]:
            os.kill(os.getpid(), signal.SIGKILL)
        left[0] -= 1
        whole(storage, run)

    instance_retention._delete = part
    trim(instance, LATER)


def test_a_run_that_goes_on_meanwhile_loses_nothing(instance):
    """Events are stored by another thread, through a connection of its own, while logs go and the file is written anew."""
    run = instance.create_run_for_job(tiny)
    stop, stored = threading.Event(), [0]

    def store() -> None:
        while not stop.is_set():
            instance.report_engine_event(f"event {stored[0]}", run)
            stored[0] += 1

    writer = threading.Thread(target=store)
    writer.start()
    try:
        retain(
            settings({"MLOPS_HOME": os.environ["MLOPS_HOME"], "MLOPS_KEEP_LOGS_DAYS": "0"}),
            instance,
            tracking(),
        )
    finally:
        stop.set()
        writer.join()
    told = [event.message for event in instance.all_logs(run.run_id)]
    assert stored[0] > 0
    assert [message for message in told if message.startswith("event ")] == [
        f"event {n}" for n in range(stored[0])
    ]


def tracking() -> Any:
    return local_resources(settings())["tracking"]


@dg.job
def tiny() -> None:
    """A job without steps."""


def test_it_says_what_it_freed_and_the_file_is_smaller(instance, home):
    said: list[str] = []
    where = settings({"MLOPS_HOME": str(home), "MLOPS_KEEP_LOGS_DAYS": "0", "MLOPS_KEEP_TRIALS_DAYS": "0"})
    before = on_disk(files(home / "dagster"))
    retain(where, instance, tracking(), tell=said.append)
    assert on_disk(files(home / "dagster")) < 0.75 * before
    assert "events with" in said[0] and "were removed" in said[0]
    assert said[-1].startswith("databases: ")
    retain(where, instance, tracking(), dry=True, tell=said.append)
    assert "logs of 0 runs" in said[-2]


def test_a_file_that_is_in_use_keeps_its_size_until_the_next_time(home, monkeypatch):
    import sqlite3

    path = home / "dagster" / "storage" / "event_log.db"
    with sqlite3.connect(path) as connection:
        connection.execute("DELETE FROM event_logs")
    said: list[str] = []
    monkeypatch.setattr(instance_retention, "PATIENCE_S", 0)
    with sqlite3.connect(path, isolation_level=None) as other:
        other.execute("BEGIN IMMEDIATE")
        compact(path, said.append)
        assert "keeps its size until the next time" in said[0]
        other.execute("ROLLBACK")
    size = path.stat().st_size
    compact(path, said.append)
    assert len(said) == 1
    assert path.stat().st_size < size


def test_a_bare_dagster_with_a_file_a_run_is_trimmed_too(tmp_path):
    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
        done = noisy.execute_in_process(instance=instance)
        assert done.success
        made = instance.fetch_materializations(dg.AssetKey("noise"), limit=10).records
        assert trim(instance, LATER).runs == 1
        left = {event.dagster_event_type for event in instance.all_logs(done.run_id)}
        assert None not in left
        assert not {kind.value for kind in left if kind} & set(LOGS)
        assert instance.fetch_materializations(dg.AssetKey("noise"), limit=10).records == made
        assert trim(instance, LATER) == Freed()
        shards = list(tmp_path.rglob(f"{done.run_id}.db"))
        assert len(shards) == 1
        shards[0].unlink()
        assert trim(instance, LATER) == Freed()
        assert list(tmp_path.rglob(f"{done.run_id}.db")) == []


@dg.op
def noise(context: dg.OpExecutionContext) -> None:
    context.log.info("said")
    context.log_event(dg.AssetMaterialization("noise"))


@dg.job(executor_def=dg.in_process_executor)
def noisy() -> None:
    noise()


def test_nothing_beside_the_spared_types_is_named_as_a_log():
    known = {kind.value for kind in dg.DagsterEventType}
    assert set(LOGS) <= known
    spared = {
        "ASSET_MATERIALIZATION",
        "ASSET_OBSERVATION",
        "ASSET_CHECK_EVALUATION",
        "STEP_FAILURE",
        "PIPELINE_FAILURE",
    }
    assert not spared & set(LOGS)
