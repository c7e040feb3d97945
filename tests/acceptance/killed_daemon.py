"""Dagster's sensor daemon for one look at a sensor, in a process that can be killed at any of the points it passes."""

import logging
import os
import signal
import sys
from pathlib import Path

import dagster as dg

from resources.settings import PROJECT_ROOT
from tests import forked

POINTS = ("TICK_CREATED", "TICK_HELD", "RUN_IDS_RESERVED", "RUN_CREATED", "RUN_LAUNCHED")
"""Dagster's names of where it may be killed: before it looked, and around reserving, writing down and handing over a run."""

SENSOR = "ingest_loans_when_a_partition_is_over"


def looks(home: Path, killed_at: str = "") -> int:
    """Let the daemon look once, killed at a point where one is named; the exit status, negative for a signal."""
    environment = {**os.environ, "DAGSTER_HOME": str(home), "PYTHONPATH": str(PROJECT_ROOT)}
    done = forked.run(["-m", __name__, killed_at], environment, PROJECT_ROOT)
    assert done.returncode in (0, -signal.SIGKILL), done.stdout[-3000:] + done.stderr[-3000:]
    return done.returncode


def definitions() -> dg.Definitions:
    """The use case that MLOPS_USE_CASES names, alone."""
    from mlops_assets.components.use_case import load_use_case
    from mlops_assets.kit.systems import injected
    from resources.local import local_resources
    from resources.settings import settings
    from resources.use_case_folders import UseCaseFolder

    folder = Path(os.environ["MLOPS_USE_CASES"])
    resources = injected(local_resources(settings()))
    found = load_use_case(UseCaseFolder(folder, folder.name))
    return dg.Definitions.merge(found.defs, dg.Definitions(resources=resources))


def main(killed_at: str) -> None:
    """In the process: look at every sensor that is due."""
    from dagster._core.remote_origin import InProcessCodeLocationOrigin
    from dagster._core.test_utils import (
        InProcessTestWorkspaceLoadTarget,
        create_test_daemon_workspace_context,
    )
    from dagster._core.types.loadable_target_origin import LoadableTargetOrigin
    from dagster._daemon.sensor import execute_sensor_iteration

    origin = LoadableTargetOrigin(
        executable_path=sys.executable, module_name="tests.acceptance.killed_daemon", attribute="definitions"
    )
    target = InProcessTestWorkspaceLoadTarget(InProcessCodeLocationOrigin(origin))
    flags = {SENSOR: {killed_at: signal.SIGKILL}} if killed_at else None
    with (
        dg.DagsterInstance.get() as instance,
        create_test_daemon_workspace_context(target, instance) as context,
    ):
        errors = [
            error
            for error in execute_sensor_iteration(
                context, logging.getLogger("daemon"), None, None, debug_crash_flags=flags
            )
            if error
        ]
        assert not errors, errors


if __name__ == "__main__":
    main(sys.argv[1])
