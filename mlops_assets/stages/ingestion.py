"""Which partitions of a use case are to be ingested now, and which keep those behind them back: arithmetic alone.

A partition is over once its end, and the largest lateness of its tables, has passed by the clock. Partitions are asked
for in order, the oldest first, each once those before it were ingested: what features look back on must be there. One
that is not there keeps those behind it back until its limit (`alarm_after`), one whose run fails for its first
`TRIES_ALONE` tries; then they go on. When it arrives after all, what looks back on it is made again.
"""

import re
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum
from itertools import islice
from typing import Any, Self

from mlops_assets.ml.provenance.digest import digest
from mlops_assets.spec.calendar import Calendar, Partition
from mlops_assets.stages.tables import Table

MOST_LOOKED_AT = 20
"""New partitions that one tick looks at; those behind have their turn in the next."""

TRIES_ALONE = 3
DAY = timedelta(days=1)


@dataclass(frozen=True)
class Line:
    """Tables that one job ingests together, a partition of `calendar` at a time; `cadence` is empty for the use case's own."""

    cadence: str
    calendar: Calendar
    tables: Sequence[Table]

    @property
    def cut(self) -> list[Table]:
        """Those with partitions; the others are written whole."""
        return [table for table in self.tables if table.calendar]

    @property
    def awaited(self) -> list[Table]:
        """Those whose rows come from outside."""
        return [table for table in self.tables if table.arrival]

    @property
    def derived(self) -> list[Table]:
        """Those that are made of others."""
        return [table for table in self.tables if not table.arrival]

    @property
    def lateness(self) -> timedelta:
        """How long after the end of a partition its rows may still come: the largest of its tables."""
        return max((one.arrival.lateness for one in self.cut if one.arrival), default=timedelta())

    @property
    def alarm_after(self) -> timedelta:
        """How long those behind wait for one that is not there: the longest limit of its tables."""
        return max((one.arrival.alarm_after for one in self.awaited if one.arrival), default=timedelta())

    @property
    def reach(self) -> timedelta:
        """How long before a partition the rows may be that anything in it is made from, over tables made of tables."""
        reaches: dict[str, timedelta] = {}
        for table in self.tables:
            before = [
                (back or timedelta()) + reaches.get(dep, timedelta()) for dep, back in table.deps.items()
            ]
            reaches[table.key] = max(before, default=timedelta())
        return max(reaches.values(), default=timedelta())

    def over_at(self, name: str) -> datetime:
        """The moment from which on a partition is over."""
        return self.calendar.partition(name).end + self.lateness

    def looking_back(self, span: Partition, newest: str | None = None) -> list[str]:
        """Names of the partitions that a change of a span may change: its own, and those that look back on it, to the `newest`."""
        if not self.reach:
            return self.calendar.covering(span.start, span.end)
        until = self.calendar.days_before(span.end, -(self.reach / DAY)) + timedelta(hours=1)
        last = self.calendar.partition(newest).end if newest else until
        return self.calendar.covering(span.start, min(until, max(last, span.end)))


def lines_of(calendar: Calendar, tables: Sequence[Table]) -> list[Line]:
    """A use case's tables by calendar, those of longer partitions first; its own, with what is written whole, last."""
    others: dict[str, tuple[Calendar, list[Table]]] = {}
    for table in tables:
        if table.calendar and table.calendar != calendar:
            others.setdefault(table.calendar.cadence, (table.calendar, []))[1].append(table)
    own = [table for table in tables if table.calendar in (None, calendar)]
    longest = sorted(others.values(), key=lambda one: one[0].first.start - one[0].first.end)
    return [
        *(Line(_said(each.cadence), each, of_longer) for each, of_longer in longest),
        Line("", calendar, own),
    ]


def _said(cadence: str) -> str:
    """A cadence as part of a job's name."""
    return cadence if cadence.isalpha() else re.sub(r"\W+", "_", f"by {cadence} {digest(cadence)[:4]}")


@dataclass(frozen=True)
class Frontier:
    """How far a line was ingested: its newest partition, those before it that are not, and how many there are in all."""

    newest: str | None = None
    gaps: tuple[str, ...] = ()
    there: int = 0

    def moved(self, calendar: Calendar, ingested: Collection[str]) -> Self:
        """The frontier of what is ingested now; what was found before is built upon, if it still holds."""
        known = sum(name <= self.newest for name in ingested) if self.newest else 0
        before = self if known == self.there else type(self)()
        new = [name for name in ingested if before.newest is None or name > before.newest]
        own = [name for name in new if calendar.has(name)]
        if not own:
            gaps = tuple(name for name in before.gaps if name not in ingested)
            return type(self)(before.newest, gaps, known if before is self else 0)
        newest = max(own)
        behind = calendar.names(calendar.partition(newest).end, after=before.newest)
        gaps = tuple(name for name in (*before.gaps, *behind) if name not in ingested)
        return type(self)(newest, gaps, sum(name <= newest for name in ingested))

    def waiting(self, line: Line, now: datetime) -> list[str]:
        """Partitions that are over and not ingested, the oldest first: all gaps, and the first of those that are new.

        A clock that was set back makes fewer of them over, and none that was ingested new.
        """
        last = line.calendar.newest(now - line.lateness)
        if last is None:
            return []
        gaps = [name for name in self.gaps if name <= last.name]
        return [*gaps, *islice(_behind(line.calendar, self.newest, last.name), MOST_LOOKED_AT)]


def _behind(calendar: Calendar, newest: str | None, last: str) -> Iterable[str]:
    name = calendar.next(newest) if newest else calendar.first.name
    while name is not None and name <= last:
        yield name
        name = calendar.next(name)


class State(Enum):
    """How a partition stands: to be asked for, in progress, keeping those behind back, or to be passed by them."""

    DUE = "due"
    RUNNING = "running"
    HOLDS = "holds"
    PASSED = "passed"


@dataclass
class Turn:
    """What one look at the partitions of a line came to: those to ask for, and the first that keeps others back."""

    due: list[str] = field(default_factory=list)
    held: str | None = None


def in_order(names: Iterable[str], room: int, side_by_side: bool, state: Callable[[str], State]) -> Turn:
    """Whose turn it is: at most `room` of them, in order, and only `side_by_side` one before which another is under way."""
    turn = Turn()
    for name in names:
        its_state = state(name)
        if its_state is State.PASSED:
            continue
        if its_state is State.DUE and len(turn.due) < room:
            turn.due.append(name)
        elif its_state is not State.RUNNING:
            turn.held = name
            break
        if not side_by_side:
            turn.held = name
            break
    return turn


@dataclass(frozen=True)
class Awaited:
    """A table's rows of a partition that are not there: since when they could be, and what was found instead."""

    table: str
    partition: str
    since: datetime
    limit: datetime
    outcome: str
    reason: str
    seen: dict[str, Any] = field(default_factory=dict)

    def overdue(self, now: datetime) -> bool:
        """Whether its limit has passed."""
        return now >= self.limit

    def __str__(self) -> str:
        return (
            f"{self.table} {self.partition} is {self.outcome} since {self.since:%Y-%m-%d %H:%M} UTC (alarm at "
            f"{self.limit:%Y-%m-%d %H:%M} UTC): {self.reason}"
        )
