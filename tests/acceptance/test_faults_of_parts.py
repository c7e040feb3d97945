"""Faults of production on single parts, cheap enough for every change; all of them together are in `test_faults.py`."""

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import dagster as dg
import psycopg2
import pytest
from redis import Redis
from sqlalchemy.exc import OperationalError

from resources.serving.following import Following
from resources.settings import PROJECT_ROOT, settings
from resources.storage.addresses import storage_at
from resources.storage.errors import StorageError
from resources.storage.mirror import Mirror
from tests import postgres
from tests.acceptance.dagster_server import wait
from tests.resources.features.test_use_cases import NOW, START, asked, fill, store
from tests.s3 import BUCKET, served


@pytest.fixture
def door(tmp_path: Path, free_port: Callable[[], int], monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The file that opens and closes the way to an object store, which the AWS_ variables name behind it."""
    with served() as address:
        port, said = free_port(), tmp_path / "door"
        behind = address.rpartition(":")[2]
        command = [sys.executable, "-m", "tests.chaos.door", str(said), str(port), behind]
        with subprocess.Popen(command, cwd=PROJECT_ROOT) as process:
            monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
            try:
                wait(lambda: _reached(f"s3://{BUCKET}/look"), "the door is there", 30)
                yield said
            finally:
                process.terminate()


def _reached(address: str) -> bool:
    try:
        storage_at(address).write("a", b"1")
    except StorageError:
        return False
    return True


def test_while_the_store_is_gone_an_endpoint_has_what_it_had_and_takes_up_the_rest_afterwards(door, tmp_path):
    shared = f"s3://{BUCKET}/shared"
    other = Mirror(tmp_path / "other", f"{shared}/serving")
    other.put("loans.json", b"1")
    here = settings({"MLOPS_HOME": str(tmp_path / "here"), "MLOPS_SHARED": shared})
    following = Following(here)
    following.look()
    door.write_text("closed")
    time.sleep(0.3)
    (here.serving_log / "loans").mkdir(parents=True)
    (here.serving_log / "loans" / "served.parquet").write_bytes(b"vectors")
    following.look()
    assert (here.serving / "loans.json").read_bytes() == b"1"
    with pytest.raises(StorageError):
        other.put("loans.json", b"2")
    assert (tmp_path / "other" / "loans.json").read_bytes() == b"1"
    door.write_text("open")
    time.sleep(0.3)
    other.put("loans.json", b"2")
    following.look()
    assert (here.serving / "loans.json").read_bytes() == b"2"
    assert storage_at(f"{shared}/serving_log").read("loans/served.parquet") == b"vectors"


def test_runs_that_were_acknowledged_while_connections_were_cut_are_there_once(tmp_path, free_port):
    with postgres.served(tmp_path / "postgres", free_port()) as address:
        (tmp_path / "home").mkdir()
        (tmp_path / "home" / "dagster.yaml").write_text(
            f"telemetry: {{enabled: false}}\nstorage: {{postgres: {{postgres_url: '{address}'}}}}\n"
        )
        acknowledged, refused = [], []
        with dg.DagsterInstance.from_config(str(tmp_path / "home")) as instance:
            for number in range(30):
                cut = number % 3 == 0
                with _cut(address) if cut else nullcontext():
                    try:
                        acknowledged.append(instance.create_run_for_job(_job).run_id)
                    except OperationalError:
                        refused.append(cut)
            there = [run.run_id for run in instance.get_runs()]
    assert refused and all(refused), "a run was refused although nothing was cut, or nothing was cut"
    assert set(acknowledged) <= set(there) and len(there) == len(set(there))
    assert len(acknowledged) + len(refused) == 30 >= len(there)


@dg.job
def _job() -> None:
    """Nothing: what counts is that its run is written down."""


@contextmanager
def _cut(address: str) -> Iterator[None]:
    """Meanwhile, end every other connection as soon as it is in a transaction."""
    over = threading.Event()

    def cut() -> None:
        opened = psycopg2.connect(address.replace("+psycopg2", ""))
        opened.autocommit = True
        with opened.cursor() as cursor:
            while not over.is_set():
                cursor.execute(
                    "select pg_terminate_backend(pid) from pg_stat_activity "
                    "where xact_start is not null and pid <> pg_backend_pid() and backend_type = 'client backend'"
                )
        opened.close()

    cutting = threading.Thread(target=cut)
    cutting.start()
    try:
        yield
    finally:
        over.set()
        cutting.join()


def test_an_online_store_that_was_emptied_is_filled_from_the_lake_by_the_next_partition(tmp_path, redis_port):
    address = f"redis://127.0.0.1:{redis_port}/12"
    of: Any = store(tmp_path, "loans", online_store=address)
    fill(tmp_path, "loans", "Ulm")
    of.apply()
    of.materialize(["places", "debts"], START, NOW)
    before = asked(of)
    with Redis(port=redis_port, db=12) as client:
        client.flushdb()
        assert of.online_until(["places", "debts"]) is None
        assert asked(of) == {"city": [None, None], "missed": [None, None]} != before
        of.materialize(["places", "debts"], NOW, NOW)
        assert asked(of) == before
        client.flushdb()
