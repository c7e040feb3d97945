"""Where partitions begin on a zone's clock, and how they are named by it."""

import re
from collections.abc import Iterator
from datetime import UTC, date, datetime, time
from functools import lru_cache
from typing import NamedTuple
from zoneinfo import ZoneInfo

from mlops_assets.spec.cron import DAY, MINUTE, Cron
from resources.moments import read_day

CADENCES = ("hourly", "daily", "weekly", "monthly")
SHORT = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{4}Z")
SHORT_NAME = "%Y-%m-%dT%H%MZ"
"""Names of partitions shorter than a day, in UTC: a colon may not stand in every file's name."""

DAY_NAME = "%Y-%m-%d"


class PartitionError(ValueError):
    """A name or a moment for which a calendar has no partition."""


class Ticks(NamedTuple):
    """Where the partitions of a calendar begin: a cron line, on the clock of a zone."""

    cron: Cron
    zone: ZoneInfo

    @property
    def short(self) -> bool:
        """Whether a day may have several partitions; their clock is that of UTC."""
        return len(self.cron.times) > 1

    @property
    def fmt(self) -> str:
        """How a partition is named by what the clock shows at its start."""
        return SHORT_NAME if self.short else DAY_NAME

    def moment(self, wall: datetime) -> datetime:
        """The UTC moment at which the clock shows this; the first of two."""
        return wall.replace(tzinfo=self.zone).astimezone(UTC)

    def name(self, wall: datetime) -> str:
        """The name of the partition that begins when the clock shows this."""
        return wall.strftime(self.fmt)

    def read(self, name: str) -> datetime:
        """What the clock shows at the latest when a partition of this name begins.

        Raises PartitionError for what is no name.
        """
        if not self.short:
            return datetime.combine(read_day(name), time.max)
        try:
            return datetime.strptime(name if SHORT.fullmatch(name) else "", SHORT_NAME)
        except ValueError as error:
            raise PartitionError(
                f"{name!r} names no partition: write its start in UTC, for example 2024-02-29T0500Z"
            ) from error

    def at(self, moment: datetime) -> datetime:
        """What the clock shows at the newest beginning that is not after a moment.

        A clock that is set back over midnight shows the end of a day twice, so the neighbours are looked at too.
        """
        wall = self.cron.floor(moment.astimezone(self.zone).replace(tzinfo=None))
        while self.moment(wall) > moment:
            wall = self.before(wall)
        while self.moment(behind := self.cron.after(wall)) <= moment:
            wall = behind
        return wall

    def before(self, wall: datetime) -> datetime:
        """The beginning before this one."""
        return self.cron.floor(wall - MINUTE)

    def of(self, day: date, timezone: str) -> datetime:
        """The first beginning on or after a day of a zone."""
        midnight = datetime.combine(day, time())
        if self.short:
            midnight = midnight.replace(tzinfo=ZoneInfo(timezone)).astimezone(self.zone).replace(tzinfo=None)
        return self.cron.ceil(midnight)

    def local(self, wall: datetime, timezone: str) -> date:
        """The day in a zone on which a partition begins."""
        return self.moment(wall).astimezone(ZoneInfo(timezone)).date() if self.short else wall.date()


@lru_cache(maxsize=1024)
def ticks_of(cadence: str, timezone: str, start: date) -> Ticks:
    """The ticks of a cadence: hours begin with the hours of the zone, weeks on the weekday of `start`."""
    if cadence == "hourly":
        past = datetime.combine(start, time(), ZoneInfo(timezone)).astimezone(UTC).minute
        return Ticks(Cron.read(f"{past} * * * *"), ZoneInfo("UTC"))
    lines = {
        "daily": "0 0 * * *",
        "weekly": f"0 0 * * {start.isoweekday() % 7}",
        "monthly": "0 0 1 * *",
    }
    return Ticks(Cron.read(lines.get(cadence, cadence)), ZoneInfo(timezone))


def days_of_change(zone: ZoneInfo, first: date, last: date) -> Iterator[date]:
    """Days of the weeks in which a zone's clock is changed, found a week at a time."""
    for week in range((last - first).days // 7 + 1):
        days = [first + DAY * (7 * week + i) for i in range(8)]
        before, after = (datetime.combine(day, time(12), zone).utcoffset() for day in (days[0], days[-1]))
        if before != after:
            yield from days
