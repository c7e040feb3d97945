"""`python -m tests.chaos.tick WORKSPACE`: one look at every sensor that is on, as the daemon takes it, in a process beside it."""

import logging
import sys

from dagster import DagsterInstance


def main(workspace: str) -> None:
    """Look once, and raise the first error of a sensor."""
    from dagster._core.workspace.context import WorkspaceProcessContext
    from dagster._core.workspace.load_target import WorkspaceFileTarget
    from dagster._daemon.sensor import execute_sensor_iteration

    with (
        DagsterInstance.get() as instance,
        WorkspaceProcessContext(instance, WorkspaceFileTarget([workspace])) as context,
    ):
        errors = [
            one for one in execute_sensor_iteration(context, logging.getLogger("tick"), None, None) if one
        ]
    assert not errors, errors


if __name__ == "__main__":
    main(sys.argv[1])
