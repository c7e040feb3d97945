"""A file lock is held by one process, and free when its holder is killed."""

import signal
import subprocess
import sys

import pytest

from resources.settings import PROJECT_ROOT
from resources.storage.errors import LeaseHeldError
from resources.storage.locks import file_lock

HOLD = """
import sys, time
from pathlib import Path
from resources.storage.locks import file_lock
with file_lock(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(600)
"""
COUNT = """
import sys
from pathlib import Path
from resources.storage.locks import file_lock
file = Path(sys.argv[1])
for _ in range(100):
    with file_lock(file.with_suffix(".lock")):
        file.write_text(str(int(file.read_text()) + 1))
"""


def started(program: str, *arguments: object) -> subprocess.Popen:
    command = [sys.executable, "-c", program, *map(str, arguments)]
    return subprocess.Popen(command, cwd=PROJECT_ROOT, stdout=subprocess.PIPE, text=True)


def test_a_lock_that_another_process_holds_is_refused_at_once_and_free_when_that_one_is_killed(tmp_path):
    path = tmp_path / "new" / "folder" / "one.lock"
    with started(HOLD, path) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with (
            pytest.raises(LeaseHeldError, match=r"another process holds .*one\.lock"),
            file_lock(path, wait=False),
        ):
            pytest.fail("two hold the lock")
        holder.send_signal(signal.SIGKILL)
    with file_lock(path, wait=False), file_lock(path.with_name("other.lock"), wait=False):
        assert path.exists()


def test_an_error_under_the_lock_frees_it(tmp_path):
    with pytest.raises(KeyError), file_lock(tmp_path / "one.lock"):
        raise KeyError("work")
    with file_lock(tmp_path / "one.lock", wait=False):
        pass


def test_three_processes_that_wait_for_one_another_lose_no_change(tmp_path):
    (tmp_path / "number").write_text("0")
    workers = [started(COUNT, tmp_path / "number") for _ in range(3)]
    assert [worker.wait() for worker in workers] == [0, 0, 0]
    assert (tmp_path / "number").read_text() == "300"
