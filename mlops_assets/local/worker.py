"""The process of one run: named in a tag of the run, so that any process of Dagster can look after it or interrupt it.

A number alone does not name a process, since the system gives it again; with the moment of its start it does. That moment is
told since the machine was started, and which start that was: a wall clock that is set makes no other process of it.
"""

import json
import os
import signal
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil
from dagster._core.storage.tags import HIDDEN_TAG_PREFIX

WORKER_TAG, LAUNCHER_TAG = f"{HIDDEN_TAG_PREFIX}worker", f"{HIDDEN_TAG_PREFIX}launcher"
"""Tags of a run with its own process, and with the one that handed it over."""

BOOT = Path("/proc/sys/kernel/random/boot_id")
START = 19
"""The place of a process's start, in ticks, among the fields of /proc/PID/stat that follow its name (proc(5))."""


@dataclass(frozen=True)
class Worker:
    """A process on this machine."""

    pid: int
    started: float
    boot: str = ""

    @classmethod
    def here(cls) -> "Worker":
        """This process."""
        return cls._at(os.getpid())

    @classmethod
    def _at(cls, pid: int) -> "Worker":
        """The process that has a number now; raises psutil.NoSuchProcess where none has."""
        process = psutil.Process(pid)
        if not BOOT.exists():  # a system without /proc, where psutil knows it by the wall clock
            return cls(pid, process.create_time())
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError) as error:
            raise psutil.NoSuchProcess(pid) from error
        return cls(pid, float(fields[START]), BOOT.read_text().strip())

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
            return Worker._at(self.pid) == self and psutil.Process(self.pid).status() != psutil.STATUS_ZOMBIE
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
