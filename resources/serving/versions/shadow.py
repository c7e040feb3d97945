"""Copies of what was answered, scored by another version once the answer has gone: in its process, and never in front of an answer.

Copies wait in a short queue. They are scored, some at a time, while the endpoint has nothing to do and the version's process has
worked less for them than it may; those that waited too long are dropped, and counted.
"""

import asyncio
import contextlib
import logging
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from resources.records.split import Split
from resources.serving.live_models import LiveModels
from resources.serving.log import ServedBatch
from resources.serving.parts import Copied, Log
from resources.serving.version_counts import VersionCounts
from resources.serving.versions.candidate import Copies
from resources.serving.versions.copies import some_of
from resources.serving.versions.faults import SINGLY, FaultError
from resources.serving.versions.versions import UnknownVersionError, Versions

LOG = logging.getLogger(__name__)
LOOKS_S = 0.01
"""Between two looks at what waits: an answer has gone before its copy is looked at."""

RESTS_S = 0.25
"""The same while there is nothing to copy."""

KEPT_S = 1.0
"""So long a copy waits."""

MOST_WAITING = 1_000
"""Rows."""

AT_ONCE = 32
AT_ONCE_S = 0.005
"""Rows of one question to a version, and what they may take its process: who waits for an answer of it waits so much longer."""

WITHIN_S = 5.0
Waiting = tuple[float, Copied]
"""Since when, by a clock that never goes back, and what."""

WAITING = frozenset({"busy", "loading"})
"""Faults that pass while copies wait."""

NEWS = 0.2
"""How much the newest measurement of a row counts."""


@dataclass
class Allowance:
    """Processor seconds of a version's process: they grow by a share of the time, to no more than a second's."""

    left_s: float = 0.0
    at: float = field(default_factory=time.monotonic)

    def has(self, share: float, now: float) -> bool:
        """Whether something is left, as of now."""
        self.left_s = min(share, self.left_s + (now - self.at) * share)
        self.at = now
        return self.left_s > 0


class Shadow:
    """Takes copies from those who answer, and has them scored from the event loop."""

    def __init__(
        self,
        models: LiveModels,
        versions: Versions,
        log: Log | None,
        counts: VersionCounts,
        is_busy: Callable[[], bool],
    ) -> None:
        """`log` is the serving log itself; `is_busy` says whether somebody waits for an answer, or was turned away."""
        self._models, self._versions, self._log = models, versions, log
        self._counts, self._is_busy = counts, is_busy
        self._waiting: deque[Waiting] = deque()
        self._rows = 0
        self._allowances: dict[tuple[str, str], Allowance] = {}
        self._row_s: dict[tuple[str, str], float] = {}

    def take(self, copied: Copied) -> None:
        """Have a copy scored, where the split says so; from any thread, and at once."""
        split = self._split_of(copied.record.name)
        if split is None or not split.shadow or split.version == copied.record.version:
            return
        if split.shadow < 1:
            drawn = [row for row, answer in enumerate(copied.answers) if split.shadows(answer["request_id"])]
            if not drawn:
                return
            copied = some_of(copied, drawn)
        rows = len(copied.requests)
        if self._rows + rows > MOST_WAITING:
            self._counts.dropped(split.name, split.version, "busy", rows)
            return
        self._rows += rows
        self._waiting.append((time.monotonic(), copied))

    async def run(self) -> None:
        """Score what waits, and have the versions of all splits at hand, until it is cancelled."""
        kept_at = 0.0
        while True:
            copies = any(split.shadow for split in self._models.splits.values())
            await asyncio.sleep(LOOKS_S if copies else RESTS_S)
            try:
                if time.monotonic() - kept_at > RESTS_S:
                    await self._keep()
                    kept_at = time.monotonic()
                while self._waiting and await self._step():
                    await asyncio.sleep(0)
            except Exception:
                LOG.exception("copies cannot be scored")

    async def _keep(self) -> None:
        """Have the processes of versions run that a split names, before somebody asks them."""
        for name, split in list(self._models.splits.items()):
            model = self._models.served.get(name)
            if model is not None and model.record.version != split.version:
                with contextlib.suppress(FaultError, UnknownVersionError):
                    await self._versions.is_loaded(name, split.version)

    async def _step(self) -> bool:
        """Score the oldest copies, or drop them; False where they have to wait."""
        since, oldest = self._waiting[0]
        now, split = time.monotonic(), self._split_of(oldest.record.name)
        if split is None or not split.shadow:
            self._taken(1)
            return True
        which = split.name, split.version
        if now - since < LOOKS_S:
            return False
        why_not = self._why_not(which, split, now)
        if why_not is None:
            why_not = await self._scored(split, self._taken(self._group(oldest, which)))
        if why_not and now - since > KEPT_S:
            [(_, dropped)] = self._taken(1)
            self._counts.dropped(*which, why_not, len(dropped.requests))
            return True
        return not why_not

    def _why_not(self, which: tuple[str, str], split: Split, now: float) -> str | None:
        if self._is_busy():
            return "busy"
        allowance = self._allowances.setdefault(which, Allowance(split.shadow_cpu, now))
        return None if allowance.has(split.shadow_cpu, now) else "cpu"

    def _group(self, oldest: Copied, which: tuple[str, str]) -> int:
        """How many of those that wait are scored at once: the same was read for them, and together they take a short time."""
        row_s = self._row_s.get(which, AT_ONCE_S)
        most = max(1, min(AT_ONCE, int(AT_ONCE_S / max(row_s, 1e-9))))
        count, rows = 0, 0
        for _, one in self._waiting:
            rows += len(one.requests)
            if one.record is not oldest.record or (count and rows > most):
                break
            count += 1
        return count

    def _taken(self, count: int) -> list[Waiting]:
        taken = [self._waiting.popleft() for _ in range(count)]
        self._rows -= _rows(taken)
        return taken

    async def _scored(self, split: Split, some: Sequence[Waiting]) -> str | None:
        """Score some and log it; why they have to wait, where they do, or None."""
        which, rows = (split.name, split.version), _rows(some)
        try:
            copies, service = await self._versions.copies(*which, [one for _, one in some], WITHIN_S)
        except UnknownVersionError as unknown:
            copies, service = Copies(FaultError("unknown", str(unknown)), 0.0), None
        except FaultError as fault:
            if fault.kind in WAITING:
                self._put_back(some)
                return fault.kind
            copies, service = Copies(fault, 0.0), None
        self._spend(which, rows, copies.cpu_s)
        if not isinstance(copies.result, FaultError):
            self._counts.scored(*which, rows, copies.cpu_s)
            self._note(split, some, service, copies.result)
        elif len(some) > 1 and copies.result.kind in SINGLY:
            for one in some:
                await self._scored(split, [one])
        else:
            self._counts.unscored(*which, copies.result.kind, rows, copies.cpu_s)
        return None

    def _put_back(self, some: Sequence[Waiting]) -> None:
        self._waiting.extendleft(reversed(some))
        self._rows += _rows(some)

    def _spend(self, which: tuple[str, str], rows: int, cpu_s: float) -> None:
        self._allowances[which].left_s -= cpu_s
        row_s = cpu_s / rows
        self._row_s[which] = (1 - NEWS) * self._row_s.get(which, row_s) + NEWS * row_s

    def _note(self, split: Split, some: Sequence[Waiting], service: Any, scores: np.ndarray) -> None:
        if self._log is None:
            return
        done = 0
        for _, one in some:
            ids = [answer["request_id"] for answer in one.answers]
            facts = split.name, split.version, service, one.now, one.served_at, ids, one.vectors
            self._log.append(ServedBatch(*facts, scores[done : done + len(ids)], shadow=True))
            done += len(ids)

    def _split_of(self, name: str) -> Split | None:
        return self._models.splits.get(name)


@contextlib.asynccontextmanager
async def running(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Within, something runs beside; it is ended at the end."""
    task = asyncio.get_running_loop().create_task(work)
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def _rows(some: Sequence[Waiting]) -> int:
    return sum(len(one.requests) for _, one in some)
