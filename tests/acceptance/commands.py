"""Commands run as a user runs them, on a state folder of their own."""

import os
import subprocess
import sys
from pathlib import Path

from resources.settings import PROJECT_ROOT

RUN = ("run", "--no-compare", "--no-second-model")
LOOK_EVERY_S = "5"
"""Sensors look so often: a test waits for many looks, one after the other."""


def environment(home: Path, data: Path) -> dict[str, str]:
    """The environment of a user whose state lies in `home` and whose raw files in `data`."""
    clean = {k: v for k, v in os.environ.items() if k not in ("DAGSTER_HOME", "MLFLOW_TRACKING_URI")}
    path = os.pathsep.join(filter(None, [str(PROJECT_ROOT), os.environ.get("PYTHONPATH")]))
    own = {"MLOPS_HOME": str(home), "MLOPS_DATA": str(data), "PYTHONPATH": path}
    return {"MLOPS_LOOK_EVERY_S": LOOK_EVERY_S} | clean | own


def python(home: Path, data: Path, *arguments: str) -> str:
    """Run `python -m ...` to its end and return what it printed; an exit status other than 0 fails the test."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", *arguments],
        env=environment(home, data),
        cwd=PROJECT_ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
    return done.stdout
