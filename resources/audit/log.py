"""The audit log: who trained, judged, promoted, deployed or rolled back what, when, why and from which evidence.

Entries are only ever added, each an object of its own under its number, chained to the one before it and sealed with a
key. A decision that is recorded again, by a run that was killed and made anew, is found and not written twice.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, get_args

from resources.audit.chain import event_identity
from resources.audit.errors import AuditError, AuditKeyError
from resources.audit.journal import Journal, journal_of
from resources.audit.verification import Report, verify
from resources.moments import read_moment
from resources.resource import Resource
from resources.storage.errors import ConflictError
from resources.storage.storage import Storage
from resources.tracking.versions import utc

__all__ = ["CHANGES", "KINDS", "ROLLOUTS", "Audit", "AuditError", "Entry", "Kind"]
Kind = Literal[
    "trained",
    "evaluated",
    "promoted",
    "approved",
    "rejected",
    "deployed",
    "rolled_back",
    "paused",
    "resumed",
    "retired",
    "reinstated",
    "erased",
    "configuration_changed",
    "key_changed",
    "migrated",
    "rollout_started",
    "rollout_advanced",
    "rollout_asked",
    "rollout_paused",
    "rollout_resumed",
    "rollout_completed",
    "rollout_promoted",
    "rollout_rolled_back",
    "rollout_aborted",
    "held_back",
    "superseded",
]
KINDS: tuple[Kind, ...] = get_args(Kind)
CHANGES: tuple[Kind, ...] = ("promoted", "rolled_back")
ROLLOUTS: tuple[Kind, ...] = tuple(kind for kind in KINDS if kind.startswith("rollout_"))


@dataclass(frozen=True)
class Entry:
    """One decision: `at` is the wall clock's now, `moment` the data's; `evidence` names what it rests on by hash or id.

    `clock` is what the writer's clock said where that was earlier than the entry before; `key` and `seal` are None in
    what was taken over from an earlier release.
    """

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
    key: str | None = None
    seal: str | None = None
    clock: datetime | None = None

    @classmethod
    def of(cls, line: bytes) -> "Entry":
        """The entry that a verified line holds."""
        content = json.loads(line)
        times = {name: read_moment(content[name]) for name in ("at", "moment", "clock") if content.get(name)}
        return cls(**content | times)


class Audit(Resource):
    """The log at one address, a folder or `s3://bucket/prefix`, added to by any number of processes and machines."""

    folder: str
    key_file: str = ""
    """The file with its keys; empty: `keys/audit.key` beside a local folder."""

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
        check: Callable[[], None] | None = None,
    ) -> Entry:
        """Add a decision and return its entry; the one that is there is returned where it was recorded before.

        `identity` is what makes it the same decision, without clocks and run ids. `check` raises where the log does not
        allow the decision; nobody's entry comes between what it read and this one. On return the entry outlasts a power
        cut. Raises AuditError where the log is not what its head says, so that nothing is decided beside a broken log.
        """
        if kind not in KINDS:
            raise AuditError(f"kind {kind!r} is not one of {', '.join(KINDS)}")
        content = {
            "by": by,
            "evidence": dict(evidence),
            "kind": kind,
            "model": model,
            "moment": moment and utc(moment).isoformat(),
            "version": version,
            "why": why,
        }
        event = event_identity(kind, model, identity)
        return Entry.of(self.journal.append(event, wall_clock(), content, check))

    def verify(self, anchors: Mapping[str, tuple[int, str]] | None = None) -> Report:
        """Read the whole log and say what was altered, doubled, dropped, reordered, cut off or is foreign, if anything.

        `anchors` are places elsewhere that remember an entry: where -> (number, hash).
        """
        return verify(self.storage, self.journal.key_file, anchors or {})

    def entries(
        self, model: str | None = None, kinds: Sequence[Kind] = (), since: datetime | None = None
    ) -> Iterator[Entry]:
        """Entries in their order; of one model, of some kinds, recorded at `since` or later (wall clock)."""
        for line in self.journal.lines():
            entry = _entry_if(line, model, kinds)
            if entry and (since is None or entry.at >= utc(since)):
                yield entry

    def latest(self, model: str, kinds: Sequence[Kind]) -> Entry | None:
        """The newest entry of a model that is of one of the kinds."""
        lines = reversed(self.journal.lines())
        return next((entry for line in lines if (entry := _entry_if(line, model, kinds))), None)

    def find(self, kind: Kind, model: str | None, identity: Mapping[str, Any]) -> Entry | None:
        """The entry of a decision, or None where it was not recorded."""
        line = self.journal.line_of(event_identity(kind, model, identity))
        return Entry.of(line) if line else None

    def change_key(self, by: str, why: str) -> Entry:
        """Seal what follows with another key: the next in the key file, else a new one; the entry names it."""
        key = self.journal.next_key()
        return self.record(
            "key_changed",
            None,
            identity={"key": key.id},
            by=by,
            why=why,
            moment=None,
            evidence={"key": key.id},
        )

    def lock(self, name: str, wait: bool = True) -> AbstractContextManager[None]:
        """A lock for one who reads the log, decides and appends; with `wait` off, LeaseHeldError where it is held."""
        return self.storage.locked(name, wait)

    def keep(self, name: str, text: str) -> None:
        """Keep a text that an entry names by its hash, beside the log; what is there stays as it is."""
        if self.storage.exists(name):
            return
        try:
            self.storage.put_if_absent(name, text.encode())
        except ConflictError:
            return

    def text(self, name: str) -> str | None:
        """A text that was kept, or None where it is not there."""
        stored = self.storage.load_or_none(name)
        return stored.content.decode() if stored else None

    @property
    def journal(self) -> Journal:
        """What this process has read of the log; raises AuditKeyError where nothing says where its key lies."""
        if "://" in self.folder and not self.key_file:
            raise AuditKeyError(
                f"the audit log at {self.folder} has no key file: name one with MLOPS_AUDIT_KEY_FILE"
            )
        return journal_of(self.folder, self.key_file or str(Path(self.folder).parent / "keys" / "audit.key"))

    @property
    def storage(self) -> Storage:
        """Where the log lies."""
        return self.journal.storage


def wall_clock() -> str:
    """Now, as an entry gives it."""
    return datetime.now(UTC).isoformat(timespec="microseconds")


def _entry_if(line: bytes, model: str | None, kinds: Sequence[Kind]) -> Entry | None:
    """The entry of a line if it is of the model and of one of the kinds; most others are told without parsing."""
    if kinds and not any(b'"kind":"%b"' % kind.encode() in line for kind in kinds):
        return None
    if model is not None and b'"model":%b' % json.dumps(model).encode() not in line:
        return None
    entry = Entry.of(line)
    return entry if (not kinds or entry.kind in kinds) and (model is None or entry.model == model) else None
