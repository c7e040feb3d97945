"""`mlops live` as a user runs it, on a state of its own, and what it left: events, and the state to look at."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from mlops_assets.live.journal import EVENTS
from resources.lake.lake import Lake
from resources.moments import read_moment
from resources.settings import PROJECT_ROOT
from tests.acceptance.commands import environment

PORTS = ("MLOPS_DAGSTER_PORT", "MLOPS_MLFLOW_PORT", "MLOPS_SERVE_PORT")


@dataclass
class Life:
    """A life that is lived or was: its state, its output, and its events so far."""

    home: Path
    output: Path
    process: subprocess.Popen[bytes] | None = None
    variables: dict[str, str] = field(default_factory=dict)

    @property
    def state(self) -> Path:
        return self.home / "live"

    @property
    def lake(self) -> Lake:
        return Lake(root=str(self.state / "lake"))

    def printed(self) -> str:
        return self.output.read_text()

    def events(self, kind: str | None = None, partition: str | None = None) -> list[dict[str, Any]]:
        """Events of a kind, of a partition, oldest first."""
        file = self.state / EVENTS
        lines = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
        return [one for one in lines if kind in (None, one["kind"]) and partition in (None, one["partition"])]

    def partitions(self, kind: str) -> list[str]:
        """The partitions of the events of a kind, in order."""
        return [one["partition"] for one in self.events(kind)]

    def at(self, event: dict[str, Any]) -> datetime:
        """The simulated moment of an event."""
        return read_moment(event["now"])

    def wait(self, until: Callable[[], bool], what: str, seconds: float) -> None:
        """Wait until something is; fails where the life ends first, or the time is up."""
        end = time.monotonic() + seconds
        while not until():
            assert self.process is None or self.process.poll() is None, (
                f"ended before {what}: {self.printed()[-3000:]}"
            )
            assert time.monotonic() < end, f"waited {seconds:.0f} s for {what}: {self.printed()[-3000:]}"
            time.sleep(0.5)

    def end(self, seconds: float = 90) -> int:
        """Press Ctrl-C, and the exit status."""
        assert self.process is not None
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(timeout=seconds)


@contextmanager
def living(home: Path, data: Path, free_port: Callable[[], int], *words: str, **more: str) -> Iterator[Life]:
    """A life that goes on beside the test, and is over afterwards."""
    home.mkdir(parents=True, exist_ok=True)
    ports = {name: str(free_port()) for name in PORTS}
    variables = environment(home, data) | ports | {"PYTHONUNBUFFERED": "1"} | more
    output = home / "output.txt"
    with output.open("ab") as out:
        process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-m", "mlops_assets.cli", "live", *words],
            env=variables,
            cwd=PROJECT_ROOT,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        life = Life(home, output, process, variables)
        try:
            yield life
        finally:
            if process.poll() is None:
                life.end()


def lived(home: Path, data: Path, free_port: Callable[[], int], *words: str, seconds: float) -> Life:
    """A life that ends by itself; it must end well, within the time."""
    with living(home, data, free_port, *words) as life:
        assert life.process is not None
        status = life.process.wait(timeout=seconds)
        assert status == 0, life.printed()[-4000:]
    return life
