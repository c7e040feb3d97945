"""An answer with online features that is made of columns, and becomes a protobuf message only if somebody asks.

Stock Feast fills the message, an object a value, and reads Python values out of it again; that is nine tenths of
what its online reads cost.
"""

from collections.abc import Sequence
from functools import cached_property
from typing import Any

from feast.online_response import TIMESTAMP_POSTFIX, OnlineResponse
from feast.protos.feast.serving.ServingService_pb2 import GetOnlineFeaturesResponse
from google.protobuf.timestamp_pb2 import Timestamp

from .answer import Answer, Seen
from .plan import Plan
from .request import Given


class BulkOnlineResponse(Answer, OnlineResponse):
    """Feast's answer to a request for online features: columns of the request, of the plan's views, and computed ones."""

    def __init__(
        self,
        plan: Plan,
        given: dict[str, Given],
        seen: Sequence[Seen],
        versions: Sequence[tuple[str, int]] = (),
    ) -> None:
        super().__init__(plan, given, seen)
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
        if not include_event_timestamps:
            values = self.values
            if values.keys() <= self.shown_names:
                return values
            return {name: column for name, column in values.items() if name in self.shown_names}
        document: dict[str, Any] = {}
        for name, column in self.columns.items():
            document[name] = column.values
            document[name + TIMESTAMP_POSTFIX] = [(time or 0) // 1_000_000 for time in column.times()]
        return document


def _stamp(time: int | None) -> Timestamp:
    if time is None:
        return Timestamp()
    return Timestamp(seconds=time // 1_000_000, nanos=time % 1_000_000 * 1000)
