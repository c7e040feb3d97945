"""A small real state: the first weeks of 2013 with every second flight, replayed by the main job itself."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from resources.settings import PROJECT_ROOT
from tests import forked
from tests.flights.thinned import thin

EVERY = 2
THROUGH = "2013-02-18"
"""The eighth week: at its end flight_delay has the 56 days it asks for, and its first champion."""


def environment(home: Path, **more: str) -> dict[str, str]:
    """This process's environment, pointed at a state folder."""
    kept = {k: v for k, v in os.environ.items() if k not in ("DAGSTER_HOME", "MLFLOW_TRACKING_URI")}
    return {**kept, "MLOPS_HOME": str(home), "PYTHONPATH": str(PROJECT_ROOT), **more}


@contextmanager
def serving(home: Path, port: int, **more: str) -> Iterator[subprocess.Popen]:
    """The shipped endpoint over a state folder, on a port of its own; told to stop at the end, it must end with 0."""
    process = subprocess.Popen(
        [sys.executable, "-m", "resources.serving"],
        env=environment(home, MLOPS_SERVE_PORT=str(port), **more),
        cwd=PROJECT_ROOT,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=60) == 0


def replayed(folder: Path) -> Path:
    """MLOPS_HOME of a replay up to THROUGH on thinned data; under a minute of one core."""
    data = thin(folder / "data", every=EVERY, before="2013-04-01")
    command = ["-m", "mlops_assets.cli", "run", "--through", THROUGH, "--no-compare", "--no-second-model"]
    done = forked.run(command, environment(folder / "home", MLOPS_DATA=str(data)), PROJECT_ROOT)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert (folder / "home" / "serving" / "flight_delay.json").exists(), "no champion: " + done.stdout[-3000:]
    return folder / "home"
