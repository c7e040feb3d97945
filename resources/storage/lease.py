"""A lease: one holder at a time, for as long as it renews, on machines whose clocks need not agree.

Nobody's clock is written down or compared. A lease is free when its holder gave it back, or when whoever wants it has
seen it unrenewed for its whole length on a clock of its own that only goes forward; the holder counts its time from
before it asked for the renewal. `number` grows by one with each holder: what is written under a lease is put with a
condition or carries the number, so that a holder that was asleep beyond its time changes nothing.
(M. Kleppmann, "How to do distributed locking", 2016, on fencing.)
"""

import json
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace

from resources.storage.errors import ConflictError, LeaseHeldError, LeaseLostError, StorageError
from resources.storage.storage import Storage

LOOKS = 10
"""How often one who waits looks within the length of a lease."""

RENEWALS = 4
"""How often a holder renews within the length of its lease."""


@dataclass(frozen=True)
class Terms:
    """What a lease's record says: `renewal` is another one each time, `free` that its holder gave it back."""

    holder: str
    number: int
    lasts_s: float
    renewal: str
    free: bool = False

    def text(self) -> bytes:
        return json.dumps(asdict(self), sort_keys=True).encode()


class Lease:
    """A lease that this process has; `number` tells it from those before and after."""

    def __init__(self, storage: Storage, name: str, terms: Terms, stamp: str, since: float) -> None:
        self._storage, self._name, self._terms, self._stamp, self._since = storage, name, terms, stamp, since
        self._lock = threading.Lock()

    @property
    def number(self) -> int:
        return self._terms.number

    @property
    def left_s(self) -> float:
        """Seconds for which nobody else can have it, on this process's own clock."""
        return self._since + self._terms.lasts_s - time.monotonic()

    def renew(self) -> None:
        """Have it for its whole length from now on; raises LeaseLostError where it ran out or somebody has taken it."""
        with self._lock:
            if self.left_s <= 0:
                raise LeaseLostError(f"the lease {self._name!r} ran out before it was renewed")
            self._since = self._replace(replace(self._terms, renewal=uuid.uuid4().hex))

    def give_back(self) -> None:
        """Let the next one have it at once; one that was lost stays with whoever has it now."""
        with self._lock:
            try:
                self._replace(replace(self._terms, free=True))
            except LeaseLostError:
                return

    def _replace(self, terms: Terms) -> float:
        """Write other terms over one's own, and return when that began."""
        since = time.monotonic()
        try:
            self._stamp = self._storage.put_if_unchanged(self._name, terms.text(), self._stamp)
        except ConflictError as error:
            self._stamp = self._storage.put_if_unchanged(self._name, terms.text(), self._own_stamp(error))
        return since

    def _own_stamp(self, error: ConflictError) -> str:
        """The stamp of one's own renewal that arrived although its answer did not; another holder's is none."""
        now = self._storage.load_or_none(self._name)
        if now is None or Terms(**json.loads(now.content)).number != self.number:
            raise LeaseLostError(f"the lease {self._name!r} was taken by another holder") from error
        return now.stamp


def take(storage: Storage, name: str, holder: str, lasts_s: float, wait_s: float | None = None) -> Lease:
    """Take a lease, waiting for its holder for `wait_s` (None: without end); raises LeaseHeldError after that."""
    began, seen, seen_at = time.monotonic(), None, time.monotonic()
    while True:
        looked_at = time.monotonic()
        before = storage.load_or_none(name)
        terms = Terms(**json.loads(before.content)) if before else None
        if before and before.stamp != seen:
            seen, seen_at = before.stamp, time.monotonic()
        if terms is None or terms.free or looked_at - seen_at > terms.lasts_s:
            ours = Terms(holder, terms.number + 1 if terms else 1, lasts_s, uuid.uuid4().hex)
            since = time.monotonic()
            try:
                return Lease(storage, name, ours, storage.put(name, ours.text(), before), since)
            except ConflictError:
                continue
        if wait_s is not None and time.monotonic() - began >= wait_s:
            raise LeaseHeldError(f"the lease {name!r} is held by {terms.holder}")
        time.sleep(min(terms.lasts_s / LOOKS, 1))


@contextmanager
def leased(
    storage: Storage, name: str, holder: str, lasts_s: float, wait_s: float | None = None
) -> Iterator[Lease]:
    """Hold a lease for a block of work, renewed by a thread; raises LeaseLostError after work that outlived it."""
    lease, over = take(storage, name, holder, lasts_s, wait_s), threading.Event()
    renewing = threading.Thread(target=_renew_until, args=(lease, lasts_s / RENEWALS, over), daemon=True)
    renewing.start()
    try:
        yield lease
        lease.renew()
    finally:
        over.set()
        renewing.join()
        lease.give_back()


def _renew_until(lease: Lease, every_s: float, over: threading.Event) -> None:
    while not over.wait(every_s):
        try:
            lease.renew()
        except LeaseLostError:
            return
        except StorageError:
            continue
