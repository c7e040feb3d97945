"""The time windows that data is cut into; models are not partitioned, their versions live in the registry."""

from datetime import timedelta

import dagster as dg

from mlops_assets.spec.calendar import ALL_BEFORE, Calendar


def time_windows(calendar: Calendar) -> dg.TimeWindowPartitionsDefinition:
    """The partitions of a calendar, with its names and bounds.

    Without an end, Dagster takes the newest partition that is over by the clock of whoever asks: there is room behind
    it, because the calendar says what is over, and a worker whose clock is late must not reject it.
    """
    ticks = calendar.ticks
    return dg.TimeWindowPartitionsDefinition(
        start=ticks.of(calendar.start, calendar.timezone),
        end=ticks.of(calendar.end, calendar.timezone) if calendar.end else None,
        timezone=ticks.zone.key,
        fmt=ticks.fmt,
        cron_schedule=ticks.cron.line,
        end_offset=0 if calendar.end else room(calendar),
    )


def room(calendar: Calendar) -> int:
    """Partitions behind the newest that is over: the one that is under way, and those that begin within an hour."""
    ticks = calendar.ticks
    return 1 + (len(ticks.cron.minutes) if ticks.short else 0)


def by_time(calendar: Calendar, back: timedelta, theirs: Calendar) -> dg.PartitionMapping | None:
    """How partitions of a calendar depend on those of another: on all that overlap them or what lies so long before.

    None is Dagster's own: the same partition. Between the clocks of two zones (hours are named in UTC) Dagster maps no
    time; all of the other's partitions are named then, and the work reads those it needs. So they are where all that lies
    before is read.
    """
    if back >= ALL_BEFORE:
        return dg.AllPartitionMapping()
    count = calendar.most_within(back)
    if calendar.ticks == theirs.ticks:
        return dg.TimeWindowPartitionMapping(start_offset=-count) if count else None
    if calendar.ticks.zone != theirs.ticks.zone:
        return dg.AllPartitionMapping()
    return dg.TimeWindowPartitionMapping(start_offset=-count, allow_nonexistent_upstream_partitions=True)
