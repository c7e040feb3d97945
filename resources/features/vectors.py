"""Feature vectors as an endpoint serves them: each value with the moment its content became known, and why it is null."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any

import polars as pl

UTC_TIME = pl.Datetime("us", "UTC")
STATUS_NAMES = ("INVALID", "PRESENT", "NULL_VALUE", "NOT_FOUND", "OUTSIDE_MAX_AGE")
"""Feast's FieldStatus, in the order of its numbers."""

PRESENT, NULL_VALUE = STATUS_NAMES.index("PRESENT"), STATUS_NAMES.index("NULL_VALUE")


@dataclass(frozen=True)
class OnlineVectors:
    """Rows with the features of a service as they were served.

    `frame` is the rows with a column a feature; `event_times` has a UTC microsecond Datetime column a feature (null
    where no value is stored; of an on-demand feature, the newest of its inputs); `statuses` has a string column a
    feature: PRESENT, NULL_VALUE, NOT_FOUND or OUTSIDE_MAX_AGE.
    """

    frame: pl.DataFrame
    event_times: pl.DataFrame
    statuses: pl.DataFrame

    def times(self, name: str) -> list[int | None]:
        """A feature's event times as microseconds since 1970, for whoever puts many answers together."""
        return self.event_times[name].to_physical().to_list()

    def status_codes(self, name: str) -> list[int]:
        """A feature's statuses as Feast's numbers."""
        return [STATUS_NAMES.index(status) for status in self.statuses[name]]


@dataclass(frozen=True)
class Brought:
    """One view after it was brought up to date: rows read, rows taken away, and its newest event time."""

    view: str
    rows: int
    removed: int
    newest: datetime | None


class Answered(OnlineVectors):
    """Vectors over an answer of the online store, whose times and statuses are worked out when they are asked for.

    `types` are the features' columns in order; `inputs` names, for each on-demand feature, what it is computed from.
    """

    _answer: Any
    _names: list[str]
    _inputs: Mapping[str, Sequence[str]]

    def __init__(
        self,
        rows: pl.DataFrame,
        answer: Any,
        types: Mapping[str, Any],
        inputs: Mapping[str, Sequence[str]],
    ) -> None:
        series = [pl.Series(name, answer.columns[name].values, dtype) for name, dtype in types.items()]
        object.__setattr__(self, "frame", rows.with_columns(series))
        self.__dict__.update(_answer=answer, _names=list(types), _inputs=inputs)

    @cached_property
    def event_times(self) -> pl.DataFrame:  # type: ignore[override]
        return pl.DataFrame([pl.Series(name, self.times(name), UTC_TIME) for name in self._names])

    @cached_property
    def statuses(self) -> pl.DataFrame:  # type: ignore[override]
        names = {name: [STATUS_NAMES[code] for code in self.status_codes(name)] for name in self._names}
        return pl.DataFrame(names, schema=dict.fromkeys(names, pl.String))

    def _column(self, name: str) -> Any:
        return self._answer.columns.get(name) or self._answer.hidden[name]

    def times(self, name: str) -> list[int | None]:
        if name not in self._inputs:
            return self._column(name).times()
        behind = [self._column(stored).times() for stored in self._inputs[name]]
        empty: list[int | None] = [None] * self.frame.height
        return [
            max((t for t in row if t is not None), default=None) for row in zip(*behind, empty, strict=True)
        ]

    def status_codes(self, name: str) -> list[int]:
        column = self._column(name)
        pairs = zip(column.statuses, column.values, strict=True)
        return [NULL_VALUE if code == PRESENT and value is None else code for code, value in pairs]


def nothing(frame: pl.DataFrame, names: Sequence[str]) -> OnlineVectors:
    """Vectors of no rows."""
    times, statuses = (pl.DataFrame(schema=dict.fromkeys(names, kind)) for kind in (UTC_TIME, pl.String))
    return OnlineVectors(frame, times, statuses)
