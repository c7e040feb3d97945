"""An answer with online features that is made of columns, and becomes a protobuf message only if somebody asks.

Stock Feast fills the message, an object a value, and reads Python values out of it again; that is nine tenths of
what its online reads cost.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from feast.online_response import TIMESTAMP_POSTFIX, OnlineResponse
from feast.protos.feast.serving.ServingService_pb2 import FieldStatus, GetOnlineFeaturesResponse
from feast.protos.feast.types.Value_pb2 import Value
from feast.value_type import ValueType
from google.protobuf.timestamp_pb2 import Timestamp

from . import decoding
from .decoding import Cells
from .request import Given

PRESENT, NOT_FOUND = FieldStatus.PRESENT, FieldStatus.NOT_FOUND
OUTSIDE_MAX_AGE = FieldStatus.OUTSIDE_MAX_AGE


@dataclass(eq=False)
class Sight:
    """What is known of one view for the rows of a request: statuses and event times of its different keys.

    `places` says which key each row has (-1: none), None where each has its own; `times` are microseconds since 1970.
    """

    times: Sequence[int | None]
    statuses: Sequence[int]
    places: list[int] | None
    whole: bool

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
            whole = places is None or -1 not in places
            return Sight(times, [PRESENT] * len(times), places, whole)

    def judge(time: int | None) -> int:
        if time is None or (asked is not None and time > asked):
            return NOT_FOUND
        return PRESENT if oldest is None or time >= oldest else OUTSIDE_MAX_AGE

    return Sight(times, [judge(time) for time in times], places, False)


@dataclass(eq=False)
class Stored:
    """A feature read from the store: its bytes a key, judged by its view's sight."""

    sight: Sight
    cells: Cells
    kind: ValueType

    @cached_property
    def valid(self) -> Cells:
        """The cells that may be served."""
        if self.sight.whole or all(status == PRESENT for status in self.sight.statuses):
            return self.cells
        pairs = zip(self.cells, self.sight.statuses, strict=True)
        return [cell if status == PRESENT else None for cell, status in pairs]

    @cached_property
    def values(self) -> list[Any]:
        found = decoding.column(self.valid, self.kind)
        return found if self.sight.places is None else self.sight.spread(found, None)

    @cached_property
    def statuses(self) -> list[int]:
        """A status a row; of a feature that is not stored for a known key, NOT_FOUND."""
        if None not in self.cells:
            return self.sight.spread(self.sight.statuses, NOT_FOUND)
        pairs = zip(self.cells, self.sight.statuses, strict=True)
        judged = [NOT_FOUND if cell is None and status == PRESENT else status for cell, status in pairs]
        return self.sight.spread(judged, NOT_FOUND)

    def times(self) -> list[int | None]:
        return self.sight.row_times()

    def protos(self) -> list[Value]:
        return [Value.FromString(cell or b"") for cell in self.sight.spread(self.valid, b"")]


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


Column = Stored | Plain


class BulkOnlineResponse(OnlineResponse):
    """Feast's answer to a request for online features; `hidden` holds what on-demand features were computed from."""

    def __init__(
        self, columns: dict[str, Column], hidden: dict[str, Column], versions: Sequence[tuple[str, int]] = ()
    ) -> None:
        self.columns = columns
        self.hidden = hidden
        self._versions = versions
        self._feature_types = {}

    @cached_property
    def proto(self) -> GetOnlineFeaturesResponse:  # type: ignore[override]
        """The message that stock Feast would have made."""
        message = GetOnlineFeaturesResponse(results=[])
        message.metadata.feature_names.val.extend(self.columns)
        for name, version in self._versions:
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
