"""One entity row out of SQLite: a statement for all views, and each packed cell taken apart by one call."""

import sqlite3
from collections.abc import Sequence
from operator import itemgetter
from typing import Any

from ..codec.decoding import decoder
from ..few_rows import Stored, of_cells
from ..plan import Plan, ViewRead
from .packing import NAME, NAMES
from .reading import Query, _of_rows


class OneView:
    """A view's features in its cell, by their places."""

    def __init__(self, read: ViewRead, query: Query) -> None:
        form, self.read, self.query = query.reader.form, read, query
        self._fields, self._time = form.one, form.starts["event"]
        self._mark = form.digest.to_bytes(4, "little")
        self._complete = query.reader.complete
        first = form.starts["here"]
        self._here = slice(first, first + len(form.numbers))
        self._numbers = [form.place(name) if name in form.numbers else (0, 0) for name in read.features]
        places = [value for _, value in self._numbers]
        self._pick = itemgetter(*places) if len(places) > 1 else lambda row: [row[place] for place in places]
        self._lengths = form.starts["lengths"]
        self._others = {slot: form.others.index(name) for slot, name in self._named(form.others)}
        self._decoders = {slot: decoder(form.kinds[name]) for slot, name in self._named(form.others)}
        self._blank = (None,) * len(read.features)

    def _named(self, names: Sequence[str]) -> list[tuple[int, str]]:
        return [(slot, name) for slot, name in enumerate(self.read.features) if name in names]

    def stored(self, connection: sqlite3.Connection, key: bytes | None, cell: bytes | None) -> Stored:
        """What the cell says, or the rows that stock Feast wrote where there is no cell of the form asked for.

        `cell` is None where nothing is stored of the key.
        """
        if cell is None:
            return Stored(None, self._blank)
        if cell[NAMES] == self._mark and self._complete:
            numbers = self._fields.unpack_from(cell)
            if not self._others and False not in numbers[self._here]:
                return Stored(numbers[self._time], self._pick(numbers))
            return self._taken_apart(cell, numbers)
        row = _of_rows(connection, self.query, [key]).get(key) if key is not None else None
        return Stored(None, self._blank) if row is None else of_cells(self.read, row[0], row[1:])

    def _taken_apart(self, cell: bytes, numbers: tuple[Any, ...]) -> Stored:
        if self._others:
            return Stored(numbers[self._time], self._with_others(cell, numbers))
        return Stored(
            numbers[self._time], [numbers[value] if numbers[here] else None for here, value in self._numbers]
        )

    def _with_others(self, cell: bytes, numbers: tuple[Any, ...]) -> list[Any]:
        lengths, size = numbers[self._lengths :], self._fields.size
        values = []
        for slot, (here, value) in enumerate(self._numbers):
            if slot in self._others:
                place = self._others[slot]
                start = size + sum(lengths[:place])
                values.append(self._decoders[slot]([[cell[start : start + lengths[place]]]])[0][0])
            else:
                values.append(numbers[value] if numbers[here] else None)
        return values


class OneRow:
    """Reads the views of a plan for one row.

    Of each key the first row by feature name is asked for, which is the packed one where there is one: so a key of which
    nothing is stored is known without a second question.
    """

    def __init__(self, plan: Plan, queries: Sequence[Sequence[Query]]) -> None:
        pairs = list(zip(plan.groups, queries, strict=True))
        self._views = [
            (number, OneView(read, query))
            for number, (group, some) in enumerate(pairs)
            for read, query in zip(group.views, some, strict=True)
        ]
        cells = [
            f"(SELECT CASE feature_name WHEN '{NAME}' THEN value ELSE x'' END FROM {view.query.table} "
            f"WHERE entity_key = ?{number + 1} ORDER BY feature_name LIMIT 1)"
            for number, view in self._views
        ]
        self._statement = f"SELECT {', '.join(cells)}"

    def read(self, connection: sqlite3.Connection, row_keys: Sequence[bytes | None]) -> list[Stored]:
        """What is stored of each view."""
        if not self._views:
            return []
        cells = connection.execute(self._statement, row_keys).fetchone()
        pairs = zip(self._views, cells, strict=True)
        return [view.stored(connection, row_keys[number], cell) for (number, view), cell in pairs]
