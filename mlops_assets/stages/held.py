"""Which partitions of a lake table lie in a span of time, whatever the table's cadence is."""

from bisect import bisect_right
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from mlops_assets.spec.calendar import Calendar, Partition
from resources.lake.briefs import briefs
from resources.lake.lake import Lake
from resources.lake.names import WHOLE
from resources.moments import read_moment

INSTANT = timedelta(microseconds=1)
SINCE, UNTIL = "since", "until"
"""What the notes of a partition call the moments that it lies between."""


def bounds_noted(span: Partition) -> dict[str, str]:
    """The notes of a partition that say when it lies: a table may have another cadence than its use case."""
    return {SINCE: span.start.isoformat(), UNTIL: span.end.isoformat()}


def bounds(lake: Lake, table: str, name: str, calendar: Calendar) -> tuple[datetime, datetime]:
    """The moments a partition lies between: as noted, or by the calendar for what an earlier release wrote."""
    noted = lake.manifest(table, name).notes if lake.described(table, name) else None
    return _bounds(noted or {}, name, calendar)


def _bounds(noted: Mapping[str, Any], name: str, calendar: Calendar) -> tuple[datetime, datetime]:
    if SINCE in noted:
        return read_moment(noted[SINCE]), read_moment(noted[UNTIL])
    span = calendar.partition(name)
    return span.start, span.end


def reaching(
    lake: Lake, table: str, calendar: Calendar, since: datetime | None, until: datetime
) -> list[str]:
    """Partitions of a table that begin by `until` and end after `since`, in order; a table written whole has one.

    Names sort as time, so those behind are passed over by name, and reading ends at the first that is too old.
    """
    there = lake.partitions(table)
    if WHOLE in there:
        return [WHOLE]
    spans, known = [], briefs(lake, table)
    for name in reversed(_begun(there, calendar, until)):
        start, end = _bounds(known[name].notes if name in known else {}, name, calendar)
        if since is not None and end <= since:
            break
        if start <= until:
            spans.append(name)
    return spans[::-1]


def standing(lake: Lake, table: str, calendar: Calendar, span: Partition) -> list[str]:
    """Partitions of a table that overlap one of a calendar, or the newest before where the table's own are longer.

    Raises LakeError where the table's are as long, and the one that is asked for is not there.
    """
    if names := reaching(lake, table, calendar, span.start, span.end - INSTANT):
        return names
    older = _begun(lake.partitions(table), calendar, span.start)[-1:]
    longer = [n for n in older if not _of(calendar, n, bounds(lake, table, n, calendar))]
    return longer or [lake.manifest(table, span.name).partition]


def _begun(there: list[str], calendar: Calendar, until: datetime) -> list[str]:
    """Those that may have begun by a moment; a name is the day of its start, in the zone or in UTC."""
    return there[: bisect_right(there, calendar.days_before(until, -2).date().isoformat())]


def _of(calendar: Calendar, name: str, ends: tuple[datetime, datetime]) -> bool:
    """Whether a partition lies as the calendar's own of that name does."""
    if not calendar.has(name):
        return False
    span = calendar.partition(name)
    return (span.start, span.end) == ends
