"""The event log that is cheaper than Dagster's own holds, after the same runs, just what Dagster's own holds."""

import re
import shutil
import sqlite3
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import dagster as dg
import pytest
from alembic.script import ScriptDirectory
from dagster._core.events import ASSET_CHECK_EVENTS, DagsterEventType

from mlops_assets.local.servers import prepare_dagster_home
from resources.instance_storage import engine_of
from resources.settings import settings

TABLES = ("event_logs", "asset_keys", "asset_event_tags", "asset_check_executions")
OURS = "resources.instance_storage", "EventLog"
DAGSTERS = "dagster._core.storage.event_log.sqlite", "ConsolidatedSqliteEventLogStorage"
WEEKS = dg.StaticPartitionsDefinition(["first", "second"])


@dg.asset(partitions_def=WEEKS, check_specs=[dg.AssetCheckSpec("is_sound", asset="rows", blocking=True)])
def rows(context: dg.AssetExecutionContext):
    yield dg.AssetCheckResult(
        check_name="is_sound", passed=context.partition_key == "first", metadata={"n": 3}
    )
    yield dg.MaterializeResult(
        metadata={"rows": 3}, data_version=dg.DataVersion("one"), tags={"kind": "test"}
    )


@dg.asset(deps=[rows], check_specs=[dg.AssetCheckSpec("has_rows", asset="summary")])
def summary():
    yield dg.MaterializeResult(check_results=[dg.AssetCheckResult(check_name="has_rows", passed=True)])


@dg.asset_check(asset=summary)
def is_small():
    return dg.AssetCheckResult(passed=False, severity=dg.AssetCheckSeverity.WARN)


def opened(home: Path, storage: tuple[str, str]) -> dg.DagsterInstance:
    """An instance on disk whose events lie in one of the two storages."""
    home.mkdir()
    module, name = storage
    place = f'{{base_dir: "{home}"}}'
    home.joinpath("dagster.yaml").write_text(
        f"telemetry: {{enabled: false}}\nevent_log_storage:\n  module: {module}\n  class: {name}\n  config: {place}\n"
    )
    return dg.DagsterInstance.from_config(str(home))


def lived(home: Path, storage: tuple[str, str]) -> dict[str, list[tuple]]:
    """The rows of every table after two partitions, one of them twice, and what hangs on them."""
    with opened(home, storage) as instance:
        for week in ("first", "second", "first"):
            dg.materialize([rows], instance=instance, partition_key=week, raise_on_error=False)
        dg.materialize([summary, is_small], instance=instance, selection=dg.AssetSelection.assets(summary))
    with sqlite3.connect(home / "event_log.db") as connection:
        return {table: told(connection, table) for table in TABLES}


def told(connection: sqlite3.Connection, table: str) -> list[tuple]:
    """A table's rows in order, without what differs from run to run: times, ids of runs, durations."""
    changing = re.compile(
        r'[0-9a-f]{8}-[0-9a-f-]{27}|"(timestamp|duration_ms|log_key)": ("[a-z]+"|[\d.]+)|\d{4}-\d\d-\d\d \d\d:\d\d:\d\d[.\d]*|'
        r"\d+(\.\d+)?m?s\b|pid: \d+|process[^\"]*|\b1\d{9}\.\d+|/[^\" ]*/test_[^\" ]*|[0-9a-f]{32,64}"
    )
    found = connection.execute(f"SELECT * FROM {table} ORDER BY id").fetchall()
    return [tuple(changing.sub("~", one) if isinstance(one, str) else one for one in row) for row in found]


def test_the_same_runs_leave_the_same_rows_as_in_dagsters_own_storage(tmp_path):
    ours, dagsters = lived(tmp_path / "ours", OURS), lived(tmp_path / "dagsters", DAGSTERS)
    assert {table: len(kept) for table, kept in ours.items()} == {t: len(k) for t, k in dagsters.items()}
    for table in TABLES:
        assert ours[table] == dagsters[table], table


def test_planned_events_stored_in_one_transaction_are_those_stored_one_by_one(tmp_path, monkeypatch):
    single = lived(tmp_path / "single", OURS)
    monkeypatch.setenv("DAGSTER_EVENT_BATCH_SIZE", "1000")
    batched = lived(tmp_path / "batched", OURS)
    for table in TABLES:
        assert sorted(map(str, single[table])) == sorted(map(str, batched[table])), table


def test_an_event_that_cannot_be_stored_whole_leaves_nothing(tmp_path, monkeypatch):
    with opened(tmp_path / "home", OURS) as instance:
        dg.materialize([rows], instance=instance, partition_key="first")
        log = instance.event_log_storage
        before = instance.all_logs(instance.get_runs()[0].run_id)
        event = next(e for e in before if e.dagster_event_type in ASSET_CHECK_EVENTS)

        def broken(*_):
            raise OSError("disk full")

        monkeypatch.setattr(log, "store_asset_check_event", broken)
        with pytest.raises(OSError, match="disk full"):
            log.store_event(event)
        monkeypatch.undo()
        assert len(instance.all_logs(event.run_id)) == len(before)


def test_a_check_names_the_materialization_it_was_made_for(tmp_path):
    with opened(tmp_path / "home", OURS) as instance:
        for _ in range(2):
            dg.materialize([rows], instance=instance, partition_key="first")
        newest, oldest = (
            instance.all_logs(run.run_id, DagsterEventType.ASSET_CHECK_EVALUATION)[0].get_dagster_event()
            for run in instance.get_runs()
        )
    assert oldest.asset_check_evaluation_data.target_materialization_data is None
    assert newest.asset_check_evaluation_data.target_materialization_data is not None


@pytest.fixture
def ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Dagster's home as `mlops` prepares it."""
    monkeypatch.setenv("MLOPS_HOME", str(tmp_path))
    monkeypatch.setenv("DAGSTER_HOME", "")
    return prepare_dagster_home(settings({"MLOPS_HOME": str(tmp_path)}))


def cursor_of(instance: dg.DagsterInstance, cursor: str | None = None) -> str | None:
    """What the instance keeps below a key, and is to keep."""
    before = instance.run_storage.get_cursor_values({"test"}).get("test")
    if cursor:
        instance.run_storage.set_cursor_values({"test": cursor})
    return before


def test_a_process_reads_dagsters_migrations_once_however_often_it_opens_an_instance(ours, monkeypatch):
    with dg.DagsterInstance.from_config(str(ours)) as instance:
        assert cursor_of(instance, "kept") is None and instance.all_instigator_state() == []
    read = list[object]()
    monkeypatch.setattr(ScriptDirectory, "from_config", lambda config: read.append(config))
    with dg.DagsterInstance.from_config(str(ours)) as instance:
        assert cursor_of(instance) == "kept" and instance.all_instigator_state() == []
    assert read == []


def test_a_home_that_was_removed_is_made_anew_and_not_taken_for_the_one_that_was_there(ours):
    with dg.DagsterInstance.from_config(str(ours)) as instance:
        cursor_of(instance, "kept")
    for folder in ("storage", "schedules"):
        shutil.rmtree(ours / folder)
    with dg.DagsterInstance.from_config(str(ours)) as instance:
        assert cursor_of(instance) is None and instance.all_instigator_state() == []
        assert list(instance.get_runs()) == []


def test_a_forked_process_has_connections_of_its_own(ours):
    address = f"sqlite:///{ours}/storage/runs.db"
    with dg.DagsterInstance.from_config(str(ours)) as instance:
        cursor_of(instance, "kept")
        here = engine_of(address)
        with ProcessPoolExecutor(1, mp_context=get_context("fork")) as other:
            assert other.submit(is_of_another_engine, address, id(here)).result()
        assert engine_of(address) is here and cursor_of(instance) == "kept"


def is_of_another_engine(address: str, number: int) -> bool:
    engine = engine_of(address)
    with engine.begin() as connection:
        connection.exec_driver_sql("SELECT 1 FROM runs LIMIT 1")
        return id(engine) != number
