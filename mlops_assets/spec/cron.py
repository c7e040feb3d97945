"""Cron lines: which minutes of a clock on the wall they name, found by arithmetic and never by listing."""

import calendar
import re
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from functools import cached_property
from typing import Self

DAY = timedelta(days=1)
MINUTE = timedelta(minutes=1)
FIELDS = {"minute": (0, 59), "hour": (0, 23), "day": (1, 31), "month": (1, 12), "weekday": (0, 7)}
MONTHS = {name.lower(): number for number, name in enumerate(calendar.month_abbr) if name}
WEEKDAYS = {name: number for number, name in enumerate(("sun", "mon", "tue", "wed", "thu", "fri", "sat"))}
WORDS = {"month": MONTHS, "weekday": WEEKDAYS}
PIECE = re.compile(r"(?:(?P<all>\*)|(?P<first>\w+)(?:-(?P<last>\w+))?)(?:/(?P<step>[0-9]{1,2}))?")
EXAMPLE = "'0 6 * * 1' is every Monday at 06:00"


class CronError(ValueError):
    """A cron line that is none, or that names no moment."""


@dataclass(frozen=True)
class Cron:
    """The minutes, hours, days, months and weekdays (0 is Sunday) that a line names, each in order."""

    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    days: tuple[int, ...]
    months: tuple[int, ...]
    weekdays: tuple[int, ...]

    @classmethod
    def read(cls, line: str) -> Self:
        """The five fields of a line: numbers, ranges, lists, steps, and the names of months and weekdays.

        Raises CronError.
        """
        parts = line.lower().split()
        if len(parts) != len(FIELDS):
            raise CronError(
                f"{line!r} has {len(parts)} fields: a cron line has five, minute hour day month weekday; {EXAMPLE}"
            )
        named = dict(zip(FIELDS, parts, strict=True))
        minute, hour, day, month, weekday = (_numbers(line, field, named[field]) for field in FIELDS)
        read = cls(minute, hour, day, month, weekday)
        if len(read.days) < 31 and len(read.weekdays) < 7:
            raise CronError(
                f"{line!r} names days of the month and of the week, and cron takes either: keep one and write * for the other"
            )
        if not any(day <= _longest(month) for day in read.days for month in read.months):
            raise CronError(
                f"{line!r} names no day of most years: day {min(read.days)} is in none of its months; choose a day that is"
            )
        return read

    @property
    def line(self) -> str:
        """The line again, in numbers alone, so that any reader of cron lines reads the same."""
        named = (self.minutes, self.hours, self.days, self.months, self.weekdays)
        whole = (60, 24, 31, 12, 7)
        return " ".join(
            "*" if len(field) == all_ else ",".join(map(str, field))
            for field, all_ in zip(named, whole, strict=True)
        )

    @cached_property
    def times(self) -> list[time]:
        """The times of a day, in order."""
        return [time(hour, minute) for hour in self.hours for minute in self.minutes]

    def floor(self, wall: datetime) -> datetime:
        """The newest moment named that is not after this one."""
        today = [at for at in self.times if at <= wall.time()] if self.has(wall.date()) else []
        if today:
            return datetime.combine(wall.date(), today[-1])
        return datetime.combine(self._before(wall.date()), self.times[-1])

    def after(self, wall: datetime) -> datetime:
        """The first moment named that is after this one."""
        today = [at for at in self.times if at > wall.time()] if self.has(wall.date()) else []
        if today:
            return datetime.combine(wall.date(), today[0])
        return datetime.combine(self._behind(wall.date()), self.times[0])

    def ceil(self, wall: datetime) -> datetime:
        """The first moment named that is not before this one."""
        before = self.floor(wall)
        return before if before == wall else self.after(wall)

    def has(self, day: date) -> bool:
        """Whether the line names moments of a day."""
        return day.month in self.months and day.day in self.days and day.isoweekday() % 7 in self.weekdays

    def _before(self, day: date) -> date:
        day -= DAY
        while not self.has(day):
            day = day - DAY if day.month in self.months else day.replace(day=1) - DAY
        return day

    def _behind(self, day: date) -> date:
        day += DAY
        while not self.has(day):
            day = day + DAY if day.month in self.months else (day.replace(day=28) + 4 * DAY).replace(day=1)
        return day


def _longest(month: int) -> int:
    return calendar.monthrange(2023, month)[1]


def _numbers(line: str, field: str, text: str) -> tuple[int, ...]:
    numbers = {number for piece in text.split(",") for number in _piece(line, field, piece)}
    return tuple(sorted({number % 7 for number in numbers} if field == "weekday" else numbers))


def _piece(line: str, field: str, text: str) -> range:
    low, high = FIELDS[field]
    match = PIECE.fullmatch(text)
    if not match:
        raise _unread(line, field, text)
    first = low if match["all"] else _number(line, field, match["first"])
    last = high if match["all"] else _number(line, field, match["last"] or match["first"])
    step = int(match["step"] or 1)
    backwards = match["last"] and first >= last
    if backwards or step < 1 or (match["step"] and not (match["all"] or match["last"])):
        raise _unread(line, field, text)
    return range(first, min(last, 6) + 1 if match["all"] and field == "weekday" else last + 1, step)


def _number(line: str, field: str, text: str) -> int:
    low, high = FIELDS[field]
    number = WORDS.get(field, {}).get(text, int(text) if text.isdecimal() and text.isascii() else -1)
    if not low <= number <= high:
        raise _unread(line, field, text)
    return number


def _unread(line: str, field: str, text: str) -> CronError:
    low, high = FIELDS[field]
    return CronError(
        f"{line!r} has {text!r} for its {field}: write numbers from {low} to {high}, a range 1-5, a list 1,3, "
        f"a step */2, or *; {EXAMPLE}"
    )
