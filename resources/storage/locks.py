"""A lock between processes of one machine: a file that filelock holds by flock, freed by the kernel when its holder dies."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

LOOK_S = 0.005
"""Between two looks of one who waits; what is done under these locks takes milliseconds."""


@contextmanager
def file_lock(path: Path, wait: bool = True) -> Iterator[None]:
    """Wait for the lock and hold it; not re-entrant, so never take it twice in one thread.

    With `wait` off, one that another process holds raises BlockingIOError at once.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path, poll_interval=LOOK_S, fallback_to_soft=False)
    try:
        lock.acquire(blocking=wait)
    except Timeout as error:
        raise BlockingIOError(f"another process holds {path}") from error
    try:
        yield
    finally:
        lock.release()
