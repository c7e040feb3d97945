"""What every piece of a spec is made of."""

import math
import re
from collections.abc import Iterable, Iterator
from datetime import date, datetime, timedelta
from difflib import get_close_matches
from functools import partial
from typing import Annotated, Any, get_args
from zoneinfo import ZoneInfo, available_timezones

import pydantic
from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer, WithJsonSchema

ImportPath = Annotated[
    str, Field(pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$", examples=["package.module:function"])
]
FIRST, LAST = date(1700, 1, 1), date(2250, 1, 1)
"""Days whose moments every part of the platform can hold, in nanoseconds too."""

NO_ZONES = ("localtime", "posixrules", "Factory", "right/", "posix/")
"""Files beside the zones, which mean another thing on every machine."""

LONGEST = 36_500
"""Days of the longest span in a spec: a hundred years."""

EXPONENT = re.compile(r"[-+]?[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+")


def _written_as_a_day(value: object) -> object:
    """Pydantic takes numbers for seconds or milliseconds, and texts with a time."""
    written = isinstance(value, str) and re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", value)
    if written or (isinstance(value, date) and not isinstance(value, datetime)):
        return value
    raise ValueError(f"{value!r} is not a day: write year, month and day, for example 2024-02-01")


def _in_range(value: date) -> date:
    if not FIRST <= value <= LAST:
        raise ValueError(f"{value} is out of range: give a day from {FIRST} to {LAST}")
    return value


Day = Annotated[date, BeforeValidator(_written_as_a_day), AfterValidator(_in_range)]


def _known_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        raise ValueError(_no_zone(name)) from error
    if name.startswith(NO_ZONES):
        raise ValueError(_no_zone(name))
    return name


def _no_zone(name: str) -> str:
    near = get_close_matches(name, available_timezones() - {*NO_ZONES}, 1, 0.5) or ["America/New_York"]
    return f"time zone {name!r} does not exist: give a name of the IANA list, for example {near[0]}"


TimeZone = Annotated[str, AfterValidator(_known_zone)]
Days = Annotated[int, Field(ge=1, le=LONGEST)]

UNITS = {
    "s": timedelta(seconds=1),
    "min": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
    "w": timedelta(weeks=1),
}
UNIT_WORDS = {
    **{unit: unit for unit in UNITS},
    **dict.fromkeys(("sec", "second", "seconds"), "s"),
    **dict.fromkeys(("minute", "minutes"), "min"),
    **dict.fromkeys(("hour", "hours"), "h"),
    **dict.fromkeys(("day", "days"), "d"),
    **dict.fromkeys(("week", "weeks"), "w"),
}
DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?) ?([A-Za-z]+)", re.ASCII)


def read_duration(value: object) -> timedelta:
    """The span of time that a text (`6h`, `30d`, `90 min`, `2 weeks`) or a timedelta is; a month has no length."""
    if isinstance(value, timedelta):
        return _of_possible_length(value, duration_text(value))
    match = DURATION.fullmatch(value.strip()) if isinstance(value, str) else None
    unit = UNIT_WORDS.get(match[2]) if match else None
    if match is None or unit is None:
        raise ValueError(
            f"{value!r} is not a duration: write a number with its unit ({', '.join(UNITS)}), for example 6h, 30d "
            "or 90 min"
        )
    if float(match[1]) * UNITS[unit].total_seconds() > LONGEST * 86_400:
        raise ValueError(f"{value!r} is longer than a hundred years: give at most {LONGEST}d")
    return float(match[1]) * UNITS[unit]


def duration_text(value: timedelta) -> str:
    """A duration as specs write it, in the largest unit of which it is a whole number."""
    whole = (name for name, size in reversed(UNITS.items()) if value and not value % size)
    unit = next(whole, "s")
    return f"{value / UNITS[unit]:g}{unit}" if value % UNITS[unit] else f"{value // UNITS[unit]}{unit}"


def _of_possible_length(value: timedelta, text: str) -> timedelta:
    if not timedelta() <= value <= timedelta(days=LONGEST):
        raise ValueError(f"{text} is out of range: give a duration from 0s to {LONGEST}d")
    return value


Duration = Annotated[
    timedelta,
    BeforeValidator(read_duration),
    PlainSerializer(duration_text, return_type=str),
    WithJsonSchema(
        {
            "type": "string",
            "pattern": rf"^[0-9]+(\.[0-9]+)? ?({'|'.join(UNIT_WORDS)})$",
            "examples": ["6h", "30d", "90 min"],
        }
    ),
]
"""A span of time, written with its unit; days are 24 hours."""


def _leaves(annotation: Any) -> set[Any]:
    """The types that an annotation is made of."""
    inner = get_args(annotation)
    return set().union(*map(_leaves, inner)) if inner else {annotation}


def _values(value: object) -> Iterable[object]:
    if isinstance(value, dict):
        return (one for inner in value.values() for one in _values(inner))
    if isinstance(value, list):
        return (one for inner in value for one in _values(inner))
    return (value,)


def _with_numbers(value: Any) -> Any:
    """The value with `1e-3`, a text for YAML 1.1, as the number that it is where a field is a number."""
    if isinstance(value, dict):
        return {name: _with_numbers(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_with_numbers(inner) for inner in value]
    return float(value) if isinstance(value, str) and EXPONENT.fullmatch(value) else value


class Part(pydantic.BaseModel):
    """A piece of a spec: unknown fields are errors, so that a typo never passes silently, and every number is finite."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @pydantic.field_validator("*", mode="before")
    @classmethod
    def _a_number_is_a_number(cls, value: Any, info: pydantic.ValidationInfo) -> Any:
        """Pydantic takes true for 1, and anything for a value of which no type is said."""
        leaves = _leaves(cls.model_fields[str(info.field_name)].annotation)
        if leaves & {int, float} and bool not in leaves:
            truth = next((one for one in _values(value) if isinstance(one, bool)), None)
            if truth is not None:
                raise ValueError(f"{str(truth).lower()} is not a number: give one, without quotes")
        return _with_numbers(value) if Any in leaves else value


def not_finite(value: Any, texts: bool = False, at: str = "") -> Iterator[tuple[str, Any]]:
    """Every NaN and infinity inside dicts and lists, with the path to it; with `texts` also what reads as one."""
    if isinstance(value, float) or (texts and isinstance(value, str)):
        if _reads_as_not_finite(value):
            yield at, value
    elif isinstance(value, dict):
        for name, part in value.items():
            yield from not_finite(part, texts, f"{at}.{name}" if at else str(name))
    elif isinstance(value, list | tuple):
        for number, part in enumerate(value):
            yield from not_finite(part, texts, f"{at}[{number}]")


def _reads_as_not_finite(value: float | str) -> bool:
    try:
        return not math.isfinite(float(value))
    except ValueError:
        return False


def _all_finite(value: Any, texts: bool = False) -> Any:
    for at, number in not_finite(value, texts):
        raise ValueError(f"{at} is {number!r}, which is no finite number: give a number, or leave it out")
    return value


FreeForm = Annotated[dict[str, Any], AfterValidator(_all_finite)]
"""What is passed on as it is written: any values, but no NaN and no infinity in them."""

ForALibrary = Annotated[dict[str, Any], AfterValidator(partial(_all_finite, texts=True))]
"""The same for a library that reads texts as numbers, to which the text nan is NaN."""

FreeValues = Annotated[list[Any], AfterValidator(_all_finite)]
