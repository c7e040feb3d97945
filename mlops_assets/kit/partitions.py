"""The time windows that data is cut into; models are not partitioned, their versions live in the registry."""

import dagster as dg

from mlops_assets.spec.calendar import Calendar
from mlops_assets.spec.model import Weeks


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


def weekly(weeks: Weeks) -> dg.TimeWindowPartitionsDefinition:
    """One partition a week from the spec's start, cut at local midnight, named by its first day."""
    return dg.TimeWindowPartitionsDefinition(
        start=weeks.start.isoformat(),
        end=weeks.end.isoformat(),
        timezone=weeks.timezone,
        fmt="%Y-%m-%d",
        cron_schedule=f"0 0 * * {weeks.start.isoweekday() % 7}",
    )
