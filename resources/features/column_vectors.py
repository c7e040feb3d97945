"""Vectors that are columns of Python values, and become frames only if somebody asks."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from itertools import chain
from typing import Any

import polars as pl

from resources.features.vectors import NULL_VALUE, PRESENT, STATUS_NAMES, UTC_TIME, OnlineVectors


class FewRows:
    """Times and statuses of rows that were read one by one: a view's, of all its features."""

    def __init__(
        self, rows: Sequence[Sequence[Any]], places: Mapping[str, tuple[int, int]], columns: Mapping[str, Any]
    ) -> None:
        """`places` says of each feature which view it is of, and which of that view's features it is."""
        self._rows, self._places, self._columns = rows, places, columns

    def times(self, name: str) -> list[int | None]:
        number, _ = self._places[name]
        return [row[number][0].time for row in self._rows]

    def codes(self, name: str) -> list[int]:
        number, place = self._places[name]
        return [
            status if status != PRESENT or value is not None else _gap(stored, place)
            for (stored, status, _), value in zip(
                (row[number] for row in self._rows), self._columns[name], strict=True
            )
        ]


class FewOrigins:
    """Times and statuses of many answers that were read row by row: a view's once for all its features.

    What a view's features share is the same list, so that whoever makes columns of them makes one.
    """

    def __init__(self, answers: "Sequence[ColumnVectors]") -> None:
        self._answers, first = answers, answers[0]
        self._places, self._inputs = first._places, first._inputs  # type: ignore[union-attr]
        self._rows = [row for one in answers for row in one._rows]  # type: ignore[union-attr]
        self._times: dict[int, list[int | None]] = {}
        self._statuses: dict[int, list[int]] = {}
        self._newest: dict[tuple[int, ...], list[int | None]] = {}

    @staticmethod
    def fits(answers: "Sequence[OnlineVectors]") -> bool:
        """Whether all answers were read row by row, in one way."""
        places = getattr(answers[0], "_places", None)
        return places is not None and all(getattr(one, "_places", None) is places for one in answers)

    def of(self, name: str) -> tuple[list[int | None], list[int]]:
        """Event times in microseconds since 1970, and statuses as Feast's numbers, of a feature."""
        values = joined(self._answers, name)
        if name in self._inputs:
            return self._behind(name), [NULL_VALUE if value is None else PRESENT for value in values]
        number, place = self._places[name]
        times, statuses = self._of_view(number)
        if None in values:
            given = zip(self._rows, statuses, values, strict=True)
            statuses = [
                code if code != PRESENT or value is not None else _gap(row[number][0], place)
                for row, code, value in given
            ]
        return times, statuses

    def _of_view(self, number: int) -> tuple[list[int | None], list[int]]:
        if number not in self._times:
            self._times[number] = [row[number][0].time for row in self._rows]
            self._statuses[number] = [row[number][1] for row in self._rows]
        return self._times[number], self._statuses[number]

    def _behind(self, name: str) -> list[int | None]:
        """The newest time of what an on-demand feature is computed from."""
        views = tuple(sorted({self._places[one][0] for one in self._inputs[name]}))
        if views not in self._newest:
            times = [self._of_view(number)[0] for number in views]
            empty: list[int | None] = [None] * len(self._rows)
            newest = [
                max((t for t in row if t is not None), default=None)
                for row in zip(*times, empty, strict=True)
            ]
            self._newest[views] = newest
        return self._newest[views]


def joined(answers: "Sequence[ColumnVectors]", name: str) -> list[Any]:
    """The values of a column in all answers, in their order."""
    if all(type(one) is RowVectors for one in answers):
        return [one.row[name] for one in answers]  # type: ignore[attr-defined]
    return list(chain.from_iterable([one.values(name) for one in answers]))


def _gap(stored: Any, place: int) -> int:
    """Why a value is null that its view has a valid key for: nothing is stored, or a null is."""
    return STATUS_NAMES.index("NOT_FOUND") if place in stored.gaps else NULL_VALUE


class OfColumns:
    """Times and statuses of an answer that was read by columns."""

    def __init__(self, answer: Any, columns: Mapping[str, Any]) -> None:
        self._answer, self._values = answer, columns

    def _column(self, name: str) -> Any:
        return self._answer.columns.get(name) or self._answer.hidden[name]

    def times(self, name: str) -> list[int | None]:
        return self._column(name).times()

    def codes(self, name: str) -> list[int]:
        column = self._column(name)
        pairs = zip(column.statuses, column.values, strict=True)
        return [NULL_VALUE if code == PRESENT and value is None else code for code, value in pairs]


class ColumnVectors(OnlineVectors):
    """Columns of the rows and the features of a service, a list each; `types` are those that a frame of them has.

    `origin` knows times and statuses of what is stored; `inputs` names, for each on-demand feature, what it is computed from.
    """

    columns: dict[str, list[Any]]
    types: Mapping[str, Any]
    _features: Sequence[str]
    _origin: FewRows | OfColumns
    _inputs: Mapping[str, Sequence[str]]

    def __init__(
        self,
        columns: dict[str, list[Any]],
        types: Mapping[str, Any],
        features: Sequence[str],
        origin: FewRows | OfColumns,
        inputs: Mapping[str, Sequence[str]],
    ) -> None:
        self.__dict__.update(columns=columns, types=types, _features=features, _origin=origin, _inputs=inputs)
        if isinstance(origin, FewRows):
            self.__dict__.update(_rows=origin._rows, _places=origin._places)

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
        if name not in self._inputs:
            return self._origin.times(name)
        behind = tuple(self._inputs[name])
        if behind not in self._newest:
            empty: list[int | None] = [None] * len(self.values(name))
            rows = zip(*map(self._origin.times, behind), empty, strict=True)
            self._newest[behind] = [max((t for t in row if t is not None), default=None) for row in rows]
        return self._newest[behind]

    def status_codes(self, name: str) -> list[int]:
        if name in self._inputs:
            return [NULL_VALUE if value is None else PRESENT for value in self.values(name)]
        return self._origin.codes(name)


class RowVectors(ColumnVectors):
    """The same of one row: `row` has a value a column, and lists of them are made only if somebody asks."""

    row: Mapping[str, Any]
    _rows: Sequence[Sequence[Any]]
    _places: Mapping[str, tuple[int, int]]

    def __init__(
        self,
        row: Mapping[str, Any],
        types: Mapping[str, Any],
        features: Sequence[str],
        views: Sequence[Any],
        places: Mapping[str, tuple[int, int]],
        inputs: Mapping[str, Sequence[str]],
    ) -> None:
        """`views` is what was read of each view, and `places` says which view a feature is of, and which of its features it is."""
        self.__dict__.update(
            row=row, types=types, _features=features, _rows=(views,), _places=places, _inputs=inputs
        )

    def values(self, name: str) -> list[Any]:
        return [self.row[name]]

    @cached_property
    def columns(self) -> dict[str, list[Any]]:  # type: ignore[override]
        return {name: [value] for name, value in self.row.items()}

    @cached_property
    def _origin(self) -> FewRows:  # type: ignore[override]
        return FewRows(self._rows, self._places, self.columns)
