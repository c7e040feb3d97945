"""Writes the evidence of traffic of one process down, once a second while there is any, in a thread of its own."""

import fcntl
import logging
import os
import socket
import threading
import uuid
from pathlib import Path

from resources.serving.version_counts import (
    COUNTS,
    Sums,
    VersionCounts,
    added,
    documents,
    file_name,
    newest_files,
    sums_of,
)
from resources.storage.addresses import storage_at
from resources.storage.errors import StorageError
from resources.storage.locks import file_lock

LOG = logging.getLogger(__name__)
EVERY_S = 1.0
ALIVE, LOCK = ".alive", ".counts.lock"
"""Names that begin with a dot are of this machine alone."""


class WrittenCounts:
    """The sums of this process, and their files in the serving log's folder."""

    def __init__(self, folder: Path, counts: VersionCounts, every_s: float = EVERY_S) -> None:
        self.counts = counts
        self.writer = f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
        self._storage, self._folder = storage_at(folder), folder
        self._numbers: dict[str, int] = {}
        self._held: list[int] = []
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(every_s,), name="version-counts", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Write what is left."""
        self._closed.set()
        self._thread.join()
        for held in self._held:
            os.close(held)

    def _run(self, every_s: float) -> None:
        while not self._closed.wait(every_s):
            self._write()
        self._write()

    def _write(self) -> None:
        for model, versions in self.counts.take_changed().items():
            try:
                if model not in self._numbers:
                    self._begin(model)
                number = self._numbers[model] + 1
                self._storage.write(
                    file_name(model, self.writer, number), Sums(documents(versions)).content(), flush=False
                )
                self._storage.delete(file_name(model, self.writer, number - 1))
                self._numbers[model] = number
            except (OSError, StorageError):
                self.counts.again(model)
                LOG.exception("what versions of %s did cannot be written yet", model)

    def _begin(self, model: str) -> None:
        """Say that this process writes, and put together what ended ones have left."""
        folder = self._folder / model / COUNTS
        with file_lock(folder / LOCK):
            self._held.append(_held(folder / f".{self.writer}{ALIVE}"))
            ended = [one for one in newest_files(self._storage, model) if _has_ended(folder, one)]
            if len(ended) > 1:
                self._fold(model, ended)
        self._numbers[model] = 0

    def _fold(self, model: str, ended: list[str]) -> None:
        """Put the sums of some writers into one file; from the moment on at which it is there, theirs do not count."""
        files = newest_files(self._storage, model)
        sums = sums_of(self._storage, {one: files[one] for one in ended})
        together = f"{socket.gethostname()}-ended-{uuid.uuid4().hex[:8]}"
        whole = Sums(documents(added(sums.values())), tuple(sorted(ended)))
        self._storage.write(file_name(model, together, 1), whole.content())
        for name in self._storage.names(f"{model}/{COUNTS}", ".json"):
            if name.rpartition("/")[2].rpartition("-")[0] in ended:
                self._storage.delete(name)
        for one in ended:
            (self._folder / model / COUNTS / f".{one}{ALIVE}").unlink(missing_ok=True)


def _held(path: Path) -> int:
    held = os.open(path, os.O_CREAT | os.O_RDWR, 0o600)
    fcntl.flock(held, fcntl.LOCK_EX)
    return held


def _has_ended(folder: Path, writer: str) -> bool:
    """Whether a writer of this machine does not run any more."""
    if not writer.startswith(f"{socket.gethostname()}-"):
        return False
    try:
        held = os.open(folder / f".{writer}{ALIVE}", os.O_RDWR)
    except FileNotFoundError:
        return True
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(held)
    return True
