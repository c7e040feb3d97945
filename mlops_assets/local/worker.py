"""The process of one run: named in a tag of the run, so that any process of Dagster can look after it or interrupt it.

A number alone does not name a process, since the system gives it again; with the moment of its start it does.
"""

import json
import os
import signal
from collections.abc import Mapping
from dataclasses import asdict, dataclass

import psutil
from dagster._core.storage.tags import HIDDEN_TAG_PREFIX

WORKER_TAG, LAUNCHER_TAG = f"{HIDDEN_TAG_PREFIX}worker", f"{HIDDEN_TAG_PREFIX}launcher"
"""Tags of a run with its own process, and with the one that handed it over."""

CLOCK_STEP_S = 5.0
"""How far a machine's clock may be set while a process runs: the system tells a start from its own, later, boot time."""


@dataclass(frozen=True)
class Worker:
    """A process on this machine."""

    pid: int
    started: float

    @classmethod
    def here(cls) -> "Worker":
        """This process."""
        return cls(os.getpid(), psutil.Process().create_time())

    @classmethod
    def of(cls, tags: Mapping[str, str], named: str = WORKER_TAG) -> "Worker | None":
        """The process that a run's tags name; None where a run has none of its own, as one inside of a replay."""
        return cls(**json.loads(tags[named])) if named in tags else None

    def tag(self, named: str = WORKER_TAG) -> dict[str, str]:
        """The tag that names it."""
        return {named: json.dumps(asdict(self))}

    def runs(self) -> bool:
        """Whether it is there and has not ended; one that ended may wait to be collected."""
        try:
            process = psutil.Process(self.pid)
            same = abs(process.create_time() - self.started) < CLOCK_STEP_S
            return same and process.status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False

    def interrupt(self) -> bool:
        """Ask it to end as Ctrl-C does; False where it has ended."""
        if not self.runs():
            return False
        try:
            os.kill(self.pid, signal.SIGINT)
        except ProcessLookupError:
            return False
        return True
