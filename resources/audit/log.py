"""The audit log: who trained, judged, promoted, deployed or rolled back what, when, why and from which evidence.

Entries are only ever appended, one JSON line each under `MLOPS_HOME/audit`, and each seals the one before it. A decision
that is recorded again, by a run that was killed and made anew, is found and not written twice.
"""

import json
import logging
import mmap
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, get_args

from resources.audit.chain import (
    HEAD_FILE,
    LOCK_FILE,
    LOG_FILE,
    SEAL,
    AuditError,
    Head,
    Report,
    event_identity,
    follow,
    read_head,
    sealed,
    verify,
    whole,
    write_head,
)
from resources.moments import read_moment
from resources.resource import Resource
from resources.storage.durable import write_bytes
from resources.storage.locks import file_lock
from resources.tracking.versions import utc

__all__ = ["CHANGES", "KINDS", "Audit", "AuditError", "Entry", "Kind"]
LOG = logging.getLogger(__name__)
Kind = Literal[
    "trained",
    "evaluated",
    "promoted",
    "approved",
    "rejected",
    "deployed",
    "rolled_back",
    "erased",
    "configuration_changed",
]
KINDS: tuple[Kind, ...] = get_args(Kind)
CHANGES: tuple[Kind, ...] = ("promoted", "rolled_back")


@dataclass(frozen=True)
class Entry:
    """One decision: `at` is the wall clock's now, `moment` the data's; `evidence` names what it rests on by hash or id."""

    seq: int
    previous: str
    event: str
    kind: Kind
    model: str | None
    version: int | None
    by: str
    why: str
    at: datetime
    moment: datetime | None
    evidence: dict[str, Any]
    hash: str

    @classmethod
    def of(cls, line: bytes) -> "Entry":
        """The entry that a line of the log holds; a line that does not have the hash it carries is refused."""
        found = whole(line)
        if found is None:
            raise AuditError(
                f"a line of the audit log was altered: `mlops audit verify` names it: {line[:80]!r}"
            )
        moment = found["moment"] and read_moment(found["moment"])
        return cls(**found | {"at": read_moment(found["at"]), "moment": moment})


class Audit(Resource):
    """The log in one folder, appended to under a lock by any number of processes of one machine."""

    folder: str

    def record(
        self,
        kind: Kind,
        model: str | None,
        *,
        identity: Mapping[str, Any],
        by: str,
        why: str,
        moment: datetime | None,
        evidence: Mapping[str, Any],
        version: int | None = None,
    ) -> Entry:
        """Append a decision and return its entry; the one that is there is returned where it was recorded before.

        `identity` is what makes it the same decision, without clocks and run ids. On return the entry outlasts a power
        cut. Raises AuditError where the log is not what its head says, so that nothing is decided beside a broken log.
        """
        if kind not in KINDS:
            raise AuditError(f"kind {kind!r} is not one of {', '.join(KINDS)}")
        event = event_identity(kind, model, identity)
        content = {
            "at": datetime.now(UTC).isoformat(timespec="microseconds"),
            "by": by,
            "evidence": dict(evidence),
            "kind": kind,
            "model": model,
            "moment": moment and utc(moment).isoformat(),
            "version": version,
            "why": why,
        }
        with file_lock(self._path(LOCK_FILE)):
            head = self._ready()
            return self._find(event) or self._append(*sealed(head, event, content))

    def verify(self, anchors: Mapping[str, tuple[int, str]] | None = None) -> Report:
        """Read the whole log and say what was altered, dropped, reordered or cut off, if anything."""
        return verify(Path(self.folder), anchors)

    def entries(
        self, model: str | None = None, kinds: Sequence[Kind] = (), since: datetime | None = None
    ) -> Iterator[Entry]:
        """Entries in their order; of one model, of some kinds, recorded at `since` or later (wall clock)."""
        path = self._path(LOG_FILE)
        if not path.exists():
            return
        with path.open("rb") as handle:
            for line in handle:
                entry = _wanted(line, model, kinds) if line.endswith(b"\n") else None
                if entry and (since is None or entry.at >= utc(since)):
                    yield entry

    def latest(self, model: str, kinds: Sequence[Kind]) -> Entry | None:
        """The newest entry of a model that is of one of the kinds."""
        with self._mapped() as log:
            end = log.rfind(b"\n") + 1
            while end > 0:
                start = log.rfind(b"\n", 0, end - 1) + 1
                if entry := _wanted(log[start:end], model, kinds):
                    return entry
                end = start
        return None

    def find(self, kind: Kind, model: str | None, identity: Mapping[str, Any]) -> Entry | None:
        """The entry of a decision, or None where it was not recorded."""
        return self._find(event_identity(kind, model, identity))

    def lock(self, name: str, wait: bool = True) -> AbstractContextManager[None]:
        """A lock for one who reads the log, decides and appends; appending takes another one."""
        return file_lock(self._path(f".{name}.lock"), wait)

    def keep(self, name: str, text: str) -> None:
        """Keep a text that an entry names by its hash, beside the log; what is there stays as it is."""
        if not self._path(name).exists():
            write_bytes(self._path(name), text.encode())

    def kept(self, name: str) -> str | None:
        """A text that was kept, or None where it is not there."""
        return self._path(name).read_text() if self._path(name).exists() else None

    def _path(self, name: str) -> Path:
        return Path(self.folder) / name

    def _find(self, event: str) -> Entry | None:
        """Search the raw bytes: an identity in an entry's own text could only stand there with escaped quotes."""
        wanted = b'"event":"%b"' % event.encode()
        with self._mapped() as log:
            at = log.find(wanted)
            while at >= 0:
                start, end = log.rfind(b"\n", 0, at) + 1, log.find(b"\n", at) + 1
                if end and (entry := Entry.of(log[start:end])).event == event:
                    return entry
                at = log.find(wanted, at + 1)
        return None

    @contextmanager
    def _mapped(self) -> Iterator[bytes | mmap.mmap]:
        path = self._path(LOG_FILE)
        if not path.exists() or not path.stat().st_size:
            yield b""
            return
        with path.open("rb") as handle, mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_READ) as log:
            yield log

    def _append(self, line: bytes, head: Head) -> Entry:
        with self._path(LOG_FILE).open("ab") as handle:
            handle.write(line)
            handle.flush()
            os.fsync(handle.fileno())
        write_head(Path(self.folder), head)
        return Entry.of(line)

    def _ready(self) -> Head:
        """The head to append after, once the log is what the head says and an interrupted append is cleared up."""
        path = self._path(LOG_FILE)
        head, size = read_head(Path(self.folder)), path.stat().st_size if path.exists() else 0
        if head is None and size == 0:
            head = Head()
            write_head(Path(self.folder), head)
        if head is None or size < head.bytes or (head.seq and self._seal_at(head) != head.hash):
            raise AuditError(
                f"{path} is not what {HEAD_FILE} says ({f'entry {head.seq}' if head else 'missing'}): "
                f"`mlops audit verify` names the line; restore the folder from a copy. Until then nothing is recorded"
            )
        return head if size == head.bytes else self._recovered(head)

    def _seal_at(self, head: Head) -> str:
        with self._path(LOG_FILE).open("rb") as handle:
            handle.seek(head.bytes - SEAL)
            return handle.read(SEAL)[-67:-3].decode(errors="replace")

    def _recovered(self, head: Head) -> Head:
        """Keep the whole entries that an interrupted append left after the head, and put a torn one aside."""
        with self._path(LOG_FILE).open("r+b") as handle:
            handle.seek(head.bytes)
            for _, seq, digest, size in follow(handle, head):
                LOG.warning("audit log: entry %d of an interrupted append is kept", seq)
                head = Head(seq, digest, size)
            handle.seek(head.bytes)
            if torn := handle.read():
                aside = self._path(f"torn-after-{head.seq}.bytes")
                write_bytes(aside, torn)
                LOG.warning("audit log: %d bytes of an interrupted append are now in %s", len(torn), aside)
                handle.truncate(head.bytes)
            os.fsync(handle.fileno())
        write_head(Path(self.folder), head)
        return head


def _wanted(line: bytes, model: str | None, kinds: Sequence[Kind]) -> Entry | None:
    """The entry of a line if it is of the model and of one of the kinds; most others are told without parsing."""
    if kinds and not any(b'"kind":"%b"' % kind.encode() in line for kind in kinds):
        return None
    if model is not None and b'"model":%b' % json.dumps(model).encode() not in line:
        return None
    entry = Entry.of(line)
    return entry if (not kinds or entry.kind in kinds) and (model is None or entry.model == model) else None
