"""An answer with online features that is made of columns: values, statuses and event times, without a message."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import compress
from typing import Any, NamedTuple, TypeAlias

from .codec.decoding import Cells
from .codec.kinds import ValueType
from .codec.moment import asked_moment
from .plan import Plan, StoredCells
from .request import Given

Column: TypeAlias = "Stored | Plain"
PRESENT, NOT_FOUND, OUTSIDE_MAX_AGE = 1, 3, 4
"""Feast's numbers of its FieldStatus."""


@dataclass(eq=False)
class Sight:
    """What is known of one view for the rows of a request: statuses and event times of its different keys.

    `places` says which key each row has (-1: none), None where each has its own; `times` are microseconds since 1970;
    `hidden` are the places of keys that have no valid values.
    """

    times: Sequence[int | None]
    statuses: Sequence[int]
    places: list[int] | None
    hidden: Sequence[int]

    @property
    def whole(self) -> bool:
        """Whether every row has valid values."""
        return not self.hidden and (self.places is None or -1 not in self.places)

    def spread(self, per_key: Sequence[Any], missing: Any) -> list[Any]:
        """One element a row, from one a key."""
        if self.places is None:
            return per_key if isinstance(per_key, list) else list(per_key)
        return [missing if place < 0 else per_key[place] for place in self.places]

    def shown(self, per_key: list[Any]) -> list[Any]:
        """What a list of one element a key shows in each row: None where a key has no valid values."""
        for place in self.hidden:
            per_key[place] = None
        return per_key if self.places is None else self.spread(per_key, None)


def sight(
    times: Sequence[int | None], places: list[int] | None, lives: int, as_of: int | None, now: int
) -> Sight:
    """Judge keys by their event times: valid at the moment asked for, outside of the view's life, or not known then."""
    moment = now if as_of is None else as_of
    oldest = moment - lives if lives else None
    if times and None not in times:
        fresh = oldest is None or min(times) >= oldest  # type: ignore[type-var]
        if fresh and (as_of is None or max(times) <= as_of):  # type: ignore[type-var]
            return Sight(times, [PRESENT] * len(times), places, ())

    def judge(time: int | None) -> int:
        if time is None or (as_of is not None and time > as_of):
            return NOT_FOUND
        return PRESENT if oldest is None or time >= oldest else OUTSIDE_MAX_AGE

    statuses = [judge(time) for time in times]
    hidden = [place for place, status in enumerate(statuses) if status != PRESENT]
    return Sight(times, statuses, places, hidden)


class Seen(NamedTuple):
    """One view's part of an answer: the bytes of each feature, how they are judged, and the values if the store has them."""

    sight: Sight
    cells: Sequence[Cells]
    values: Sequence[list[Any]] | None


@dataclass(eq=False)
class Stored:
    """A feature read from the store: its place in its view, judged by the view's sight, and a value a row."""

    seen: Seen
    place: int
    kind: ValueType
    values: list[Any]

    @property
    def sight(self) -> Sight:
        return self.seen.sight

    @property
    def cells(self) -> Cells:
        """Its bytes a key."""
        return self.seen.cells[self.place]

    @property
    def complete(self) -> bool:
        """Whether every key that the view has, has something stored."""
        return self.seen.values is not None or all(self.cells) or None not in self.cells

    @property
    def statuses(self) -> list[int]:
        """A status a row; of a feature that is not stored for a known key, NOT_FOUND."""
        if self.complete:
            return self.sight.spread(self.sight.statuses, NOT_FOUND)
        pairs = zip(self.cells, self.sight.statuses, strict=True)
        judged = [NOT_FOUND if cell is None and status == PRESENT else status for cell, status in pairs]
        return self.sight.spread(judged, NOT_FOUND)

    def times(self) -> list[int | None]:
        """Event time a row."""
        return self.sight.spread(self.sight.times, None)

    def protos(self) -> list[Any]:
        """The column as Feast's objects."""
        from feast.protos.feast.types.Value_pb2 import Value

        return [Value.FromString(cell or b"") for cell in self.sight.shown(list(self.cells))]


@dataclass(eq=False)
class Plain:
    """A column that is not stored: of the request, or computed on demand."""

    given: Given

    @property
    def kind(self) -> ValueType:
        return self.given.kind

    @property
    def values(self) -> list[Any]:
        return self.given.shown

    @property
    def statuses(self) -> list[int]:
        return [PRESENT] * len(self.given.shown)

    def times(self) -> list[int | None]:
        return [None] * len(self.given.shown)

    def protos(self) -> list[Any]:
        return self.given.protos()


def now_micros() -> int:
    """Microseconds since 1970 of the wall clock."""
    return time.time_ns() // 1000


def seen_of(
    plan: Plan, views_by_group: Sequence[Sequence[StoredCells]], places: Sequence[list[int] | None]
) -> list[Seen]:
    """What a store has found, judged at the moment asked for; view by view."""
    as_of, now = asked_moment(), now_micros()
    return [
        Seen(sight(one.times, where, read.lives, as_of, now), one.cells, one.values)
        for group, views, where in zip(plan.groups, views_by_group, places, strict=True)
        for read, one in zip(group.views, views, strict=True)
    ]


def _shown_names(plan: Plan, given: Mapping[str, Given]) -> frozenset[str]:
    """The columns of an answer to a request with these columns."""
    known = ("wanted", *given)
    if known not in plan.memo:
        plan.memo[known] = plan.answered_names | (plan.join_keys & given.keys())
    return plan.memo[known]


class Answer:
    """Columns of the request, of the plan's views, and computed ones."""

    def __init__(self, plan: Plan, given: dict[str, Given], seen: Sequence[Seen]) -> None:
        self.plan = plan
        self.given = given
        self.seen = seen
        self.computed: dict[str, Given] = {}
        self.shown_names = _shown_names(plan, given)
        self._stored: dict[str, list[Any]] | None = None

    @property
    def stored(self) -> dict[str, list[Any]]:
        """Values a row of the features that were read, those of one type decoded together where the store has bytes."""
        if self._stored is None:
            self._stored = self._read_values()
        return self._stored

    def _read_values(self) -> dict[str, list[Any]]:
        values: dict[str, list[Any]] = {}
        spread = []
        for seen, view in zip(self.seen, self.plan.reads, strict=True):
            if seen.values is not None:
                values.update(zip(view.outputs, seen.values, strict=True))
            if seen.sight.hidden or seen.sight.places is not None:
                spread.append((seen.sight, view.outputs))
        if len(values) < len(self.plan.names):
            values = self._decoded(values)
        for sight_of, names in spread:
            values.update((name, sight_of.shown(values[name])) for name in names)
        return values

    def _decoded(self, known: Mapping[str, list[Any]]) -> dict[str, list[Any]]:
        """Values a key of all features, in the order of the plan, from the bytes of those that are not known yet."""
        decoded = {}
        for _, decode, places, names in self.plan.alike:
            if known:
                unknown = [n not in known for n in names]
                places, names = list(compress(places, unknown)), list(compress(names, unknown))
            decoded.update(
                zip(names, decode([self.seen[view].cells[place] for view, place in places]), strict=True)
            )
        decoded.update(known)
        return {name: decoded[name] for name in self.plan.names}

    @property
    def values(self) -> dict[str, list[Any]]:
        """Values a row of all columns, those too that only on-demand features read."""
        values = {name: column.shown for name, column in self.given.items()}
        values.update(self.stored)
        for name, column in self.computed.items():
            values[name] = column.shown
        return values

    @cached_property
    def _all(self) -> dict[str, Column]:
        stored = {}
        for kind, _, places, names in self.plan.alike:
            for (view, place), name in zip(places, names, strict=True):
                stored[name] = Stored(self.seen[view], place, kind, self.stored[name])
        plain = {name: Plain(column) for name, column in (self.given | self.computed).items()}
        columns: dict[str, Column] = plain | stored | {name: plain[name] for name in self.computed}
        return {name: columns[name] for name in self.values}

    @cached_property
    def columns(self) -> dict[str, Column]:
        """The answer's columns by name."""
        return {name: column for name, column in self._all.items() if name in self.shown_names}

    @cached_property
    def hidden(self) -> dict[str, Column]:
        """What on-demand features were computed from, and was not asked for."""
        return {name: column for name, column in self._all.items() if name not in self.shown_names}
