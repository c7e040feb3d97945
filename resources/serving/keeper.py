"""Keeps a process beside this one: started when it is first needed, started again when it dies, ended with the process that keeps it.

It listens on a socket in a folder that nobody else can enter, and ends when the pipe to it closes, however this process ends.
"""

import logging
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

from resources.settings import Settings

LOG = logging.getLogger(__name__)
LONGEST_PAUSE_S = 30.0
ENDS_IN_S = 30.0


class Keeper:
    """One process of one state folder: Python with the arguments of `command` and, behind them, the path of the socket.

    `called` is what the log calls it; it has `ends_in_s` seconds to end once its standard input is closed.
    """

    def __init__(
        self, home: Settings, command: tuple[str, ...], called: str, ends_in_s: float = ENDS_IN_S
    ) -> None:
        self._home, self._command, self._called, self._ends_in_s = home, command, called, ends_in_s
        self._lock, self._closed = threading.Lock(), threading.Event()
        self._folder: Path | None = None
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def socket(self) -> Path:
        """Where it listens; starts it where that was not done yet."""
        with self._lock:
            if self._folder is None:
                self._folder = Path(tempfile.mkdtemp(prefix="mlops-side-"))
                threading.Thread(target=self._keep, name="keep-process", daemon=True).start()
            return self._folder / "socket"

    @property
    def process_id(self) -> int | None:
        """Of the one that runs; None where none does."""
        process = self._process
        return process.pid if process is not None and process.poll() is None else None

    def start_soon(self, after_s: float, is_needed: Callable[[], bool]) -> None:
        """Start it in a while where it is needed, so that it delays nothing that comes first."""
        timer = threading.Timer(after_s, self._start_where, [is_needed])
        timer.daemon = True
        timer.start()

    def close(self) -> None:
        """End it, after it has answered what it was asked."""
        self._closed.set()
        with self._lock:
            process, folder = self._process, self._folder
        if process is not None:
            _end(process, self._ends_in_s)
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)

    def restart(self, of: int | None) -> None:
        """Kill the process with this id, if it still runs: another one takes its place."""
        process = self._process
        if process is not None and process.pid == of:
            process.kill()

    def _start_where(self, is_needed: Callable[[], bool]) -> None:
        try:
            needed = is_needed()
        except Exception:
            LOG.exception("whether it is needed is not known, so that %s waits until it is", self._called)
            return
        if needed and not self._closed.is_set():
            _ = self.socket

    def _keep(self) -> None:
        pause = 0.0
        while not self._closed.wait(pause):
            began = time.monotonic()
            with self._lock:
                if self._closed.is_set():
                    return
                self._process = self._started()
            code = self._process.wait()
            if self._closed.is_set():
                return
            lived = time.monotonic() - began
            pause = 0.0 if lived > LONGEST_PAUSE_S else min(2 * pause + 1.0, LONGEST_PAUSE_S)
            LOG.error("%s ended with %s: it is started again in %g s", self._called, code, pause)

    def _started(self) -> "subprocess.Popen[bytes]":
        assert self._folder is not None
        environment = {**os.environ, "MLOPS_HOME": str(self._home.home)}
        return subprocess.Popen(
            [sys.executable, *self._command, str(self._folder / "socket")],
            env=environment,
            stdin=subprocess.PIPE,
            start_new_session=True,
        )


def _end(process: "subprocess.Popen[bytes]", within_s: float) -> None:
    assert process.stdin is not None
    process.stdin.close()
    try:
        process.wait(within_s)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def with_parent(socket: str, end: Callable[[], None]) -> None:
    """In a process that is kept: once the pipe to whoever keeps it is closed, by them or because they are gone, call `end` in a thread.

    The folder of the socket goes first: whoever was killed leaves none behind.
    """

    def watch() -> None:
        while os.read(sys.stdin.fileno(), 4096):
            pass
        shutil.rmtree(Path(socket).parent, ignore_errors=True)
        end()

    threading.Thread(target=watch, name="watch-parent", daemon=True).start()
