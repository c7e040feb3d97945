"""Of the runs that were handed over and have not begun, those end that nobody will begin, and no others."""

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import dagster as dg
import psutil
import pytest
from dagster._core.events import DagsterEvent, DagsterEventType
from dagster._core.test_utils import create_run_for_test, freeze_time

from mlops_assets.local.lost_runs import UNSAID_S, end_lost_runs, lost_runs_sensor
from mlops_assets.local.worker import LAUNCHER_TAG, WORKER_TAG, Worker
from resources.clock import wall

WARM = {"run_launcher": {"module": "mlops_assets.local.launcher", "class": "WarmRunLauncher"}}


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    with dg.instance_for_test(overrides=WARM, temp_dir=str(tmp_path)) as found:
        yield found


def gone() -> Worker:
    """A process that has ended."""
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        return replace(Worker.here(), pid=child.pid)
    finally:
        child.communicate()


def run(instance: dg.DagsterInstance, ago: float = 0.0, **tags: str) -> str:
    """A run that was handed over so many seconds ago."""
    found = create_run_for_test(instance, "light", tags=tags)
    with freeze_time(wall() - timedelta(seconds=ago)):
        starting = DagsterEvent(DagsterEventType.RUN_STARTING.value, "light")
        instance.report_dagster_event(starting, found.run_id)
    return found.run_id


def test_a_run_ends_whose_launcher_or_process_is_gone_or_that_no_launcher_took_for_long(instance):
    here, dead = Worker.here(), gone()
    others = replace(here, started=here.started - 1)
    lost = {
        run(instance, **dead.tag(LAUNCHER_TAG)): f"The process {dead.pid} that launched the run was killed",
        run(instance, **others.tag(LAUNCHER_TAG)): f"The process {os.getpid()} that launched the run",
        run(
            instance, **here.tag(LAUNCHER_TAG), **dead.tag(WORKER_TAG)
        ): f"The run's process {dead.pid} is gone",
        run(instance, UNSAID_S + 5): "what was to do so was killed",
    }
    kept = [
        run(instance, **here.tag(LAUNCHER_TAG)),
        run(instance, **dead.tag(LAUNCHER_TAG), **here.tag(WORKER_TAG)),
        run(instance),
    ]
    told = end_lost_runs(instance)
    assert len(told) == len(lost) and all(any(why in one for one in told) for why in lost.values())
    status = {one.run_id: one.status for one in instance.get_runs()}
    assert {status[one] for one in lost} == {dg.DagsterRunStatus.FAILURE}
    assert {status[one] for one in kept} == {dg.DagsterRunStatus.STARTING}
    assert end_lost_runs(instance) == []


def test_the_sensor_says_what_it_ended_and_leaves_runs_of_other_launchers_alone(instance):
    lost = run(instance, **gone().tag(LAUNCHER_TAG))
    sensor = lost_runs_sensor()
    with dg.instance_for_test() as other, dg.build_sensor_context(other) as context:
        assert "another launcher" in str(sensor(context).skip_message)
    with dg.build_sensor_context(instance) as context:
        assert lost in str(sensor(context).skip_message)
        assert "every run" in str(sensor(context).skip_message)


def test_a_process_is_the_same_one_after_somebody_set_the_clock_of_its_machine(monkeypatch):
    here, child = Worker.here(), subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        began = psutil.Process.create_time
        monkeypatch.setattr(psutil.Process, "create_time", lambda process: began(process) + 3600)
        assert here.runs() and Worker.of(here.tag()) == here
        assert not replace(here, pid=child.pid).runs()
    finally:
        child.communicate()


def test_a_process_of_before_the_machine_was_started_again_is_gone_whatever_its_number():
    assert not replace(Worker.here(), boot="another").runs()
