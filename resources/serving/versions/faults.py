"""Why a version gave no answer: a kind that is counted, and a sentence."""

import logging
import time
from collections import Counter

LOG = logging.getLogger(__name__)
AGAIN_S = 10.0
"""So long after a line about one kind of fault of a version the next one may follow."""

LATE, PASSING = "late", frozenset({"loading", "busy", "gone"})
"""Faults after which the same request may be answered a little later."""


SINGLY = frozenset({"raised", "not_finite", "shape"})
"""Faults of one row that others have nothing to do with."""


class FaultError(Exception):
    """No answer: `kind` is loading, unloadable, busy, gone, late, raised, not_finite, shape, memory, unknown or features."""

    def __init__(self, kind: str, why: str) -> None:
        super().__init__(why)
        self.kind = kind


class UnexplainedError(Exception):
    """A model that cannot say what its features add to a score; its name."""


class Faults:
    """Faults since the start, by model, version and kind; of each the log has the first, and then one line in ten seconds."""

    def __init__(self) -> None:
        self.counts: Counter[tuple[str, str, str]] = Counter()
        self._warnings: dict[tuple[str, str, str], tuple[float, int]] = {}

    def add(self, model: str, version: str, fault: FaultError) -> None:
        """One more; from the event loop alone."""
        which = model, version, fault.kind
        self.counts[which] += 1
        at, count = self._warnings.get(which, (0.0, 0))
        if not count or time.monotonic() - at > AGAIN_S:
            self._warnings[which] = time.monotonic(), self.counts[which]
            more = self.counts[which] - count
            LOG.warning("version %s of %s, %s (%d times): %s", version, model, fault.kind, more, fault)
