"""An answer with online features that is made of columns, and becomes a protobuf message only if somebody asks.

Stock Feast fills the message, an object a value, and reads Python values out of it again; that is nine tenths of
what its online reads cost.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias

from feast.online_response import TIMESTAMP_POSTFIX, OnlineResponse
from feast.protos.feast.serving.ServingService_pb2 import FieldStatus, GetOnlineFeaturesResponse
from feast.protos.feast.types.Value_pb2 import Value
from feast.value_type import ValueType
from google.protobuf.timestamp_pb2 import Timestamp

from . import decoding
from .decoding import Cells
from .request import Given

Column: TypeAlias = "Stored | Plain"
PRESENT, NOT_FOUND = FieldStatus.PRESENT, FieldStatus.NOT_FOUND
OUTSIDE_MAX_AGE = FieldStatus.OUTSIDE_MAX_AGE


@dataclass(eq=False)
class Sight:
    """What is known of one view for the rows of a request: statuses and event times of its different keys.

    `places` says which key each row has (-1: none), None where each has its own; `times` are microseconds since 1970;
    `sound` says that all keys have valid values.
    """

    times: Sequence[int | None]
    statuses: Sequence[int]
    places: list[int] | None
    sound: bool

    @property
    def whole(self) -> bool:
        """Whether every row has valid values."""
        return self.sound and (self.places is None or -1 not in self.places)

    def spread(self, per_key: Sequence[Any], missing: Any) -> list[Any]:
        """One element a row, from one a key."""
        if self.places is None:
            return list(per_key)
        return [missing if place < 0 else per_key[place] for place in self.places]

    def row_times(self) -> list[int | None]:
        """Event time a row."""
        return self.spread(self.times, None)


def sight(
    times: Sequence[int | None], places: list[int] | None, lives: int, asked: int | None, now: int
) -> Sight:
    """Judge keys by their event times: valid at the moment asked for, outside of the view's life, or not known then."""
    moment = now if asked is None else asked
    oldest = moment - lives if lives else None
    if times and None not in times:
        fresh = oldest is None or min(times) >= oldest  # type: ignore[type-var]
        if fresh and (asked is None or max(times) <= asked):  # type: ignore[type-var]
            return Sight(times, [PRESENT] * len(times), places, True)

    def judge(time: int | None) -> int:
        if time is None or (asked is not None and time > asked):
            return NOT_FOUND
        return PRESENT if oldest is None or time >= oldest else OUTSIDE_MAX_AGE

    return Sight(times, [judge(time) for time in times], places, False)


class Stored:
    """A feature read from the store: its bytes a key, judged by its view's sight."""

    __slots__ = ("_values", "cells", "kind", "sight")

    def __init__(self, sight: Sight, cells: Cells, kind: ValueType) -> None:
        self.sight = sight
        self.cells = cells
        self.kind = kind
        self._values: list[Any] | None = None

    @property
    def valid(self) -> Cells:
        """The cells that may be served."""
        if self.sight.sound:
            return self.cells
        pairs = zip(self.cells, self.sight.statuses, strict=True)
        return [cell if status == PRESENT else None for cell, status in pairs]

    @property
    def values(self) -> list[Any]:
        """A value a row."""
        if self._values is None:
            self.know(decoding.column(self.valid, self.kind))
        return self._values  # type: ignore[return-value]

    @property
    def is_known(self) -> bool:
        """Whether the values were read from their bytes already."""
        return self._values is not None

    def know(self, per_key: list[Any]) -> None:
        """Take over the values of the different keys."""
        self._values = per_key if self.sight.places is None else self.sight.spread(per_key, None)

    @property
    def statuses(self) -> list[int]:
        """A status a row; of a feature that is not stored for a known key, NOT_FOUND."""
        if None not in self.cells:
            return self.sight.spread(self.sight.statuses, NOT_FOUND)
        pairs = zip(self.cells, self.sight.statuses, strict=True)
        judged = [NOT_FOUND if cell is None and status == PRESENT else status for cell, status in pairs]
        return self.sight.spread(judged, NOT_FOUND)

    def times(self) -> list[int | None]:
        """Event time a row."""
        return self.sight.row_times()

    def protos(self) -> list[Value]:
        """The column as Feast's objects."""
        return [Value.FromString(cell or b"") for cell in self.sight.spread(self.valid, b"")]


def read_all(columns: Iterable[Column]) -> None:
    """Read the values of stored columns, those of one type together."""
    alike: dict[tuple[ValueType, int], list[Stored]] = defaultdict(list)
    for column in columns:
        if isinstance(column, Stored) and not column.is_known:
            alike[column.kind, len(column.cells)].append(column)
    for (kind, _), some in alike.items():
        for column, values in zip(some, decoding.columns([c.valid for c in some], kind), strict=True):
            column.know(values)


@dataclass(eq=False)
class Plain:
    """A column that is not stored: of the request, or computed on demand."""

    given: Given

    @property
    def values(self) -> list[Any]:
        return self.given.shown

    @property
    def statuses(self) -> list[int]:
        return [PRESENT] * len(self.given.shown)

    def times(self) -> list[int | None]:
        return [None] * len(self.given.shown)

    def protos(self) -> list[Value]:
        return self.given.protos()


class BulkOnlineResponse(OnlineResponse):
    """Feast's answer to a request for online features; `hidden` holds what on-demand features were computed from."""

    def __init__(
        self, columns: dict[str, Column], hidden: dict[str, Column], versions: Sequence[tuple[str, int]] = ()
    ) -> None:
        self.columns = columns
        self.hidden = hidden
        self.versions = versions
        self._feature_types = {}

    @cached_property
    def proto(self) -> GetOnlineFeaturesResponse:  # type: ignore[override]
        """The message that stock Feast would have made."""
        message = GetOnlineFeaturesResponse(results=[])
        message.metadata.feature_names.val.extend(self.columns)
        for name, version in self.versions:
            message.metadata.feature_view_metadata.add(name=name, version=version)
        for column in self.columns.values():
            message.results.add(
                values=column.protos(),
                statuses=column.statuses,  # type: ignore[arg-type]
                event_timestamps=[_stamp(time) for time in column.times()],
            )
        return message

    def to_dict(self, include_event_timestamps: bool = False) -> dict[str, Any]:
        """Values by column; with event timestamps, their unix seconds by the column's name and `__ts`."""
        read_all(self.columns.values())
        if not include_event_timestamps:
            return {name: column.values for name, column in self.columns.items()}
        found: dict[str, Any] = {}
        for name, column in self.columns.items():
            found[name] = column.values
            found[name + TIMESTAMP_POSTFIX] = [(time or 0) // 1_000_000 for time in column.times()]
        return found


def _stamp(time: int | None) -> Timestamp:
    if time is None:
        return Timestamp()
    return Timestamp(seconds=time // 1_000_000, nanos=time % 1_000_000 * 1000)
