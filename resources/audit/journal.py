"""The entries of one log as this process has read and verified them; the objects in storage are the truth.

An entry's name is its number, and it is put only where nothing is: that put is the compare-and-set of the chain's head,
so that of two writers one wins and the other reads what was written and tries again. Nothing is locked.
"""

import contextlib
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from resources.audit.chain import (
    ENTRIES,
    HEAD,
    NAME,
    Place,
    entry_line,
    entry_name,
    envelope_of,
    follow,
    head_of,
    head_text,
    sealed_envelope,
)
from resources.audit.errors import AuditError, AuditKeyError, BrokenChainError
from resources.audit.keys import Key, KeyFile
from resources.audit.old_log import OldLog, old_event, refuse_other_proof
from resources.audit.reading import old_log_of, read_all, refuse_other_head, refuse_unmigrated
from resources.storage.addresses import storage_at
from resources.storage.errors import ConflictError
from resources.storage.storage import Storage, Stored


@lru_cache(maxsize=32)
def journal_of(address: str, key_file: str) -> "Journal":
    """The journal of a log, one for all who ask for it in this process."""
    return Journal(storage_at(address), KeyFile(Path(key_file)))


class Journal:
    """What is known of a log: its lines in order, where each decision stands, and the place after the last one."""

    def __init__(self, storage: Storage, key_file: KeyFile) -> None:
        self.storage, self.key_file = storage, key_file
        self._lock = threading.RLock()
        self._forget()

    def lines(self) -> Sequence[bytes]:
        """Every line up to now, oldest first; raises AuditError where one is not what was written."""
        with self._lock:
            self._catch_up()
            return self._lines[:]

    def line_of(self, event: str) -> bytes | None:
        """The line that records a decision."""
        with self._lock:
            self._catch_up()
            return self._line_of(event)

    def append(
        self, event: str, now: str, content: Mapping[str, Any], check: Callable[[], None] | None = None
    ) -> bytes:
        """The line of a decision, appended if it is not there yet; durable on return.

        `now` is the wall clock, ISO 8601 in UTC. `check` raises where the decision is not to be recorded; nothing comes
        between the log that it read and the entry. Raises AuditError where the log is not what its head says.
        """
        while True:
            with self._lock:
                self._catch_up()
                self._get_ready()
                if line := self._line_of(event):
                    return line
                before = self._place
                if check:
                    check()
                line, name = self._next(event, now, content), entry_name(self._place.seq + 1)
                if self._place != before:
                    continue
            try:
                self.storage.put_if_absent(name, line)
            except ConflictError:
                continue
            self._follow_own(line)
            return line

    def begin(self, old: OldLog | None = None) -> None:
        """Make key and head of a log that has no entry yet; `old`: the log whose proof its first entry will keep."""
        keys = self.key_file.create()
        try:
            self.storage.put_if_absent(HEAD, head_text(old.place if old else Place(), [*keys.values()][-1]))
        except ConflictError:
            head_of(self.storage.read(HEAD), keys)

    def append_proof(self, old: OldLog, event: str, now: str, content: Mapping[str, Any]) -> None:
        """Write the first entry, which keeps the proof of an old log, unless it is there, and bring the head to it.

        Raises BrokenChainError where the one that is there keeps another proof.
        """
        self.begin(old)
        name = entry_name(old.place.seq + 1)
        with self._lock:
            self._forget()
            self._keys = self.key_file.load()
            self._adopt(old)
            line = self._next(event, now, content)
        with contextlib.suppress(ConflictError):
            self.storage.put_if_absent(name, line)
        self._follow_own(self.storage.read(name))

    def settle(self) -> None:
        """Bring the head to the last entry there is, as the next append would."""
        with self._lock:
            self._catch_up()
            if self._place != self._start:
                self._bring_head()

    def next_key(self) -> Key:
        """The key that stands behind the one in use in the key file, made where there is none."""
        with self._lock:
            self._catch_up()
            self._get_ready()
            keys = [*self._keys.values()]
            behind = keys[keys.index(self._sealing()) + 1 :]
        return behind[0] if behind else self.key_file.add()

    def _forget(self) -> None:
        self._place, self._start = Place(), Place()
        self._old: OldLog | None = None
        self._lines: list[bytes] = []
        self._events: dict[str, int] = {}
        self._keys: dict[str, Key] = {}

    def _catch_up(self) -> None:
        """Read what is new. The head is read before the entries, so that what others append meanwhile lies behind it."""
        head = self.storage.load_or_none(HEAD)
        if self._place == self._start or not self._still_there():
            self._forget()
            self._load()
        while stored := self.storage.load_or_none(entry_name(self._place.seq + 1)):
            self._follow(stored.content)
        if head or self._lines:
            self._hold_to(head or self.storage.load_or_none(HEAD))

    def _still_there(self) -> bool:
        stored = self.storage.load_or_none(entry_name(self._place.seq))
        return stored is not None and stored.content == self._lines[-1]

    def _load(self) -> None:
        refuse_unmigrated(self.storage)
        names = [name for name in self.storage.names(ENTRIES) if NAME.fullmatch(name)]
        old = old_log_of(self.storage)
        if old and not names:
            seq = old.place.seq + 1
            raise self._broken(
                BrokenChainError(f"entry {seq}, which keeps the proof of the old log, is missing")
            )
        if names:
            self._adopt(old)
            for name, line in zip(names, read_all(self.storage, names), strict=True):
                self._refuse_gap(name)
                self._follow(line)

    def _get_ready(self) -> None:
        """Make key and head of an empty log; raises AuditKeyError where another one's key is not there any more."""
        if not self._lines and not self.storage.exists(HEAD):
            self.begin()
        self._keys = self.key_file.load()

    def _adopt(self, old: OldLog | None) -> None:
        self._old = old
        if old:
            self._place = self._start = old.place
            self._lines = list(old.lines)
            self._events = {old_event(line): number for number, line in enumerate(old.lines)}

    def _refuse_gap(self, name: str) -> None:
        if name != entry_name(self._place.seq + 1):
            raise self._broken(BrokenChainError(f"entry {self._place.seq + 1} is missing"))

    def _follow(self, line: bytes) -> None:
        ends = envelope_of(line)
        if ends and ends.key not in self._keys:
            self._keys = self.key_file.load()
        try:
            after = follow(self._place, line, self._keys)
            if self._old and self._place == self._start:
                refuse_other_proof(line, self._old)
            self._place = after
        except BrokenChainError as broken:
            raise self._broken(broken) from None
        if ends:
            self._events[ends.event] = len(self._lines)
        self._lines.append(line)

    def _follow_own(self, line: bytes) -> None:
        with self._lock:
            if self._lines[-1:] != [line] and self._place.seq + 1 == sealed_envelope(line).seq:
                self._follow(line)
        self._bring_head()

    def _bring_head(self) -> None:
        with self._lock:
            place, key = self._place, self._keys[sealed_envelope(self._lines[-1]).key]
        head = head_text(place, key)

        def further(before: bytes | None) -> bytes:
            return before if before and head_of(before, self._keys).seq >= place.seq else head

        self.storage.update(HEAD, further)

    def _line_of(self, event: str) -> bytes | None:
        number = self._events.get(event)
        return None if number is None else self._lines[number]

    def _next(self, event: str, now: str, content: Mapping[str, Any]) -> bytes:
        """The next line; a clock that is behind the entry before does not take the log back in time, and is named."""
        behind = {"clock": now} if now < self._place.at else {}
        return entry_line(
            self._place, self._sealing(), event, max(now, self._place.at), {**content, **behind}
        )

    def _sealing(self) -> Key:
        if self._place.key is None:
            return [*self._keys.values()][-1]
        if self._place.key not in self._keys:
            self._keys = self.key_file.load()
        if self._place.key not in self._keys:
            raise AuditKeyError(
                f"the audit log is sealed with key {self._place.key}, which {self.key_file.path} lacks: put it back from a copy"
            )
        return self._keys[self._place.key]

    def _hold_to(self, head: Stored | None) -> None:
        """Raise unless the head was sealed with the key of the entry that it names, and that entry was read."""
        self._keys = self._keys or self.key_file.load()
        try:
            if head is None:
                raise BrokenChainError(f"{HEAD} is missing")
            refuse_other_head(head_of(head.content, self._keys), self._start, self._sealed_lines())
        except BrokenChainError as broken:
            raise self._broken(broken) from None

    def _sealed_lines(self) -> Sequence[bytes]:
        return self._lines[self._start.seq :] if self._start.seq else self._lines

    def _broken(self, error: BrokenChainError) -> AuditError:
        return BrokenChainError(
            f"{self.storage.address}: {error}: `mlops audit verify` says what holds; restore the log from a copy. Until then "
            f"nothing is read from it or recorded"
        )
