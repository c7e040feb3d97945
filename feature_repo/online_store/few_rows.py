"""Features of a few rows, a row at a time: for one row, what reads columns at once costs more than it saves.

What is answered is what `reading` answers: the same keys, the same times and the same lives.
"""

import struct
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

from feast.value_type import ValueType

from .codec import keys
from .codec.decoding import column
from .plan import DUMMY, KeyGroup, Plan, ViewRead
from .request import PLAIN, typed
from .response import NOT_FOUND, PRESENT, sight


class Stored(NamedTuple):
    """Of one view and one key: event time in microseconds (None: not stored), values, and places at which nothing is stored."""

    time: int | None
    values: Sequence[Any]
    gaps: Sequence[int] = ()


class RowKeys:
    """Entity keys of one row, a key for each group of views."""

    def __init__(self, plan: Plan) -> None:
        self._groups = [(group, self._kinds(plan, group)) for group in plan.groups]

    @staticmethod
    def _kinds(plan: Plan, group: KeyGroup) -> list[tuple[str, ValueType]]:
        if group.columns == (DUMMY,):
            return []
        return [(name, plan.kinds.get(name, ValueType.UNKNOWN)) for name in group.columns]

    def of(self, row: Mapping[str, Any]) -> list[bytes | None]:
        """The keys; None where a join key is null. Raises ValueError for a value that is no key of its type."""
        return [self._key(group, kinds, row) for group, kinds in self._groups]

    @staticmethod
    def _key(group: KeyGroup, kinds: Sequence[tuple[str, ValueType]], row: Mapping[str, Any]) -> bytes | None:
        if not kinds:
            return keys.of_values(group.start, [(ValueType.STRING, [""])])[0]
        columns = []
        for name, kind in kinds:
            value = row[name]
            if type(value) is not PLAIN.get(kind):
                given = typed(name, [value], kind)
                kind, value = given.kind, given.keyed[0]
            columns.append((keys.checked(name, kind), (value,)))
        try:
            return keys.of_values(group.start, columns)[0]
        except struct.error as error:
            raise ValueError(
                f"a value of {', '.join(group.columns)} does not fit its type: {error}"
            ) from error


def judged(read: ViewRead, stored: Stored, moment: int) -> tuple[int, Sequence[Any]]:
    """The status of a view's key at a moment in microseconds, and its values: all None where it has no valid ones."""
    seen = sight((stored.time,), None, read.lives, moment, moment)
    status = seen.statuses[0]
    return status, stored.values if status == PRESENT else (None,) * len(read.features)


def codes(status: int, stored: Stored, values: Sequence[Any], null: int) -> list[int]:
    """A status a feature: `null` where a value is there and is null, NOT_FOUND where the view has none stored for its key."""
    if status != PRESENT:
        return [status] * len(values)
    found = [null if value is None else PRESENT for value in values]
    for place in stored.gaps:
        found[place] = NOT_FOUND
    return found


def of_cells(read: ViewRead, time: int | None, cells: Sequence[bytes | None]) -> Stored:
    """What a key's bytes say, feature by feature."""
    values = [column([cell], kind)[0] for cell, kind in zip(cells, read.kinds, strict=True)]
    return Stored(time, values, [place for place, cell in enumerate(cells) if cell is None])


def fetched(fetch: Any, plan: Plan, row_keys: Sequence[bytes | None]) -> list[Stored]:
    """One row by way of what reads columns."""
    asked = [(group, [] if key is None else [key]) for group, key in zip(plan.groups, row_keys, strict=True)]
    found = []
    for (group, there), views in zip(asked, fetch(asked), strict=True):
        of_view = partial(_only, bool(there))
        found += [of_view(read, one) for read, one in zip(group.views, views, strict=True)]
    return found


def _only(there: bool, read: ViewRead, one: Any) -> Stored:
    if not there:
        return Stored(None, (None,) * len(read.features))
    if one.values is not None:
        return Stored(one.times[0], [values[0] for values in one.values])
    return of_cells(read, one.times[0], [cells[0] for cells in one.cells])
