"""Who works on a state folder: any number of Dagster runs side by side, or one replay alone, or whoever removes it.

Locks of the kernel, which are freed when their holder dies, however it dies; by flock itself, since filelock shares no lock
between readers but through SQLite, and `make clean` asks where nothing is installed.
"""

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

RUNS, SERVERS = "runs.lock", "servers.lock"

LOOKS_S = (0.05, 0.1, 0.2)
"""Pauses between tries: whoever only looks holds a lock for an instant."""

_alone_here: set[Path] = set()
"""Locks that this process holds alone: the runs that it makes itself need none."""


class AtWorkError(Exception):
    """Somebody else works on this state folder; says who, and what to do."""


@contextmanager
def alone(home: Path, what: str) -> Iterator[None]:
    """Hold the state folder for one kind of work; raises AtWorkError while another, or a Dagster run, is at it."""
    path = home / RUNS
    with _locked(path, fcntl.LOCK_EX, lambda: _busy(home, what)) as handle:
        handle.truncate(0)
        handle.write(f"{what}, process {os.getpid()}")
        handle.flush()
        _alone_here.add(path)
        try:
            yield
        finally:
            _alone_here.discard(path)
            handle.truncate(0)


@contextmanager
def beside_others(home: Path) -> Iterator[None]:
    """Hold the state folder for one Dagster run, beside other runs; raises AtWorkError while a replay is at it."""
    path = home / RUNS
    if path in _alone_here:
        yield
        return
    with _locked(path, fcntl.LOCK_SH, lambda: _busy(home, "this run")):
        yield


@contextmanager
def serving(home: Path) -> Iterator[None]:
    """Hold the state folder for its servers; raises AtWorkError where other servers are up on it."""
    sentence = (
        f"servers are up on {home} already: stop them (Ctrl-C where they were started), or set MLOPS_HOME"
    )
    with _locked(home / SERVERS, fcntl.LOCK_EX, lambda: sentence):
        yield


def works_alone(home: Path) -> str | None:
    """Who works alone on the state folder in another process; None where nobody does."""
    path = home / RUNS
    if path in _alone_here or not path.exists():
        return None
    with path.open("r") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return handle.read() or "another process"
    return None


def _busy(home: Path, what: str) -> str:
    holder = works_alone(home)
    if holder:
        return f"{what} cannot begin: {holder} is at work on {home} alone; wait until it has ended, or set MLOPS_HOME"
    return (
        f"{what} cannot begin: a Dagster run is at work on {home}; wait for it or terminate it on the Runs page, "
        f"or set MLOPS_HOME"
    )


@contextmanager
def _locked(path: Path, how: int, say: Callable[[], str]) -> Iterator[TextIO]:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+") as handle:
        for patience_s in (*LOOKS_S, None):
            try:
                fcntl.flock(handle, how | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if patience_s is None:
                    raise AtWorkError(say()) from None
                time.sleep(patience_s)
        yield handle
