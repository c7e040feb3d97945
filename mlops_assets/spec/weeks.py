"""The weeks that data is cut into: their names, and the moments between which they lie."""

from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

from mlops_assets.spec.model import Weeks
from resources.moments import read_day


def week_bounds(weeks: Weeks, partition: str) -> tuple[datetime, datetime]:
    """First moment of a week and of the next one, in UTC; local midnights, so a week may have 167 or 169 hours."""
    first = datetime.combine(read_day(partition), time())
    zone = ZoneInfo(weeks.timezone)
    return tuple(  # type: ignore[return-value]
        day.replace(tzinfo=zone).astimezone(UTC) for day in (first, first + timedelta(days=7))
    )


def week_names(weeks: Weeks) -> list[str]:
    """Names of all the weeks, in order."""
    count = (weeks.end - weeks.start).days // 7
    return [(weeks.start + timedelta(days=7 * i)).isoformat() for i in range(count)]


@dataclass(frozen=True)
class Week:
    """One partition: its name and the UTC moments it lies between."""

    name: str
    start: datetime
    end: datetime


def week(weeks: Weeks, name: str) -> Week:
    """The week with this name."""
    return Week(name, *week_bounds(weeks, name))


def weeks_back(weeks: Weeks, name: str, count: int) -> list[str]:
    """Names of the week and of up to `count` weeks before it, oldest first, none before the first partition."""
    last = read_day(name)
    names = [last - timedelta(days=7 * i) for i in range(count, -1, -1)]
    return [day.isoformat() for day in names if day >= weeks.start]
