"""The log of an earlier release taken over: its bytes are kept, and the first sealed entry keeps their proof.

The order of the steps makes it safe to repeat after any of them: a copy of the old files, one entry that follows the old
log's last and names its digest, length and head, the head of the new log, and only then the old files go.
"""

from resources.audit.chain import ENTRIES, entry_name, event_identity
from resources.audit.errors import OldLogError
from resources.audit.log import Audit, wall_clock
from resources.audit.old_log import HEAD_FILE, LOG_FILE, MIGRATED_FOLDER, OldLog, read_old
from resources.storage.errors import ConflictError
from resources.storage.storage import Storage

SPECS = "specs"


def migration_of(audit: Audit, source: Storage | None = None) -> OldLog | None:
    """The old log that waits to be taken over, verified by its own rule; None where none does.

    `source`: the folder of the old log, where it is not the log's own. Raises BrokenChainError where it does not hold.
    """
    return _read(source or audit.storage)


def is_unfinished(audit: Audit) -> bool:
    """Whether a migration was killed between its last two steps, so that of the old files the head is left."""
    return not audit.storage.exists(LOG_FILE) and _head_is_left(audit.storage)


def take_over(audit: Audit, by: str, source: Storage | None = None) -> OldLog | None:
    """Take over the old log that waits; None where none does. Raises AuditError where it does not hold."""
    source = source or audit.storage
    old = _read(source)
    if old is None:
        _sweep(source)
        audit.journal.settle()
        return None
    _refuse_another_log(audit.storage, old)
    _copy(source, audit.storage)
    event = event_identity("migrated", None, {"log": old.sha256})
    content = {
        "by": by,
        "evidence": {"log": old.proof},
        "kind": "migrated",
        "model": None,
        "moment": None,
        "version": None,
        "why": f"{old.end.seq} entries of an earlier release are kept in {MIGRATED_FOLDER}/{LOG_FILE}",
    }
    audit.journal.append_proof(old, event, wall_clock(), content)
    if source.address == audit.storage.address:
        _remove(source, old)
    audit.journal.settle()
    return old


def _read(source: Storage) -> OldLog | None:
    log, head = (source.load_or_none(name) for name in (LOG_FILE, HEAD_FILE))
    return read_old(log.content, head.content if head else None) if log else None


def _copy(source: Storage, target: Storage) -> None:
    same = source.address == target.address
    for name in () if same else source.names(SPECS):
        _put(target, name, source.read(name))
    for name in (HEAD_FILE, LOG_FILE):
        if source.exists(name):
            _put(target, f"{MIGRATED_FOLDER}/{name}", source.read(name))


def _put(target: Storage, name: str, content: bytes) -> None:
    try:
        target.put_if_absent(name, content)
    except ConflictError:
        if target.read(name) != content:
            raise OldLogError(
                f"{target.at(name)} is there and is not what is to be kept: another log was migrated here, or the old one "
                f"was written to since; stop the earlier release, and move that file away if it is not wanted"
            ) from None


def _remove(source: Storage, old: OldLog) -> None:
    """Remove the old files once their copy is kept; one that was written to meanwhile is left and refused."""
    if (
        source.exists(LOG_FILE)
        and read_old(source.read(LOG_FILE), source.read(HEAD_FILE)).sha256 != old.sha256
    ):
        raise OldLogError(
            f"{source.at(LOG_FILE)} was written to while it was migrated: stop the earlier release; what it wrote since is "
            f"in that file only"
        )
    source.delete(LOG_FILE)
    source.delete(HEAD_FILE)


def _sweep(source: Storage) -> None:
    """Remove the old head where a migration was killed between its last two steps."""
    if _head_is_left(source):
        source.delete(HEAD_FILE)


def _head_is_left(source: Storage) -> bool:
    left, moved = (source.load_or_none(f"{folder}{HEAD_FILE}") for folder in ("", f"{MIGRATED_FOLDER}/"))
    return bool(left and moved and left.content == moved.content)


def _refuse_another_log(target: Storage, old: OldLog) -> None:
    names = target.names(ENTRIES)
    if names and names[0] != entry_name(old.end.seq + 1):
        raise OldLogError(
            f"{target.address} has entries of its own, from {names[0]} on: an old log is taken over by an empty one only"
        )
