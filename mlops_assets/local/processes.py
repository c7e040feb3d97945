"""Servers as child processes that end with their parent: every descendant, in any session, none forgotten.

Each server leads a process group of its own, so that one Ctrl-C reaches only the supervisor, which then stops them
in order. On Linux the supervisor adopts orphans (PR_SET_CHILD_SUBREAPER), so that it sees what their parents left.
"""

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil

PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36


@dataclass
class Server:
    """One server: how it is started, where it answers, and how it is asked to end."""

    name: str
    command: list[str]
    address: str
    health: str
    hint: str
    log: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    folder: Path | None = None
    ends_on: signal.Signals = signal.SIGTERM
    wave: int = 0
    """When it is asked to end: those of the first wave are gone before those of the next are asked."""

    def last_lines(self, count: int = 25) -> str:
        """The end of its log."""
        with self.log.open(errors="replace") as lines:
            return "".join(deque(lines, maxlen=count)).rstrip()


class Supervisor:
    """Starts servers and ends them with everything they started."""

    def __init__(self) -> None:
        self.servers: dict[str, tuple[Server, subprocess.Popen[bytes]]] = {}
        self._before = set(psutil.Process().children(recursive=True))
        _prctl(PR_SET_CHILD_SUBREAPER, 1)

    def start(self, server: Server) -> None:
        """Start a server as the leader of a new session, its output in its log; where this process is killed, it is asked to end."""
        server.log.parent.mkdir(parents=True, exist_ok=True)
        with server.log.open("ab" if server.name in self.servers else "wb") as log:
            process = subprocess.Popen(
                server.command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=server.folder,
                env={**os.environ, **server.environment},
                start_new_session=True,
                preexec_fn=lambda: _prctl(PR_SET_PDEATHSIG, server.ends_on),
            )
        self.servers[server.name] = server, process

    def start_again(self, server: Server) -> None:
        """Start a server that ended, once nothing of it is left: what it had started may hold its port."""
        _, before = self.servers[server.name]
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(before.pid, signal.SIGKILL)
        self.start(server)

    def ended(self) -> tuple[Server, int] | None:
        """The first server that ended by itself, with its exit code."""
        for server, process in self.servers.values():
            if (code := process.poll()) is not None:
                return server, code
        return None

    def stop(self, grace_s: float = 20.0, patience_s: float = 5.0) -> list[psutil.Process]:
        """End the servers and every descendant: asked first, then SIGTERM, then SIGKILL; returns what still runs."""
        family = self._family()
        for wave in sorted({server.wave for server, _ in self.servers.values()}):
            leaders = [process for server, process in self.servers.values() if server.wave == wave]
            for server, process in self.servers.values():
                if server.wave == wave and process.poll() is None:
                    process.send_signal(server.ends_on)
            self._wait_for(leaders, grace_s)
        self._wait(family, grace_s)
        self._insist(family, psutil.Process.terminate, signal.SIGTERM, patience_s)
        self._insist(family, psutil.Process.kill, signal.SIGKILL, patience_s)
        return [process for process in family if _runs(process)]

    def _wait_for(self, leaders: Sequence[subprocess.Popen[bytes]], seconds: float) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until and any(process.poll() is None for process in leaders):
            self._reap()
            time.sleep(0.1)

    def collect_orphans(self) -> None:
        """What servers left behind, a run's process whose server was killed, is adopted and would stay as a zombie."""
        leaders = {process.pid for _, process in self.servers.values()}
        while sys.platform == "linux":
            try:
                child = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                return
            if child is None or child.si_pid in leaders:
                return
            os.waitpid(child.si_pid, 0)

    def _insist(
        self,
        family: set[psutil.Process],
        end: Callable[[psutil.Process], None],
        number: signal.Signals,
        patience_s: float,
    ) -> None:
        family |= self._family()
        for process in filter(_runs, family):
            with contextlib.suppress(psutil.Error):
                end(process)
        for _, leader in self.servers.values():
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(leader.pid, number)
        self._wait(family, patience_s)

    def _family(self) -> set[psutil.Process]:
        """Every descendant of this process that was not there before, adopted orphans included."""
        return set(psutil.Process().children(recursive=True)) - self._before

    def _wait(self, family: set[psutil.Process], seconds: float) -> None:
        """Until every process known so far has ended, or the time is up; late descendants join the family."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            self._reap()
            family |= self._family()
            if not any(map(_runs, family)):
                return
            time.sleep(0.1)

    def _reap(self) -> None:
        """Collect adopted orphans that ended, so that no zombie stays for as long as this process lives."""
        leaders = {process.pid for _, process in self.servers.values()}
        for _, process in self.servers.values():
            process.poll()
        for child in psutil.Process().children():
            if child.pid not in leaders and child not in self._before and not _runs(child):
                with contextlib.suppress(ChildProcessError):
                    os.waitpid(child.pid, os.WNOHANG)


def _prctl(option: int, value: int) -> None:
    """Set an option of this process, where the system has it."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0)


def _runs(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
