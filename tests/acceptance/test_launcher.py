"""Runs that are forked of a warm server, under a real `dagster dev`: they end as those of Dagster's own launcher do."""

import re
import signal

import pytest

from tests.acceptance.dagster_server import wait
from tests.acceptance.warm_runs import INSTANCE, JOBS, THREADED, lives, warm_dev

TOLD = re.compile(r"version (\S+), loaded by (\d+), run by (\d+), (\S+)")


@pytest.fixture(scope="module")
def dagster(tmp_path_factory, free_port):
    folder = tmp_path_factory.mktemp("warm")
    with warm_dev(folder, free_port()) as running:
        yield running
        processes = running.processes()
    assert len(processes) > 5
    assert [p for p in processes if lives(p)] == []


def said(dagster, run: str) -> tuple[str, int, int, str]:
    found = TOLD.search(dagster.told(run))
    assert found, dagster.told(run)
    return found[1], int(found[2]), int(found[3]), found[4]


def test_runs_are_forks_of_one_process_that_loaded_the_code_once(dagster):
    runs = [dagster.launch("light") for _ in range(2)]
    assert [dagster.ended(run) for run in runs] == ["SUCCESS", "SUCCESS"]
    (_, loaded, one, drawn), (_, again, other, otherwise) = (said(dagster, run) for run in runs)
    (server,) = dagster.servers()
    assert loaded == again == server.pid
    assert len({server.pid, one, other}) == 3
    assert drawn != otherwise
    wait(lambda: not dagster.zombies(), "what ended is collected", 10)


def test_the_output_of_a_step_is_kept_with_its_run(dagster):
    run = dagster.launch("light")
    assert dagster.ended(run) == "SUCCESS"
    files = list((dagster.folder / "home" / "storage" / run).rglob("*.out"))
    assert [p.read_text().strip() for p in files] == ["said by a step"]


def test_a_run_that_raises_fails_with_its_error(dagster):
    run = dagster.launch("fails")
    assert dagster.ended(run) == "FAILURE"
    assert "ExecutionStepFailureEvent" in dagster.told(run)
    assert "Process for run exited" in dagster.told(run)


def test_no_more_runs_at_once_than_the_instance_allows(dagster):
    runs = [dagster.launch("waits") for _ in range(3)]
    wait(lambda: sum(map(dagster.begun, runs)) == 2, "two runs begin", 60)
    assert sorted(dagster.status(run) for run in runs) == ["QUEUED", "STARTED", "STARTED"]
    (dagster.folder / "go-on").touch()
    try:
        assert {dagster.ended(run) for run in runs} == {"SUCCESS"}
    finally:
        (dagster.folder / "go-on").unlink()


def test_a_run_that_is_terminated_is_canceled(dagster):
    run = dagster.launch("waits")
    worker = dagster.worker(run)
    assert dagster.terminate(run) == "TerminateRunSuccess"
    assert dagster.ended(run) == "CANCELED"
    wait(lambda: not lives(worker), "its process ends", 30)
    wait(lambda: not dagster.zombies(), "what ended is collected", 10)


def test_a_run_whose_process_is_killed_fails_and_says_by_what(dagster):
    run = dagster.launch("waits")
    dagster.worker(run).kill()
    assert dagster.ended(run) == "FAILURE"
    assert "was terminated by signal 9 (SIGKILL)" in dagster.told(run)
    wait(lambda: not dagster.zombies(), "what ended is collected", 10)


def test_a_killed_server_leaves_its_run_running_and_the_next_run_gets_another(dagster):
    run = dagster.launch("waits")
    worker = dagster.worker(run)
    (server,) = dagster.servers()
    server.kill()
    after = dagster.launch("light")
    assert dagster.ended(after) == "SUCCESS"
    assert said(dagster, after)[1] != server.pid
    assert (dagster.status(run), lives(worker)) == ("STARTED", True)
    assert dagster.terminate(run) == "TerminateRunSuccess"
    assert dagster.ended(run) == "CANCELED"


def test_run_monitoring_sees_a_process_that_dies_with_its_server(dagster):
    run = dagster.launch("waits")
    worker = dagster.worker(run)
    (server,) = dagster.servers()
    server.kill()
    worker.kill()
    assert dagster.ended(run) == "FAILURE"
    assert f"The run's process {worker.pid} is gone" in dagster.told(run)


def test_code_that_is_reloaded_or_only_changed_on_disk_is_what_new_runs_work_by(dagster):
    running = dagster.launch("waits")
    worker = dagster.worker(running)
    version = dagster.folder / "tiny_version.py"
    before = dagster.servers()
    version.write_text("VERSION = 'changed'\n")
    changed = dagster.launch("light")
    assert dagster.ended(changed) == "SUCCESS"
    assert said(dagster, changed)[0] == "changed"
    version.write_text("VERSION = 'reloaded'\n")
    dagster.reload()
    reloaded = dagster.launch("light")
    assert dagster.ended(reloaded) == "SUCCESS"
    assert said(dagster, reloaded)[0] == "reloaded"
    assert (dagster.status(running), lives(worker)) == ("STARTED", True)
    dagster.terminate(running)
    assert dagster.ended(running) == "CANCELED"
    wait(lambda: not any(map(lives, before)), "the old server ends with its last run", 30)
    assert len(dagster.servers()) == 1


def test_nothing_listens_but_what_listens_without_it(dagster):
    assert dagster.ended(dagster.launch("light")) == "SUCCESS"
    (server,) = dagster.servers()
    assert server.net_connections(kind="inet") == []
    assert [c for c in server.net_connections(kind="unix") if c.laddr] == []


def test_the_daemons_death_ends_the_server_and_its_runs(tmp_path, free_port):
    with warm_dev(tmp_path, free_port()) as dagster:
        run = dagster.launch("waits")
        worker = dagster.worker(run)
        (server,) = dagster.servers()
        daemon = server.parent()
        assert daemon is not None
        daemon.send_signal(signal.SIGKILL)
        wait(lambda: not lives(worker) and not lives(server), "server and run end", 60)


def test_code_that_starts_threads_is_not_forked(tmp_path, free_port):
    with warm_dev(tmp_path, free_port(), INSTANCE, THREADED + JOBS) as dagster:
        run = dagster.launch("light")
        assert dagster.ended(run) == "SUCCESS"
        _, loaded, by, _ = said(dagster, run)
        assert loaded == by
        killed = dagster.launch("waits")
        dagster.worker(killed).kill()
        assert dagster.ended(killed) == "FAILURE"
    assert "so each run is a process of its own" in (tmp_path / "dagster.log").read_text()


SLOW = """
import sys, time
from pathlib import Path
from mlops_assets.local.lost_runs import lost_runs_sensor

while sys.argv[1:2] == ["run"] and (Path(__file__).parent / "slow").exists():
    time.sleep(0.05)
"""


def test_a_run_that_had_not_begun_when_everything_was_killed_gives_its_place_to_others(tmp_path, free_port):
    one_at_once = INSTANCE.replace("max_concurrent_runs: 2", "max_concurrent_runs: 1")
    jobs = (
        SLOW
        + THREADED
        + JOBS.replace("jobs=[light, fails, waits]", "jobs=[light], sensors=[lost_runs_sensor()]")
    )
    (tmp_path / "slow").touch()
    with warm_dev(tmp_path, free_port(), one_at_once, jobs) as dagster:
        lost = dagster.launch("light")
        wait(lambda: dagster.status(lost) == "STARTING", "the run is handed over", 120)
        for process in dagster.processes():
            process.kill()
    (tmp_path / "slow").unlink()
    with warm_dev(tmp_path, free_port(), one_at_once, jobs) as dagster:
        after = dagster.launch("light")
        assert dagster.ended(after) == "SUCCESS"
        assert dagster.status(lost) == "FAILURE"
        assert "launch it again, if no sensor does" in dagster.told(lost)
