"""Operations that run in turns: each stops before every durable write until it is told to go on, or to die there."""

import os
import pathlib
import threading
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from filelock import FileLock, Timeout

import resources.audit.log
import resources.lake.lake
import resources.storage.locks
from resources.audit.log import Audit

HERE = threading.local()
REGISTRY_WRITES = ("set_registered_model_alias", "set_model_version_tag", "set_registered_model_tag")


class Killed(BaseException):
    """Stands for SIGKILL: nothing in the code under test may catch it."""


class Operation:
    """A process that changes something, here a thread that runs only while `step` waits for it."""

    def __init__(self, act: Callable[[], Any], refusals: tuple[type[Exception], ...] = ()) -> None:
        self.act, self.refusals, self.at = act, refusals, "the beginning"
        self.killed = self.done = self.waits = False
        self.result: Any = None
        self.refused: Exception | None = None
        self.failed: BaseException | None = None
        self._go, self._stopped = threading.Semaphore(0), threading.Semaphore(0)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def step(self) -> None:
        """Let it do its next durable write, or find that it has to wait for a lock."""
        if not self.done:
            self._go.release()
            self._stopped.acquire()
        if self.failed:
            raise self.failed

    def kill(self) -> None:
        """Let it die where it stands; the locks that it held are free then."""
        self.killed = True
        self.step()

    def go_on(self, until: Callable[[], bool] = lambda: False) -> None:
        """Let it go on to its end, or until something holds, or until it has to wait for another one."""
        self.step()
        while not (self.done or self.waits or until()):
            self.step()

    def pause(self, at: str) -> None:
        """Called by the operation itself, with the write that comes next."""
        self.at = at
        self._stopped.release()
        self._go.acquire()
        if self.killed:
            raise Killed

    def _run(self) -> None:
        HERE.operation = self
        self._go.acquire()
        try:
            if not self.killed:
                self.result = self.act()
        except Killed:
            pass
        except self.refusals as refused:
            self.refused = refused
        except BaseException as failed:  # noqa: BLE001
            self.failed = failed
        finally:
            self.done = True
            self._stopped.release()


def pause(at: str) -> None:
    """Stop here, before a write, if this is an operation's thread."""
    operation = getattr(HERE, "operation", None)
    if operation is not None and not operation.done:
        operation.pause(at)


def cut_at_every_write(monkeypatch: pytest.MonkeyPatch, registry: Any) -> None:
    """Make every durable write a place to stop: to registry, log, head, and any file; and so a lock that is held."""
    places = [(registry, name) for name in REGISTRY_WRITES]
    places += [
        (resources.audit.log, "write_head"),
        (Audit, "_append"),
        (resources.lake.lake, "_durable_rename"),
    ]
    places += [(pathlib.Path, "unlink")]
    for owner, name in places:
        monkeypatch.setattr(owner, name, _stopping_before(name, getattr(owner, name)))
    # A temporary file has its process's number in its name, and here each operation stands for a process.
    own_number = SimpleNamespace(**vars(os) | {"getpid": threading.get_ident})
    monkeypatch.setattr(resources.lake.lake, "os", own_number)
    monkeypatch.setattr(resources.storage.locks, "FileLock", _LockInTurns)


def _stopping_before(name: str, original: Callable[..., Any]) -> Callable[..., Any]:
    def call(*arguments: Any, **named: Any) -> Any:
        pause(f"a file in {arguments[1].parent.name}" if name == "_durable_rename" else name)
        return original(*arguments, **named)

    return call


class _LockInTurns(FileLock):
    """The real lock; one who would have to wait stops, and tries again when it is its turn."""

    def acquire(self, *arguments: Any, blocking: bool | None = None, **named: Any) -> Any:
        while True:
            try:
                return super().acquire(*arguments, blocking=False, **named)
            except Timeout:
                if blocking is False:
                    raise
                operation = getattr(HERE, "operation", None)
                assert operation, "nobody would ever free this lock"
                operation.waits = True
                operation.pause("a lock")
                operation.waits = False
