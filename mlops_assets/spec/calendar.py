"""The partitions that data is cut into by time: their names, and the moments between which they lie.

Everything here is arithmetic on local clocks: a question about one partition costs the same in the first year and
in the thirtieth, so that a sensor's tick may ask it.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from itertools import pairwise
from typing import Self
from zoneinfo import ZoneInfo

import pydantic
from pydantic import Field

from mlops_assets.spec.base import LAST, LONGEST, Day, Part, TimeZone
from mlops_assets.spec.cron import DAY, Cron
from mlops_assets.spec.ticks import CADENCES, PartitionError, Ticks, days_of_change, ticks_of

ALL_BEFORE = timedelta(days=LONGEST)
"""How far back a table looks that is made of all that lies before."""

FORESEEN = 30
"""Years from its start for which a calendar without an end is compared with its zone's changes of the clock."""


@dataclass(frozen=True)
class Partition:
    """One piece of the data: its name and the UTC moments it lies between, the second not included."""

    name: str
    start: datetime
    end: datetime


class Calendar(Part):
    """How the data of a use case is cut by time, from the day `start` up to but not including the day `end`."""

    cadence: str = Field(
        description="hourly, daily, weekly (from the weekday of `start`), monthly, or a cron line of five fields.",
        examples=["daily", "0 6 * * *"],
    )
    timezone: TimeZone = "UTC"
    start: Day = Field(description="Day of the first partition.")
    end: Day | None = Field(default=None, description="Day after the last partition; none by default.")

    @pydantic.field_validator("cadence")
    @classmethod
    def _is_a_cadence(cls, value: str) -> str:
        if value not in CADENCES and (value.isalpha() or value.startswith("@")):
            raise ValueError(
                f"cadence {value!r} does not exist: choose from {', '.join(CADENCES)}, or write a cron line"
            )
        if value not in CADENCES:
            Cron.read(value)
        return value

    @pydantic.field_validator("timezone")
    @classmethod
    def _names_are_one_partition_each(cls, value: str, info: pydantic.ValidationInfo) -> str:
        cadence = info.data.get("cadence", "daily")
        if cadence not in CADENCES and value != "UTC" and len(Cron.read(cadence).times) > 1:
            raise ValueError(
                f"cadence {cadence!r} has several partitions a day and timezone {value!r}: a clock that is set back "
                "would name two of them alike; write the line in UTC and timezone: UTC, or cadence: hourly"
            )
        return value

    @pydantic.field_validator("start")
    @classmethod
    def _starts_a_partition(cls, value: date, info: pydantic.ValidationInfo) -> date:
        if {"cadence", "timezone"} <= info.data.keys():
            _must_begin_one(info.data["cadence"], info.data["timezone"], value, value, "start")
        return value

    @pydantic.model_validator(mode="after")
    def _order(self) -> Self:
        if self.end is not None:
            self._ends_a_partition(self.end)
        if problem := _clock_fits(self.cadence, self.timezone, self.start, self.end):
            raise ValueError(problem)
        return self

    def _ends_a_partition(self, end: date) -> None:
        days = (end - self.start).days
        if self.cadence == "weekly" and (days < 7 or days % 7):
            raise ValueError(
                f"weeks from {self.start} to {end} are {days} days: give a whole number of weeks, at least one"
            )
        if days < 1:
            raise ValueError(f"end {end} is not after start {self.start}: give a later day, or no end")
        _must_begin_one(self.cadence, self.timezone, self.start, end, "end")

    @property
    def ticks(self) -> Ticks:
        """Where partitions begin; for hours on the clock of UTC, which is never set back."""
        return ticks_of(self.cadence, self.timezone, self.start)

    @property
    def first(self) -> Partition:
        """The first partition."""
        return self._partition_at(self._first)

    @property
    def over(self) -> datetime | None:
        """The moment at which the last partition ends; None for a calendar without an end."""
        return self.ticks.moment(self.ticks.of(self.end, self.timezone)) if self.end else None

    def partition(self, name: str) -> Partition:
        """The partition of this name; also one outside of the calendar's ends, which may have been others before.

        Raises PartitionError where none begins as the name says.
        """
        return self._partition_at(self._wall(name))

    def has(self, name: str) -> bool:
        """Whether this is the name of one of the calendar's partitions."""
        try:
            wall = self._wall(name)
        except ValueError:
            return False
        return self._first <= wall and not (self.over and self.ticks.moment(wall) >= self.over)

    def at(self, moment: datetime) -> Partition:
        """The partition that a moment lies in.

        Raises PartitionError before the first one and after the last.
        """
        if moment < self.first.start or (self.over and moment >= self.over):
            raise PartitionError(
                f"{moment.isoformat()} lies in none of {self._said()}: choose a moment that does"
            )
        return self._partition_at(self.ticks.at(moment))

    def newest(self, until: datetime) -> Partition | None:
        """The newest partition that is over by a moment; None where none is."""
        begins = self.ticks.at(min(until, self.over) if self.over else until)
        return self._partition_at(self.ticks.before(begins)) if begins > self._first else None

    def names(self, until: datetime | None = None, after: str | None = None) -> list[str]:
        """Names of the partitions that are over by a moment, in order; only those behind `after`, if it is given.

        Without a moment, all of a calendar that has an end.

        Raises PartitionError without a moment and an end.
        """
        until = until or self.over
        if until is None:
            raise PartitionError(f"{self._said()} have no end: say until when, or give the calendar an end")
        begin = self.ticks.cron.after(self._wall(after)) if after else self._first
        last = self.newest(until)
        return self._listed(begin, self._wall(last.name)) if last else []

    def back(self, name: str, count: int) -> list[str]:
        """Names of a partition and of up to `count` before it, oldest first, none before the first."""
        wall, first, walls = self._wall(name), self._first, []
        while len(walls) <= count and wall >= first:
            walls.append(wall)
            wall = self.ticks.before(wall)
        return [self.ticks.name(one) for one in reversed(walls)]

    def next(self, name: str) -> str | None:
        """Name of the partition behind this one; None behind the last."""
        wall = self.ticks.cron.after(self._wall(name))
        return None if self.over and self.ticks.moment(wall) >= self.over else self.ticks.name(wall)

    def covering(self, start: datetime, end: datetime) -> list[str]:
        """Names of the partitions that have a moment of a span, which does not include its end, in order."""
        begin = max(start, self.first.start)
        until = min(end, self.over) if self.over else end
        if begin >= until:
            return []
        last = self.ticks.at(until)
        ends_there = self.ticks.moment(last) == until
        return self._listed(self.ticks.at(begin), self.ticks.before(last) if ends_there else last)

    def most_within(self, time: timedelta) -> int:
        """The most partitions that so long a time, told by the zone's clock, has room for before one begins."""
        return -(-time // _shortest(self.ticks)) if time else 0

    def days_before(self, moment: datetime, days: float) -> datetime:
        """The same local time so many days earlier, in UTC: a day may have 23 or 25 hours."""
        local = moment.astimezone(ZoneInfo(self.timezone)).replace(tzinfo=None) - timedelta(days=days)
        return local.replace(tzinfo=ZoneInfo(self.timezone)).astimezone(UTC)

    def days_between(self, earlier: datetime, later: datetime) -> float:
        """Local days from one moment to another: from midnight to midnight is a whole number."""
        zone = ZoneInfo(self.timezone)
        first, last = (moment.astimezone(zone).replace(tzinfo=None) for moment in (earlier, later))
        return (last - first).total_seconds() / 86_400

    def coarser(self, cadence: str) -> "Calendar":
        """A calendar of longer partitions that covers this one: its ends are moved outwards to whole partitions.

        Raises ValueError for a cadence whose partitions are shorter.
        """
        ticks = ticks_of(cadence, self.timezone, self.start)
        if ticks.short:
            calendar = self.model_validate({**self.model_dump(), "cadence": cadence})
        else:
            start = ticks.cron.floor(datetime.combine(self.start, time.max)).date()
            end = self.end and ticks.of(self.end, self.timezone).date()
            calendar = Calendar(cadence=cadence, timezone=self.timezone, start=start, end=end)
        if calendar.first.end - calendar.first.start < self.first.end - self.first.start:
            raise ValueError(
                f"cadence {cadence!r} is shorter than {self.cadence!r}, which it stands below: choose a longer one, "
                "or leave it out"
            )
        return calendar

    @property
    def _first(self) -> datetime:
        """What the clock of the ticks shows when the first partition begins."""
        return self.ticks.of(self.start, self.timezone)

    def _wall(self, name: str) -> datetime:
        """What the clock of the ticks shows when the partition of this name begins."""
        ticks = self.ticks
        begin = ticks.cron.floor(ticks.read(name))
        if ticks.name(begin) != name:
            raise PartitionError(
                f"{name} begins none of {self._said()}: choose {ticks.name(begin)} or "
                f"{ticks.name(ticks.cron.after(begin))}"
            )
        return begin

    def _partition_at(self, wall: datetime) -> Partition:
        ticks = self.ticks
        return Partition(ticks.name(wall), ticks.moment(wall), ticks.moment(ticks.cron.after(wall)))

    def _listed(self, wall: datetime, last: datetime) -> list[str]:
        names = []
        while wall <= last:
            names.append(self.ticks.name(wall))
            wall = self.ticks.cron.after(wall)
        return names

    def _said(self) -> str:
        until = f" to {self.end}" if self.end else ""
        return f"the {self.cadence!r} partitions from {self.start}{until} in {self.timezone}"


def _must_begin_one(cadence: str, timezone: str, start: date, day: date, field: str) -> None:
    ticks = ticks_of(cadence, timezone, start)
    begins = ticks.of(day, timezone)
    begin = ticks.local(begins, timezone)
    if begin != day:
        before = ticks.local(ticks.before(begins), timezone)
        raise ValueError(
            f"{field} {day}: no partition of cadence {cadence!r} begins on that day; give {before} or {begin}"
        )


SEEN = 400
"""Partitions in a row that tell how short one may be: four years of quarters and months, two weeks of hours."""


@lru_cache(maxsize=1024)
def _shortest(ticks: Ticks) -> timedelta:
    walls = [ticks.cron.floor(datetime(2023, 1, 1))]
    while len(walls) <= SEEN:
        walls.append(ticks.cron.after(walls[-1]))
    return min(behind - wall for wall, behind in pairwise(walls))


@lru_cache(maxsize=1024)
def _clock_fits(cadence: str, timezone: str, start: date, end: date | None) -> str | None:
    """Why a change of the zone's clock takes a partition's beginning away, or moves it; None where none does."""
    ticks, zone = ticks_of(cadence, timezone, start), ZoneInfo(timezone)
    at = ticks.cron.times[0]
    for day in days_of_change(zone, start, end or min(LAST, start + timedelta(days=366 * FORESEEN))):
        if cadence == "hourly" and ticks_of(cadence, timezone, day) != ticks:
            return f"hours in {timezone} do not begin at the same minute after {day}: write timezone: UTC"
        if ticks.short or not ticks.cron.has(day):
            continue
        wall = datetime.combine(day, at, zone)
        if at == time() and ticks.moment(datetime.combine(day + DAY, at)) <= wall.astimezone(UTC):
            return (
                f"{day} never was in {timezone}, whose clock was set forward by a day: give a start after it"
            )
        if at != time() and wall.utcoffset() != wall.replace(fold=1).utcoffset():
            return (
                f"the clock of {timezone} is changed at {wall:%H:%M} on {day}, so that cadence {cadence!r} has no such "
                "moment then, or two: choose a time that every day has once, for example 0 4 * * *"
            )
    return None
