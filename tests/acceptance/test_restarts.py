"""What ends by itself is started again where a cluster is played, and ends everything where it is not."""

import os
import signal
import sys
from pathlib import Path

import pytest

from mlops_assets.local import running
from mlops_assets.local.processes import Server, Supervisor
from mlops_assets.local.running import DevError, Restarts, Stop, keep_up
from tests.acceptance.dagster_server import wait

SLEEPS = "import time; print('up', flush=True); time.sleep(600)"


@pytest.fixture
def supervisor(monkeypatch):
    monkeypatch.setattr(running, "AGAIN_S", 0.1)
    one = Supervisor()
    yield one
    assert one.stop(grace_s=5) == []


def server(tmp_path: Path, code: str) -> Server:
    return Server("Part", [sys.executable, "-c", code], "", "", "", tmp_path / "part.log")


def test_what_was_killed_is_started_again_and_its_log_goes_on(supervisor, tmp_path, capsys):
    supervisor.start(server(tmp_path, SLEEPS))
    before, restarts = supervisor.servers["Part"][1], Restarts(supervisor)
    wait(lambda: (tmp_path / "part.log").read_text() == "up\n", "it is up", 30)
    os.kill(before.pid, signal.SIGKILL)
    wait(lambda: restarts.look() or supervisor.servers["Part"][1] is not before, "another process", 30)
    wait(lambda: (tmp_path / "part.log").read_text() == "up\nup\n", "it is up again", 30)
    assert capsys.readouterr().out == "Part ended by itself with code -9; it is started again\n"


def test_what_it_had_started_is_gone_before_it_is_started_again(supervisor, tmp_path):
    child = f"import subprocess, sys, os; print(subprocess.Popen([sys.executable, '-c', {SLEEPS!r}]).pid, flush=True); "
    supervisor.start(server(tmp_path, child + "import time; time.sleep(600)"))
    pid = int(wait(lambda: (tmp_path / "part.log").read_text().split(), "its child", 30)[0])
    os.kill(supervisor.servers["Part"][1].pid, signal.SIGKILL)
    before, restarts = supervisor.servers["Part"][1], Restarts(supervisor)
    wait(lambda: restarts.look() or supervisor.servers["Part"][1] is not before, "another process", 30)
    wait(lambda: supervisor.collect_orphans() or not Path(f"/proc/{pid}").exists(), "the child is gone", 30)


def test_what_ends_at_once_time_after_time_is_given_up_with_the_end_of_its_log(
    supervisor, tmp_path, monkeypatch
):
    monkeypatch.setattr(running, "TRIES", 2)
    supervisor.start(server(tmp_path, "raise SystemExit('no database')"))
    with pytest.raises(DevError, match=r"(?s)Part ended by itself with code 1, .*no database"):
        keep_up(supervisor, Stop(), lambda: None, restart=True)


def test_without_it_the_first_that_ends_ends_all(supervisor, tmp_path):
    supervisor.start(server(tmp_path, "raise SystemExit(3)"))
    with pytest.raises(DevError, match="Part ended by itself with code 3, so the others are stopped"):
        keep_up(supervisor, Stop(), lambda: None)
