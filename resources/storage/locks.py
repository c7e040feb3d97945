"""A lock between processes of one machine: a file that the kernel frees when its holder dies."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from resources.storage.durable import make_folder
from resources.storage.errors import LeaseHeldError

if TYPE_CHECKING:
    from filelock import FileLock

POLL_S = 0.005
"""Between two looks of one who waits; what is done under these locks takes milliseconds."""


@contextmanager
def file_lock(path: Path, wait: bool = True) -> Iterator[None]:
    """Wait for the lock and hold it; not re-entrant, so never take it twice in one thread.

    With `wait` off, one that another process holds raises LeaseHeldError at once.
    """
    from filelock import FileLock

    make_folder(path.parent)
    lock = FileLock(path, thread_local=False)
    while not _acquired(lock):
        if not wait:
            raise LeaseHeldError(f"another process holds {path}")
        pause()
    try:
        yield
    finally:
        lock.release()


def pause() -> None:
    """Let the holder go on."""
    time.sleep(POLL_S)


def _acquired(lock: "FileLock") -> bool:
    from filelock import Timeout

    try:
        lock.acquire(blocking=False)
    except Timeout:
        return False
    return True
