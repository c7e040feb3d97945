"""Vectors that are columns of Python values, and become frames only if somebody asks."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import polars as pl

from resources.features.vectors import NULL_VALUE, PRESENT, STATUS_NAMES, UTC_TIME, OnlineVectors

NOT_FOUND = STATUS_NAMES.index("NOT_FOUND")


class Origin(ABC):
    """Where the features of some rows are from; `places` says of each which view it is of, and which of that view's features it is."""

    places: Mapping[str, tuple[int, int]]

    @abstractmethod
    def views(self) -> list[tuple[Sequence[int | None], Sequence[int]]]:
        """Of each view, a time and a status a row; these hold for all its features that are not null."""

    @abstractmethod
    def gap(self, row: int, number: int, place: int) -> int:
        """The status of a feature that is null in a row in which its view is present: nothing is stored, or a null is."""

    @cached_property
    def seen(self) -> list[tuple[Sequence[int | None], Sequence[int]]]:
        """`views`, worked out once."""
        return self.views()

    def times(self, name: str) -> list[int | None]:
        """A time a row of a feature."""
        return list(self.seen[self.places[name][0]][0])

    def codes(self, name: str, values: Sequence[Any]) -> list[int]:
        """A status a row of a feature with these values."""
        number, place = self.places[name]
        return [
            status if status != PRESENT or value is not None else self.gap(row, number, place)
            for row, (status, value) in enumerate(zip(self.seen[number][1], values, strict=True))
        ]


class FewRows(Origin):
    """Of rows that were read one by one."""

    def __init__(self, rows: Sequence[Sequence[Any]], places: Mapping[str, tuple[int, int]]) -> None:
        self._rows, self.places = rows, places

    def views(self) -> list[tuple[Sequence[int | None], Sequence[int]]]:
        return [
            ([stored.time for stored, _, _ in view], [status for _, status, _ in view])
            for view in zip(*self._rows, strict=True)
        ]

    def gap(self, row: int, number: int, place: int) -> int:
        return NOT_FOUND if place in self._rows[row][number][0].gaps else NULL_VALUE


class OfColumns(Origin):
    """Of an answer that was read by columns."""

    def __init__(self, answer: Any, places: Mapping[str, tuple[int, int]]) -> None:
        self._answer, self.places = answer, places

    def views(self) -> list[tuple[Sequence[int | None], Sequence[int]]]:
        sights = [seen.sight for seen in self._answer.seen]
        return [(one.spread(one.times, None), one.spread(one.statuses, NOT_FOUND)) for one in sights]

    def gap(self, row: int, number: int, place: int) -> int:
        seen = self._answer.seen[number]
        if seen.values is not None:
            return NULL_VALUE
        places = seen.sight.places
        return NOT_FOUND if seen.cells[place][row if places is None else places[row]] is None else NULL_VALUE


class ColumnVectors(OnlineVectors):
    """Columns of the rows and the features of a service, a list each; `types` are those that a frame of them has.

    `origin` knows times and statuses of what is stored; `inputs` names, for each on-demand feature, what it is computed from.
    """

    columns: dict[str, list[Any]]
    types: Mapping[str, Any]
    _features: Sequence[str]
    origin: Origin
    inputs: Mapping[str, Sequence[str]]

    def __init__(
        self,
        columns: dict[str, list[Any]],
        types: Mapping[str, Any],
        features: Sequence[str],
        origin: Origin,
        inputs: Mapping[str, Sequence[str]],
    ) -> None:
        self.__dict__.update(columns=columns, types=types, _features=features, origin=origin, inputs=inputs)

    @cached_property
    def places(self) -> Mapping[str, tuple[int, int]]:
        """Which view each stored feature is of, and which of its features it is."""
        return self.origin.places

    def values(self, name: str) -> list[Any]:
        """A column."""
        return self.columns[name]

    def series(self, name: str) -> pl.Series:
        """A column as a frame of the vectors has it."""
        return pl.Series(name, self.values(name), self.types[name])

    @cached_property
    def frame(self) -> pl.DataFrame:  # type: ignore[override]
        return pl.DataFrame([self.series(name) for name in self.types])

    @cached_property
    def event_times(self) -> pl.DataFrame:  # type: ignore[override]
        return pl.DataFrame([pl.Series(name, self.times(name), UTC_TIME) for name in self._features])

    @cached_property
    def statuses(self) -> pl.DataFrame:  # type: ignore[override]
        names = {name: [STATUS_NAMES[code] for code in self.status_codes(name)] for name in self._features}
        return pl.DataFrame(names, schema=dict.fromkeys(names, pl.String))

    @cached_property
    def _newest(self) -> dict[tuple[str, ...], list[int | None]]:
        return {}

    def times(self, name: str) -> list[int | None]:
        if name not in self.inputs:
            return self.origin.times(name)
        behind = tuple(self.inputs[name])
        if behind not in self._newest:
            empty: list[int | None] = [None] * len(self.values(name))
            rows = zip(*map(self.origin.times, behind), empty, strict=True)
            self._newest[behind] = [max((t for t in row if t is not None), default=None) for row in rows]
        return self._newest[behind]

    def status_codes(self, name: str) -> list[int]:
        if name in self.inputs:
            return [NULL_VALUE if value is None else PRESENT for value in self.values(name)]
        return self.origin.codes(name, self.values(name))


class RowVectors(ColumnVectors):
    """The same of one row: `row` has a value a column, and lists of them are made only if somebody asks."""

    row: Mapping[str, Any]
    views: Sequence[Any]

    def __init__(
        self,
        row: Mapping[str, Any],
        types: Mapping[str, Any],
        features: Sequence[str],
        views: Sequence[Any],
        places: Mapping[str, tuple[int, int]],
        inputs: Mapping[str, Sequence[str]],
    ) -> None:
        """`views` is what was read of each view."""
        self.__dict__.update(
            row=row, types=types, _features=features, views=views, places=places, inputs=inputs
        )

    def values(self, name: str) -> list[Any]:
        return [self.row[name]]

    @cached_property
    def columns(self) -> dict[str, list[Any]]:  # type: ignore[override]
        return {name: [value] for name, value in self.row.items()}

    @cached_property
    def origin(self) -> Origin:  # type: ignore[override]
        return FewRows((self.views,), self.places)
