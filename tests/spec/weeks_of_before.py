"""The weeks of earlier releases, by the functions that gave them: their names and bounds are in every state there is."""

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import dagster as dg


def week_bounds(name: str, timezone: str) -> tuple[datetime, datetime]:
    first = datetime.combine(date.fromisoformat(name), time())
    start, end = (
        day.replace(tzinfo=ZoneInfo(timezone)).astimezone(UTC) for day in (first, first + timedelta(days=7))
    )
    return start, end


def week_names(start: date, end: date) -> list[str]:
    return [(start + timedelta(days=7 * i)).isoformat() for i in range((end - start).days // 7)]


def weeks_back(start: date, name: str, count: int) -> list[str]:
    last = date.fromisoformat(name)
    names = [last - timedelta(days=7 * i) for i in range(count, -1, -1)]
    return [day.isoformat() for day in names if day >= start]


def weekly(start: date, end: date, timezone: str) -> dg.TimeWindowPartitionsDefinition:
    return dg.TimeWindowPartitionsDefinition(
        start=start.isoformat(),
        end=end.isoformat(),
        timezone=timezone,
        fmt="%Y-%m-%d",
        cron_schedule=f"0 0 * * {start.isoweekday() % 7}",
    )
