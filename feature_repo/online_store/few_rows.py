"""Features of a few rows, a row at a time: for one row, what reads columns at once costs more than it saves.

What is answered is what `reading` answers: the same keys, the same times and the same lives.
"""

import struct
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

from .answer import NOT_FOUND, OUTSIDE_MAX_AGE, PRESENT
from .codec import keys
from .codec.decoding import column
from .codec.kinds import ValueType
from .plan import DUMMY, Plan, ViewRead
from .request import PLAIN, typed

MOST_KNOWN = 10_000
"""So many values of a column are remembered with what they are in a key."""


class Stored(NamedTuple):
    """Of one view and one key: event time in microseconds (None: not stored), values, and places at which nothing is stored."""

    time: int | None
    values: Sequence[Any]
    gaps: Sequence[int] = ()


class RowKeys:
    """Entity keys of one row, a key for each group of views; a column that several groups have is serialised once."""

    def __init__(self, plan: Plan) -> None:
        self._columns = [_Column(name, plan.kinds.get(name, ValueType.UNKNOWN)) for name in plan.needed]
        self._groups = [
            (group.start, None if group.columns == (DUMMY,) else group.columns) for group in plan.groups
        ]
        self._dummy = (keys.part(ValueType.STRING)(""),)

    def of(self, row: Mapping[str, Any]) -> list[bytes | None]:
        """The keys; None where a join key is null. Raises ValueError for a value that is no key of its type."""
        parts = {column.name: column.part(row[column.name]) for column in self._columns}
        keys_of_row: list[bytes | None] = []
        for start, columns in self._groups:
            some = self._dummy if columns is None else [parts[name] for name in columns]
            if len(some) == 1:
                keys_of_row.append(None if some[0] is None else start + some[0])
            else:
                keys_of_row.append(None if None in some else start + b"".join(some))  # type: ignore[arg-type]
        return keys_of_row


class _Column:
    """A join key: what serialises values of its type."""

    def __init__(self, name: str, kind: ValueType) -> None:
        self.name, self._kind, self._plain = name, kind, PLAIN.get(kind)
        self._part = keys.part(kind) if self._plain else None
        self._known: dict[Any, bytes] = {}

    def part(self, value: Any) -> bytes | None:
        """The value's part of a key; None for a missing one."""
        if type(value) is not self._plain:
            return self._encoded_part(value)
        part_of_key = self._known.get(value)
        if part_of_key is None:
            part_of_key = self._encoded_part(value)
            if part_of_key is not None and len(self._known) < MOST_KNOWN:
                self._known[value] = part_of_key
        return part_of_key

    def _encoded_part(self, value: Any) -> bytes | None:
        kind, make = self._kind, self._part
        if make is None or type(value) is not self._plain:
            given = typed(self.name, [value], kind)
            value = given.keyed[0]
            make = keys.part(keys.checked(self.name, given.kind))
        try:
            return None if value is None else make(value)
        except struct.error as error:
            raise ValueError(f"a value of {self.name} does not fit its type: {error}") from error


def judged(read: ViewRead, stored: Stored, moment: int) -> tuple[int, Sequence[Any]]:
    """The status of a view's key at a moment in microseconds, as `answer.sight` judges many, and its values: None where it has no valid ones."""
    time = stored.time
    if time is None or time > moment:
        return NOT_FOUND, (None,) * len(read.features)
    if read.lives and time < moment - read.lives:
        return OUTSIDE_MAX_AGE, (None,) * len(read.features)
    return PRESENT, stored.values


def codes(status: int, stored: Stored, values: Sequence[Any], null: int) -> list[int]:
    """A status a feature: `null` where a value is there and is null, NOT_FOUND where the view has none stored for its key."""
    if status != PRESENT:
        return [status] * len(values)
    statuses = [null if value is None else PRESENT for value in values]
    for place in stored.gaps:
        statuses[place] = NOT_FOUND
    return statuses


def of_cells(read: ViewRead, time: int | None, cells: Sequence[bytes | None]) -> Stored:
    """What a key's bytes say, feature by feature."""
    values = [column([cell], kind)[0] for cell, kind in zip(cells, read.kinds, strict=True)]
    return Stored(time, values, [place for place, cell in enumerate(cells) if cell is None])


def fetched(fetch: Any, plan: Plan, row_keys: Sequence[bytes | None]) -> list[Stored]:
    """One row by way of what reads columns."""
    questions = [
        (group, [] if key is None else [key]) for group, key in zip(plan.groups, row_keys, strict=True)
    ]
    rows = []
    for (group, there), views in zip(questions, fetch(questions), strict=True):
        of_view = partial(_only, bool(there))
        rows += [of_view(read, one) for read, one in zip(group.views, views, strict=True)]
    return rows


def _only(there: bool, read: ViewRead, one: Any) -> Stored:
    if not there:
        return Stored(None, (None,) * len(read.features))
    if one.values is not None:
        return Stored(one.times[0], [values[0] for values in one.values])
    return of_cells(read, one.times[0], [cells[0] for cells in one.cells])
