"""What of a log is read from its storage in the same way by those who append and those who verify."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

from resources.audit.chain import HEAD, Place, sealed_envelope
from resources.audit.errors import BrokenChainError, OldLogError
from resources.audit.old_log import HEAD_FILE, LOG_FILE, MIGRATED_FOLDER, OldLog, read_old
from resources.storage.storage import Storage

READERS, BATCH = 16, 64
"""Threads that read a long log at first, and entries that each reads at a time."""


def refuse_other_head(head: Place, start: Place, lines: Sequence[bytes]) -> None:
    """Raise BrokenChainError unless a head names `start`, or one of the sealed lines that follow it, by hash and key."""
    end = start.seq + len(lines)
    if head.seq > end:
        raise BrokenChainError(
            f"the log ends with entry {end}, and its head names entry {head.seq}: the last {head.seq - end} were cut off"
        )
    named = sealed_envelope(lines[head.seq - start.seq - 1]) if head.seq > start.seq else start
    if head.hash != named.hash or (named.key and head.key != named.key):
        raise BrokenChainError(f"{HEAD} says otherwise of entry {head.seq}: the log or the head was replaced")


def old_log_of(storage: Storage) -> OldLog | None:
    """The log of an earlier release that a migration kept, verified by its own rule."""
    log = storage.load_or_none(f"{MIGRATED_FOLDER}/{LOG_FILE}")
    if log is None:
        return None
    head = storage.load_or_none(f"{MIGRATED_FOLDER}/{HEAD_FILE}")
    return read_old(log.content, head.content if head else None)


def refuse_unmigrated(storage: Storage) -> None:
    """Raise OldLogError where the log of an earlier release waits to be taken over."""
    if storage.exists(LOG_FILE):
        raise OldLogError(
            f"{storage.at(LOG_FILE)} is an audit log of an earlier release: `mlops migrate` takes it over, with its proof, "
            f"and brings the rest of the state forward"
        )


def read_all(storage: Storage, names: Sequence[str]) -> Iterator[bytes]:
    """The content of each name in order, many at a time where there are many."""
    if len(names) <= BATCH:
        yield from map(storage.read, names)
        return
    batches = [names[start : start + BATCH] for start in range(0, len(names), BATCH)]
    with ThreadPoolExecutor(READERS) as pool:
        for batch in pool.map(lambda few: [storage.read(name) for name in few], batches):
            yield from batch
