"""Events pushed to a feature view between two ingestions: checked, written offline first, then online.

A push source is Feast's: a view whose source is a `PushSource` over the table's files. An event's `event_timestamp` is
the moment from which its values may be used; the offline join and the online store agree on that. Offline comes first,
so that nothing is ever served which a replay could not find.
"""

import threading
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any, Literal, Protocol

import polars as pl
import pydantic

from resources.clock import CLOCKS_DIFFER, Clock, wall
from resources.features.push_sources import EVENT, PushSource
from resources.features.push_undo import pushing
from resources.features.pushed_moments import PushedMoments
from resources.features.pushed_rows import PushedRows
from resources.lake.offline_rows import newest_event
from resources.lake.pushed_files import fold

To = Literal["online", "offline", "both"]
MOST_AHEAD = timedelta(days=7)
MOST_FILES = 256
"""So many files of pushed rows a table may have until its next ingestion, which leaves one of them."""


class PushError(Exception):
    """An event that cannot be taken: says which, why, and what to send instead."""

    def __init__(self, message: str, index: int | None = None, field: str | None = None) -> None:
        super().__init__(message)
        self.index, self.field = index, field


class Store(Protocol):
    """The part of the feature store that a push needs; `resources.features.store` is the real one."""

    def push_sources(self) -> dict[str, PushSource]: ...

    def push(self, source: str, rows: pl.DataFrame, to: Literal["online", "offline"]) -> None: ...


class Pusher:
    """Takes events for one endpoint: one batch at a time, each event once however often it is sent.

    `now_of_view` says how far the models that read a view have come, `ingested` how far all that is online was ingested,
    `asked_now` the wall clock's now where a model that reads one of some views is asked by it; each of one use case.
    """

    def __init__(
        self,
        store: Store,
        moments: PushedMoments,
        now_of_view: Callable[[str, str], datetime | None],
        ingested: Callable[[str], datetime | None],
        asked_now: Callable[[Sequence[str], str], datetime | None] = lambda views, use_case: None,
        clock: Clock | None = None,
    ) -> None:
        self.store, self.moments = store, moments
        self.asked_now, self.clock = asked_now, clock or Clock()
        self.now_of_view, self.ingested = now_of_view, ingested
        self._lock = threading.Lock()
        self._written: dict[str, PushedRows] = {}

    @cached_property
    def sources(self) -> dict[str, PushSource]:
        """Every push source that the feature repository defines, by name."""
        return self.store.push_sources()

    def push(self, source: PushSource, events: Sequence[pydantic.BaseModel], to: To) -> dict[str, Any]:
        """Write events to the stores asked for, and say how many of them offline did not have yet.

        Raises PushError where an event holds no value, contradicts another, or lies too far ahead.
        """
        given = _rows(source, events)
        with self._lock, pushing(source.folder):
            received = self._written_to(source).received(wall())
            rows = given.with_columns(created=pl.lit(received))
            self._refuse_far_ahead(source, rows)
            new = self._push_offline(source, rows) if to != "online" else 0
            if to != "offline":
                self._push_online(source, rows)
        now = self._reached(source)
        taken = {"source": source.name, "to": to, "events": len(events), "new": new}
        return taken | {"as_of": now.isoformat() if now else None}

    def _written_to(self, source: PushSource) -> PushedRows:
        return self._written.setdefault(source.name, PushedRows(source.folder, list(source.keys)))

    def _push_offline(self, source: PushSource, rows: pl.DataFrame) -> int:
        """Write the rows that offline would not answer with already."""
        new = rows.filter(~self._written_to(source).has(rows.drop("created")))
        if new.height:
            self.store.push(source.name, new, "offline")
            fold(source.folder, source.keys, above=MOST_FILES)
        return new.height

    def _push_online(self, source: PushSource, rows: pl.DataFrame) -> None:
        self.store.push(source.name, rows, "online")
        newest = rows[EVENT].max()
        for view in source.views:
            assert isinstance(newest, datetime)
            self.moments.advance(view, newest, source.use_case)

    def _refuse_far_ahead(self, source: PushSource, rows: pl.DataFrame) -> None:
        """A mistyped year would otherwise let every other feature expire, for good, and so would many pushes in a row.

        So the limit counts from what was ingested; before anything was, from the clock. Where requests are answered as of
        their arrival, nothing is taken for later than now, but for what the clocks of two machines may differ by: it would
        stand in the place of the value of now.
        """
        if now := self.asked_now(source.views, source.use_case):
            _refuse_later(rows, now)
            return
        reached = self.ingested(source.use_case) or newest_event(source.folder) or self.clock.now()
        far = rows.with_row_index("_index").filter(pl.col(EVENT) > reached + MOST_AHEAD)
        if far.height:
            raise PushError(
                f"event_timestamp {far[EVENT][0].isoformat()} is more than {MOST_AHEAD.days} days after "
                f"{reached.astimezone(UTC).isoformat()}, up to where data was ingested (pushes do not count): correct it, "
                "or ingest what lies between first",
                far["_index"][0],
                EVENT,
            )

    def _reached(self, source: PushSource) -> datetime | None:
        """The moment up to which the models that read the source's views have come, in UTC."""
        clocks = [self.now_of_view(view, source.use_case) for view in source.views]
        moments = [now.astimezone(UTC) for now in clocks if now]
        return max(moments, default=None)


def _refuse_later(rows: pl.DataFrame, now: datetime) -> None:
    """Raise PushError for an event of a moment that has not come yet."""
    late = rows.with_row_index("_index").filter(pl.col(EVENT) > now + CLOCKS_DIFFER)
    if late.height:
        raise PushError(
            f"event_timestamp {late[EVENT][0].isoformat()} has not come yet: it is {now.astimezone(UTC).isoformat()}, and the "
            f"clocks of two machines may differ by {CLOCKS_DIFFER.seconds // 60} minutes: send the event when it has come, or "
            "set the clock right",
            late["_index"][0],
            EVENT,
        )


def _rows(source: PushSource, events: Sequence[pydantic.BaseModel]) -> pl.DataFrame:
    """Events as rows, each once; one without a value and two that contradict each other are refused."""
    rows = pl.DataFrame([event.model_dump() for event in events], schema=source.schema)
    empty = rows.select(pl.all_horizontal(pl.col(*source.features).is_null())).to_series().arg_true()
    if len(empty):
        raise PushError(
            f"the event has no value: give at least one of {', '.join(source.features)}", int(empty[0])
        )
    once = rows.unique(maintain_order=True)
    twice = once.select(*source.keys, EVENT).is_duplicated()
    if twice.any():
        shown = once.filter(twice).row(0, named=True)
        raise PushError(
            f"two events for { ({k: shown[k] for k in source.keys}) } at {shown[EVENT].isoformat()} hold different "
            "values: send the one that counts"
        )
    return once
