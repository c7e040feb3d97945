"""What a database is asked for, and how it compares a span of time with its own moments; and what it may fail with."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

AN_HOUR = timedelta(hours=1)
ZONED = ("duckdb", "postgresql")
"""Databases that compare a moment with one that has no zone by the session's."""

Bound = tuple[datetime, datetime]


class DatabaseError(Exception):
    """A database that cannot be reached, or that refuses the query; says nothing of its password."""


class BusyDatabaseError(DatabaseError):
    """A database's file that another process writes to."""


@dataclass(frozen=True)
class Query:
    """A text with `:start` and `:end`, which are found by `named`, and the span to fill in; None for none."""

    text: str
    named: re.Pattern[str]
    span: Bound | None
    zone: str


def bounds(kind: str, query: Query) -> Mapping[str, Any]:
    """The span as a database compares it with its own moments.

    Around the hour in which a zone's clocks are set, a reading without a zone may mean two moments, and databases choose
    differently: there the span is wider, and whoever asked leaves out what is not of it.
    """
    assert query.span is not None
    start, end = query.span
    zone = ZoneInfo(query.zone)
    if kind in ZONED:
        return {"start": start - _ambiguous(start, zone), "end": end + _ambiguous(end, zone)}
    first, last = start + min(_offsets(start, zone)), end + max(_offsets(end, zone))
    first, last = (moment.astimezone(UTC).replace(tzinfo=None) for moment in (first, last))
    if kind == "sqlite":  # It has no moments, and compares texts: of a blank and a T the blank comes first.
        return {"start": first.isoformat(" "), "end": last.isoformat("T")}
    return {"start": first, "end": last}


def _ambiguous(moment: datetime, zone: ZoneInfo) -> timedelta:
    return max(_offsets(moment, zone)) - min(_offsets(moment, zone))


def _offsets(moment: datetime, zone: ZoneInfo) -> list[timedelta]:
    """How far a zone's clocks are from UTC at a moment; two where they are set less than an hour before or after it."""
    near = (moment - AN_HOUR, moment, moment + AN_HOUR - timedelta.resolution)
    return [offset for one in near if (offset := one.astimezone(zone).utcoffset()) is not None]
