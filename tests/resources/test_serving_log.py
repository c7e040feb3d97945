"""What is handed to the serving log is on disk after it is closed, once, whatever happens on the way."""

import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest

from resources.serving import log_writer
from resources.serving.log import ServingLogResource
from resources.serving.log_writer import ServingLog
from resources.settings import PROJECT_ROOT
from tests.resources.serving_log_samples import NOON, SERVICE, WALL, answered


def read(folder: Path, model: str = "stops", newest: int = 10_000) -> pl.DataFrame:
    return ServingLogResource(folder=str(folder)).read(model, newest)


def ids(folder: Path, model: str = "stops") -> list[str]:
    frame = read(folder, model)
    return frame["__request_id"].to_list() if frame.width else []


def files(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.parquet"))


def until(holds, seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_served_vector_is_logged_with_all_that_replaying_it_takes(tmp_path):
    log = ServingLog(tmp_path)
    log.append(answered(["r1", "r2"]))
    log.close()
    frame = read(tmp_path)
    assert "form" not in frame.columns
    assert frame.row(1, named=True) == {
        "__request_id": "r2",
        "__requested_at": NOON,
        "__log_timestamp": WALL,
        "__log_date": WALL.date(),
        "__model": "stops",
        "__model_version": "3",
        "__feature_service": "pumps_v1",
        "__definition": "a1",
        "__score": 1.0,
        "pump": "P1",
        "hour": 1,
        "state__vibration": 1.0,
        "state__label": "b",
        "computed__ratio": 0.5,
        **dict.fromkeys(
            ("state__vibration__timestamp", "state__label__timestamp", "computed__ratio__timestamp"), NOON
        ),
        **dict.fromkeys(("state__vibration__status", "state__label__status", "computed__ratio__status"), 1),
    }
    assert frame["state__vibration__status"].to_list() == [3, 1]
    assert ServingLogResource(folder=str(tmp_path)).definitions("stops") == {"a1": SERVICE}


def test_nobody_logged_is_no_rows(tmp_path):
    assert read(tmp_path / "nowhere").is_empty()


def test_requests_of_many_threads_are_all_there_once(tmp_path):
    log = ServingLog(tmp_path, every_s=0.01, most_rows=20, merge=4)

    def ask(thread: int) -> None:
        for number in range(50):
            log.append(answered([f"{thread}-{number}-{i}" for i in range(3)]))

    threads = [threading.Thread(target=ask, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    log.close()
    assert sorted(ids(tmp_path)) == sorted(
        f"{t}-{n}-{i}" for t in range(4) for n in range(50) for i in range(3)
    )
    assert log.status() == {"written": 600, "waiting": 0, "lost": 0}


def test_what_came_is_on_disk_before_anybody_asks_for_it(tmp_path):
    log = ServingLog(tmp_path, every_s=0.05)
    log.append(answered(["r1"]))
    until(lambda: ids(tmp_path) == ["r1"])
    log.close()


def test_each_model_and_day_has_its_own_folder_and_each_definition_its_own_file(tmp_path):
    log = ServingLog(tmp_path, merge=1000)
    changed = replace(SERVICE, definition="b2", views=SERVICE.views[:1])
    log.append(answered(["r1"]))
    log.append(answered(["r2"], served_at=WALL + timedelta(days=1), service=changed))
    log.append(answered(["r3"], model="leaks"))
    log.close()
    days = {str(path.parent.relative_to(tmp_path)) for path in files(tmp_path)}
    assert days == {"stops/2026-01-05", "stops/2026-01-06", "leaks/2026-01-05"}
    both = read(tmp_path)
    assert both["__definition"].to_list() == ["a1", "b2"]
    assert both["computed__ratio"].to_list() == [0.5, None]
    assert read(tmp_path, newest=1)["__request_id"].to_list() == ["r2"]


def test_a_writer_merges_its_files_so_that_they_stay_few(tmp_path):
    log = ServingLog(tmp_path, every_s=0.001, merge=8)
    for number in range(40):
        log.append(answered([f"r{number}"]))
        until(lambda number=number: log.written == number + 1)
    log.close()
    assert ids(tmp_path) == [f"r{number}" for number in range(40)]
    assert len(files(tmp_path)) < 16


def test_a_merge_holds_no_more_rows_in_memory_however_many_are_asked(tmp_path, monkeypatch):
    monkeypatch.setattr(log_writer, "MERGED_ROWS", 12)
    log = ServingLog(tmp_path, every_s=0.001)
    for number in range(20):
        log.append(answered([f"r{number:02}{place}" for place in range(5)]))
        until(lambda number=number: log.written == 5 * (number + 1))
    log.close()
    assert ids(tmp_path) == [f"r{number:02}{place}" for number in range(20) for place in range(5)]
    assert max(pl.read_parquet(path).height for path in files(tmp_path)) == 15
    assert len(files(tmp_path)) < 10


def test_a_writer_killed_while_it_merges_leaves_no_request_twice(tmp_path, monkeypatch):
    monkeypatch.setattr(Path, "unlink", lambda *_, **__: None)
    log = ServingLog(tmp_path, every_s=0.001, merge=2)
    for number in range(6):
        log.append(answered([f"r{number}"]))
        until(lambda number=number: log.written == number + 1)
    log.close()
    assert sum(pl.read_parquet(path).height for path in files(tmp_path)) > 6
    assert ids(tmp_path) == [f"r{number}" for number in range(6)]


def test_a_disk_that_fails_for_a_while_loses_nothing(tmp_path, monkeypatch):
    real, failing = log_writer.write_frame, threading.Event()
    failing.set()

    def write(path, frame):
        if failing.is_set():
            raise OSError("No space left on device")
        return real(path, frame)

    monkeypatch.setattr(log_writer, "write_frame", write)
    log = ServingLog(tmp_path, every_s=0.02)
    log.append(answered(["r1", "r2"]))
    time.sleep(0.1)
    assert ids(tmp_path) == [] and log.status()["waiting"] == 2
    failing.clear()
    log.append(answered(["r3"]))
    log.close()
    assert ids(tmp_path) == ["r1", "r2", "r3"]


def test_a_disk_that_stays_full_is_told_and_predictions_go_on(tmp_path, monkeypatch):
    def full(path, frame):
        raise OSError("No space left on device")

    monkeypatch.setattr(log_writer, "write_frame", full)
    log = ServingLog(tmp_path, every_s=0.01, most_waiting=3)
    for number in range(3):
        log.append(answered([f"r{number}a", f"r{number}b"]))
    assert log.status() == {"written": 0, "waiting": 2, "lost": 4}
    log.close()
    assert log.status()["waiting"] == 2


WRITE_ON = """
import sys, time
from pathlib import Path
from resources.serving.log_writer import ServingLog
from tests.resources.serving_log_samples import answered
from datetime import UTC, datetime
log, number = ServingLog(Path(sys.argv[1]), every_s=0.2), 0
while True:
    log.append(answered([str(number)], served_at=datetime.now(UTC)))
    print(number, time.time(), flush=True)
    number += 1
    time.sleep(0.002)
"""


@pytest.fixture
def writer(tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-c", WRITE_ON, str(tmp_path)],
        env={**os.environ, "PYTHONPATH": str(PROJECT_ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    )
    yield process
    process.kill()
    process.wait()


def test_sigkill_loses_no_more_than_the_last_moments(tmp_path, writer):
    said = [writer.stdout.readline().split() for _ in range(500)]
    os.kill(writer.pid, signal.SIGKILL)
    killed = time.time()
    said += [line.split() for line in writer.stdout if line.endswith("\n")]
    there = set(ids(tmp_path))
    lost = [killed - float(at) for number, at in said if number not in there]
    assert there, "nothing was written before the kill"
    assert max(lost, default=0.0) < 0.2 + 2.0, "older than one interval and the time that a write may take"
    assert not list(tmp_path.rglob("*.parquet.tmp"))
