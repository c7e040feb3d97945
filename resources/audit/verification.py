"""The whole log read anew from storage, and the first thing named that is not what was written."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from resources.audit.chain import (
    ENTRIES,
    HEAD,
    NAME,
    Place,
    entry_name,
    follow,
    head_of,
    sealed_envelope,
)
from resources.audit.errors import BrokenChainError
from resources.audit.keys import Key, KeyFile
from resources.audit.old_log import LOG_FILE, MIGRATED_FOLDER, OldLog, old_event, refuse_other_proof
from resources.audit.reading import old_log_of, read_all, refuse_other_head, refuse_unmigrated
from resources.storage.storage import Storage, Stored

Anchors = Mapping[str, tuple[int, str]]


@dataclass(frozen=True)
class Problem:
    """The first thing that is wrong: with an entry, by its number, or beside them (None)."""

    entry: int | None
    what: str


@dataclass(frozen=True)
class Report:
    """What a verification saw: the place up to which the log holds, what is wrong, and what is worth knowing."""

    head: Place
    problem: Problem | None = None
    notes: list[str] = field(default_factory=list)


class _Walk:
    """How far a log was followed: the place reached, its sealed lines, the hash of each entry, and the decisions seen."""

    def __init__(self, old: OldLog | None, keys: Mapping[str, Key]) -> None:
        self.old, self.keys = old, keys
        self.start = self.place = old.place if old else Place()
        self.lines: list[bytes] = []
        self.hashes = dict(enumerate(old.hashes if old else [], 1)) | {0: Place().hash}
        self.events = {old_event(line): number for number, line in enumerate(old.lines if old else [], 1)}

    def follow(self, name: str, line: bytes) -> None:
        """Take the next entry; raises BrokenChainError where it is not the one that belongs here."""
        seq = self.place.seq + 1
        if name != entry_name(seq):
            before = name < entry_name(seq)
            raise BrokenChainError(f"{name} is extra" if before else f"entry {seq} is missing", seq)
        place = follow(self.place, line, self.keys)
        if self.old and not self.lines:
            refuse_other_proof(line, self.old)
        event = sealed_envelope(line).event
        if event in self.events:
            raise BrokenChainError(
                f"entry {seq} is doubled: it records the decision of entry {self.events[event]}", seq
            )
        self.place, self.events[event], self.hashes[seq] = place, seq, place.hash
        self.lines.append(line)


def verify(storage: Storage, key_file: KeyFile, anchors: Anchors) -> Report:
    """Follow a log from its start; raises AuditKeyError where its key is not there to do it with.

    Nothing is locked: the head is read first, so what others append meanwhile only lies behind it.
    """
    refuse_unmigrated(storage)
    head, names = storage.load_or_none(HEAD), storage.names(ENTRIES, deep=True)
    try:
        old = old_log_of(storage)
    except BrokenChainError as broken:
        return Report(Place(), Problem(broken.entry, str(broken)))
    if head is None and not names and old is None:
        return Report(Place(), _remembered(_Walk(None, {}), anchors))
    walk = _Walk(old, key_file.load())
    try:
        _follow_all(walk, storage, names)
        _hold_to_head(walk, head)
    except BrokenChainError as broken:
        return Report(walk.place, Problem(broken.entry, str(broken)))
    problem = _remembered(walk, anchors)
    return Report(walk.place, problem, [] if problem else _notes(walk, head))


def _follow_all(walk: _Walk, storage: Storage, names: Sequence[str]) -> None:
    entries = [name for name in names if NAME.fullmatch(name)]
    for name, line in zip(entries, read_all(storage, entries), strict=True):
        walk.follow(name, line)
    if strangers := [name for name in names if not NAME.fullmatch(name)]:
        raise BrokenChainError(f"{', '.join(strangers[:3])}: extra, no name of an entry")
    if walk.old and not walk.lines:
        raise BrokenChainError(
            f"entry {walk.start.seq + 1}, which keeps the proof of the old log, is missing",
            walk.start.seq + 1,
        )


def _hold_to_head(walk: _Walk, head: Stored | None) -> None:
    if head is None:
        raise BrokenChainError(f"{HEAD} is missing beside a log of {walk.place.seq} entries")
    refuse_other_head(head_of(head.content, walk.keys), walk.start, walk.lines)


def _remembered(walk: _Walk, anchors: Anchors) -> Problem | None:
    last = walk.place.seq
    for where, (seq, digest) in anchors.items():
        if seq > last:
            what = f"{where} remembers entry {seq}, the log ends with entry {last}: its tail was cut off"
            return Problem(last + 1, what)
        if walk.hashes[seq] != digest:
            what = f"{where} remembers entry {seq} with hash {digest}, the log has {walk.hashes[seq]}"
            return Problem(seq, f"{what}: the log was written anew")
    return None


def _notes(walk: _Walk, head: Stored | None) -> list[str]:
    """What an append that was interrupted left behind, here or in the old log; none of it is a fault."""
    last, named = walk.place.seq, head_of(head.content, walk.keys).seq if head else 0
    behind = (
        f"{HEAD} names entry {named}, the log goes on to {last}: an append was interrupted or is under way"
    )
    torn = (
        f"{walk.old.torn if walk.old else 0} bytes of an interrupted append end {MIGRATED_FOLDER}/{LOG_FILE}"
    )
    return [behind] * (last > named) + [torn] * bool(walk.old and walk.old.torn)
