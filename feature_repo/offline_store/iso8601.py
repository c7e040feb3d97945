"""Moments and days as text: ISO 8601, or refused with the value, the rule and the fix; nothing is ever guessed.

Standard library alone, so that every door of a platform can read with it.
"""

import re
from datetime import UTC, date, datetime, timedelta, timezone, tzinfo

DATE = r"(?P<year>\d{4})-(?P<month>\d{2})-(?P<day>\d{2})"
CLOCK = r"(?P<hour>\d{2}):(?P<minute>\d{2})(?::(?P<second>\d{2})(?:[.,](?P<fraction>\d+))?)?"
ZONE = r"(?P<zone>[Zz]|(?P<sign>[+-])(?P<hours>[01]\d|2[0-3])(?::?(?P<minutes>[0-5]\d))?)"
DAY = re.compile(DATE, re.ASCII)
MOMENT = re.compile(f"{DATE}[Tt ]{CLOCK} ?{ZONE}?", re.ASCII)

FIRST = datetime(1677, 9, 22, tzinfo=UTC)
LAST = datetime(2262, 4, 11, tzinfo=UTC)
"""What 64 bits of nanoseconds since 1970 can hold, in whole days: no reader further on can overflow."""


LOST = "digits below the microsecond would be lost"


class MomentError(ValueError):
    """A value that is no moment, or could be read as two."""


def read_moment(value: object, without_zone: tzinfo | None = None) -> datetime:
    """The moment, in UTC, that a text of ISO 8601 or a datetime is.

    One without a zone is refused unless the caller's rule for them is given. Numbers are refused: none says its unit.
    """
    if (known := _in_utc_already(value)) is not None:
        return known
    if isinstance(value, datetime) and value == value:  # pandas' NaT is none
        return _in_utc(value, _plain(value), without_zone)
    if not isinstance(value, str):
        raise _refused(value, f"of type {type(value).__name__} it says neither unit nor zone")
    match = MOMENT.fullmatch(value)
    if match is None:
        raise _refused(value, _why(value))
    return _in_utc(value, _written(value, match), without_zone)


def _in_utc_already(value: object) -> datetime | None:
    """What needs no second look: a datetime in UTC, and a text of the form 2024-02-01T10:00:00Z."""
    if type(value) is str:
        if len(value) != 20 or value[4::3] != "--T::Z":
            return None
        try:
            match = datetime.fromisoformat(value)
        except ValueError:
            return None
    elif type(value) is datetime and value.tzinfo is UTC:
        match = value
    else:
        return None
    return match if FIRST <= match <= LAST else None


def read_day(value: object) -> date:
    """The day that a text (`2024-02-01`) or a date is."""
    read = value
    if isinstance(value, str) and (match := DAY.fullmatch(value)):
        try:
            read = date(*(int(part) for part in match.groups()))
        except ValueError as error:
            raise _no_day(value, str(error)) from error
    if not isinstance(read, date) or isinstance(read, datetime):
        raise _no_day(value, "a day is its year, month and day")
    if not FIRST.date() <= read <= LAST.date():
        raise _no_day(value, f"days are from {FIRST.date()} to {LAST.date()}")
    return read


def _written(value: str, match: re.Match[str]) -> datetime:
    part = match.groupdict()
    fraction = part["fraction"] or ""
    if part["second"] == "60":
        raise _refused(
            value, "a leap second has no place among the seconds since 1970; give the second after it"
        )
    if part["hour"] == "24":
        raise _refused(value, "a day ends at 00:00 of the next one")
    if fraction[6:].strip("0"):
        raise _refused(value, LOST)
    clock = (int(part[name] or 0) for name in ("year", "month", "day", "hour", "minute", "second"))
    try:
        return datetime(*clock, int(fraction[:6].ljust(6, "0")), tzinfo=_zone(part))  # type: ignore[arg-type]
    except ValueError as error:
        raise _refused(value, str(error)) from error


def _zone(part: dict[str, str]) -> tzinfo | None:
    if not part["zone"]:
        return None
    if part["sign"] is None:
        return UTC
    offset = timedelta(hours=int(part["hours"]), minutes=int(part["minutes"] or 0))
    return timezone(-offset if part["sign"] == "-" else offset)


def _plain(value: datetime) -> datetime:
    """A datetime of the standard library: pandas' own may hold more."""
    if getattr(value, "nanosecond", 0):
        raise _refused(value, LOST)
    clock = (value.hour, value.minute, value.second, value.microsecond)
    return datetime(value.year, value.month, value.day, *clock, tzinfo=value.tzinfo, fold=value.fold)


def _in_utc(value: object, reading: datetime, without_zone: tzinfo | None) -> datetime:
    if reading.utcoffset() is None:
        if without_zone is None:
            raise _refused(
                value,
                "without a timezone it could be several moments; end it with Z or an offset such as +01:00",
            )
        reading = reading.replace(tzinfo=without_zone)
    try:
        moment = reading.astimezone(UTC)
    except OverflowError as error:
        raise _refused(value, _range()) from error
    if not FIRST <= moment <= LAST:
        raise _refused(value, _range())
    return moment


def _why(value: str) -> str:
    if DAY.fullmatch(value):
        return "a day is not a moment; add the time and the zone"
    if value.strip().lstrip("+-").replace(".", "", 1).isdigit():
        return "a number says neither unit nor zone"
    return "moments are written in ISO 8601, year first"


def _range() -> str:
    return f"moments are from {FIRST:%Y-%m-%d} to {LAST:%Y-%m-%d}"


def _refused(value: object, why: str) -> MomentError:
    return MomentError(f"{_shown(value)} is not a moment: {why}; for example 2024-02-01T10:00:00Z")


def _no_day(value: object, why: str) -> MomentError:
    return MomentError(f"{_shown(value)} is not a day: {why}; for example 2024-02-01")


def _shown(value: object) -> str:
    shown = f"{value}" if isinstance(value, date) else f"{value!r}"
    return shown if len(shown) <= 60 else f"{shown[:57]}..."
