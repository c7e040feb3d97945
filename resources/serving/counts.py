"""What an endpoint answered, counted in memory: requests by model and route, rows, and features that were missing.

Counting is on the way of every answer, so that it does no more than add up; `shared_counts` writes the sums down once a second.
"""

import time
from bisect import bisect_left
from collections import Counter, defaultdict, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from threading import Lock
from typing import TYPE_CHECKING, Any

from resources.features.column_vectors import ColumnVectors
from resources.features.many_vectors import AT_ONCE, joined, nulls_of
from resources.serving.version_counts import VersionCounts

if TYPE_CHECKING:
    from resources.features.vectors import OnlineVectors
    from resources.serving.log import ServedBatch
    from resources.serving.parts import Log

BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Upper bounds in seconds of the buckets of answers' times."""

REMEMBERED = 256
"""So many answers' times are kept of each model and route, for whoever looks at the page."""

SECONDS = 60
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
Outcome = tuple[str, str]
"""The status of an answer, and what kind of error it is; no kind where it is none."""


@dataclass(eq=False)
class Answers:
    """Requests to one model by one route: how they ended, and how long those took that were answered."""

    seconds: float = 0.0
    buckets: list[int] = field(default_factory=lambda: [0] * (len(BUCKETS) + 1))
    outcomes: Counter[Outcome] = field(default_factory=Counter)
    latest: deque[float] = field(default_factory=lambda: deque(maxlen=REMEMBERED))
    changed: bool = True
    _minute: list[int] = field(default_factory=lambda: [0] * SECONDS)
    _second: int = 0

    def add(self, outcome: Outcome, seconds: float, now: float) -> None:
        """One more; `now` is any clock of seconds that never goes back."""
        self.changed = True
        self.outcomes[outcome] += 1
        if not outcome[1]:
            self.seconds += seconds
            self.buckets[bisect_left(BUCKETS, seconds)] += 1
            self.latest.append(seconds)
        second = int(now)
        if second != self._second:
            self._turn(second)
        self._minute[second % SECONDS] += 1

    def minute(self, now: float) -> list[int]:
        """Requests in each of the last sixty seconds, the newest last."""
        self._turn(int(now))
        first = (self._second + 1) % SECONDS
        return self._minute[first:] + self._minute[:first]

    def _turn(self, second: int) -> None:
        """Forget the seconds that are more than a minute old."""
        for past in range(max(self._second + 1, second - SECONDS + 1), second + 1):
            self._minute[past % SECONDS] = 0
        self._second = max(second, self._second)


@dataclass(frozen=True)
class Traffic:
    """What one model had to do in this process: requests and errors since the start, the last minute by second, times in seconds."""

    requests: int
    errors: int
    rows: int
    minute: Sequence[int]
    median: float | None
    p99: float | None


class Counts:
    """The sums of one process."""

    def __init__(self) -> None:
        self.answers: dict[tuple[str, str], Answers] = {}
        self.rows: Counter[tuple[str, str]] = Counter()
        self._missing: Counter[tuple[str, str, str]] = Counter()
        self._uncounted: list[ServedBatch] = []
        self.faults: Counter[tuple[str, str, str]] = Counter()
        self.versions = VersionCounts()
        self.in_progress = 0
        self._features: dict[tuple[str, str], list[tuple[str, tuple[str, str, str]]]] = {}
        self._newest: dict[str, ServedBatch] = {}
        self._lock = Lock()

    def answered(self, model: str, route: str, outcome: Outcome, seconds: float) -> None:
        """Count a request; from the event loop alone."""
        answers = self.answers.get((model, route))
        if answers is None:
            answers = self.answers[model, route] = Answers()
        answers.add(outcome, seconds, time.monotonic())

    def served(self, batch: "ServedBatch") -> None:
        """Count the rows of a batch and the features that are null in them; from any thread."""
        with self._lock:
            self.rows[batch.model, batch.version] += batch.rows
            self._newest[batch.model] = batch
            self._uncounted.append(batch)
            if len(self._uncounted) > AT_ONCE:
                self._count()

    @property
    def missing(self) -> Counter[tuple[str, str, str]]:
        """Features that were null, by model, view and feature."""
        with self._lock:
            self._count()
            return Counter(self._missing)

    def _count(self) -> None:
        """Count what is null in the batches that came since the last time: of many rows at once, which costs less."""
        taken, self._uncounted = self._uncounted, []
        groups: dict[tuple[str, str, bool], list[ServedBatch]] = defaultdict(list)
        for batch in taken:
            plain = isinstance(batch.vectors, ColumnVectors)
            groups[batch.model, batch.service.definition, plain].append(batch)
        for (_, _, plain), some in groups.items():
            labels = self._labels(some[0])
            vectors: list[Any] = [batch.vectors for batch in some]
            names = [name for name, _ in labels]
            nulls = _nulls(vectors, names) if plain else [_nulls_of_frames(vectors, name) for name in names]
            for (_, label), count in zip(labels, nulls, strict=True):
                if count:
                    self._missing[label] += count

    def _labels(self, batch: "ServedBatch") -> list[tuple[str, tuple[str, str, str]]]:
        known = batch.model, batch.service.definition
        if known not in self._features:
            pairs = batch.service.features.items()
            self._features[known] = [(name, (batch.model, view, name)) for name, view in pairs]
        return self._features[known]

    def ages(self) -> dict[tuple[str, str], float]:
        """By model and stored view, how old its newest values were in the newest batch since the last time this was asked, in seconds."""
        with self._lock:
            taken, self._newest = self._newest, {}
        return {
            (model, view): age
            for model, batch in taken.items()
            for view, age in _ages(batch)
            if age is not None
        }

    def traffic(self, model: str) -> Traffic:
        """What a model had to do, by all routes; from any thread, as it works on copies."""
        now = time.monotonic()
        routes = [answers for (name, _), answers in list(self.answers.items()) if name == model]
        outcomes: Counter[Outcome] = sum((Counter(dict(one.outcomes)) for one in routes), Counter())
        times = sorted(seconds for one in routes for seconds in list(one.latest))
        return Traffic(
            requests=outcomes.total(),
            errors=sum(count for (_, kind), count in outcomes.items() if kind),
            rows=sum(rows for (name, _), rows in list(self.rows.items()) if name == model),
            minute=[
                sum(second)
                for second in zip([0] * SECONDS, *(one.minute(now) for one in routes), strict=True)
            ],
            median=times[len(times) // 2] if times else None,
            p99=times[len(times) * 99 // 100] if times else None,
        )


class Counted:
    """A serving log, or none, whose batches are counted too."""

    def __init__(self, counts: Counts, log: "Log | None") -> None:
        self._counts, self._log = counts, log

    def append(self, answered: "ServedBatch") -> None:
        """Count one batch and hand it over."""
        self._counts.served(answered)
        if self._log:
            self._log.append(answered)


def _nulls(vectors: Sequence[ColumnVectors], names: Sequence[str]) -> list[int]:
    """Nulls in each of some columns of some answers; none where they do not have it."""
    try:
        return [len(nulls_of(values)) for values in joined(vectors, names).values()]
    except KeyError:
        return [sum(len(nulls_of(one.columns.get(name, []))) for one in vectors) for name in names]


def _nulls_of_frames(vectors: "Sequence[OnlineVectors]", name: str) -> int:
    return sum(one.frame[name].null_count() for one in vectors if name in one.frame.columns)


def _ages(batch: "ServedBatch") -> list[tuple[str, float | None]]:
    vectors = batch.vectors
    there = vectors.columns if isinstance(vectors, ColumnVectors) else vectors.frame.columns
    stored = [
        view for view in batch.service.views if view.keys and view.features and view.features[0] in there
    ]
    return [(view.name, _age(vectors.times(view.features[0]), batch.requested_at)) for view in stored]


def _age(times: Sequence[int | None], as_of: datetime) -> float | None:
    newest = max((moment for moment in times if moment is not None), default=None)
    if newest is None:
        return None
    return (as_of - (EPOCH + timedelta(microseconds=newest))).total_seconds()
