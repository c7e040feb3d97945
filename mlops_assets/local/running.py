"""Servers started one after another, waited for, watched, and ended as one, until a signal comes."""

import contextlib
import signal
import sys
import time
from collections.abc import Callable, Iterator
from types import FrameType

from mlops_assets.local.probes import answers
from mlops_assets.local.processes import Server, Supervisor

START_TIMEOUT_S = 300.0
AGAIN_S, TRIES = 2.0, 10
"""How long a server that ended is left alone before it is started again, and how often in a row it may end at once."""


class DevError(Exception):
    """Something that keeps the servers from starting or running, with what to do about it."""


class Stop:
    """Whether SIGINT, SIGTERM or SIGHUP was received; repeated signals change nothing."""

    def __init__(self) -> None:
        self.due = False

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        """Take the signals over, and give them back at the end."""
        numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        before = {number: signal.signal(number, self._on_signal) for number in numbers}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def wait(self, seconds: float) -> None:
        """Sleep in short steps, so that a signal is seen at once."""
        until = time.monotonic() + seconds
        while not self.due and time.monotonic() < until:
            time.sleep(0.05)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self.due = True


def keep_up(supervisor: Supervisor, stopping: Stop, tell: Callable[[], None], restart: bool = False) -> None:
    """Watch the servers until one ends by itself, which raises DevError, or a signal comes; `tell` is called first.

    With `restart`, what ends by itself is started again instead.
    """
    if not stopping.due:
        tell()
    restarts = Restarts(supervisor) if restart else None
    while not stopping.due:
        restarts.look() if restarts else raise_if_ended(supervisor)
        supervisor.collect_orphans()
        stopping.wait(0.5)
    print("stopping …", flush=True)


class Restarts:
    """Starts again what ended by itself, as a cluster does with its processes; raises DevError for what ends at once, time after time."""

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor
        self._due: dict[str, float] = {}
        self._since: dict[str, float] = {}
        self._tries: dict[str, int] = {}

    def look(self) -> None:
        """Start what has been gone for a moment."""
        now = time.monotonic()
        for server, process in list(self._supervisor.servers.values()):
            if process.poll() is None:
                self._settled(server.name, now)
            elif server.name not in self._due:
                self._due[server.name] = now + AGAIN_S
                print(
                    f"{server.name} ended by itself with code {process.returncode}; it is started again",
                    flush=True,
                )
            elif now >= self._due[server.name]:
                self._start(server, now)

    def _settled(self, name: str, now: float) -> None:
        if now - self._since.get(name, now) > AGAIN_S * TRIES:
            self._tries.pop(name, None)

    def _start(self, server: Server, now: float) -> None:
        tries = self._tries.get(server.name, 0) + 1
        if tries > TRIES:
            raise_if_ended(self._supervisor)
        self._supervisor.start_again(server)
        self._due.pop(server.name)
        self._tries[server.name], self._since[server.name] = tries, now


def wait_until_up(server: Server, supervisor: Supervisor, stopping: Stop) -> None:
    """Until a server answers; raises DevError, with the end of its log, where it ends or takes too long."""
    until = time.monotonic() + START_TIMEOUT_S
    while not stopping.due and not answers(server.health):
        raise_if_ended(supervisor)
        if time.monotonic() > until:
            raise DevError(
                f"{server.name} did not answer at {server.health} within {START_TIMEOUT_S:.0f} s; "
                f"the end of {server.log}:\n{server.last_lines()}"
            )
        stopping.wait(0.3)


def raise_if_ended(supervisor: Supervisor) -> None:
    """Raise DevError, with the end of its log, where a server is gone."""
    if gone := supervisor.ended():
        server, code = gone
        raise DevError(
            f"{server.name} ended by itself with code {code}, so the others are stopped; "
            f"the end of {server.log}:\n{server.last_lines()}"
        )


def stop_all(supervisor: Supervisor) -> None:
    """End every server; what cannot be ended is told."""
    left = supervisor.stop()
    if left:
        names = ", ".join(f"{process.pid}" for process in left)
        print(f"warning: these processes could not be ended: {names}", file=sys.stderr)
