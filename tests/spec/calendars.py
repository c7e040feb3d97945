"""Calendars of every cadence, drawn for tests: starts that fit, zones whose clocks are changed at odd times."""

from datetime import date, timedelta

import pydantic
from hypothesis import strategies as st

from mlops_assets.spec.calendar import Calendar

ZONES = [
    "UTC",
    "America/New_York",
    "Europe/Berlin",
    "Asia/Kolkata",
    "Asia/Kathmandu",
    "Australia/Lord_Howe",
    "America/St_Johns",
    "America/Havana",
    "America/Sao_Paulo",
    "Asia/Beirut",
    "Africa/Casablanca",
    "Pacific/Chatham",
]
LINES = [
    "0 6 * * *",
    "30 4 * * 1-5",
    "0 0 1 1,4,7,10 *",
    "0 0 31 * *",
    "0 0 29 * *",
    "0 12 15 * *",
    "0 */6 * * *",
    "*/30 9-17 * * mon-fri",
    "15,45 * * * *",
    "0 0,12 1 * *",
]
CADENCES = ["hourly", "daily", "weekly", "monthly", *LINES]


def began(cadence: str, timezone: str, day: date) -> date:
    """The day itself, or the next one on which a partition of the cadence begins."""
    try:
        return Calendar(cadence=cadence, timezone=timezone, start=day).start
    except pydantic.ValidationError as error:
        words = error.errors()[0]["msg"].split()
        return date.fromisoformat(words[-1]) if "give" in words else day


@st.composite
def calendars(draw: st.DrawFn, cadences: list[str] = CADENCES, ends: bool = True) -> Calendar:
    """A calendar that can be: lines of several partitions a day stand in UTC, hours in zones of whole half hours."""
    cadence = draw(st.sampled_from(cadences))
    several = cadence in ("0 */6 * * *", "*/30 9-17 * * mon-fri", "15,45 * * * *", "0 0,12 1 * *")
    zones = ["UTC"] if several else [z for z in ZONES if (cadence, z) != ("hourly", "Australia/Lord_Howe")]
    timezone = draw(st.sampled_from(zones))
    start = began(cadence, timezone, draw(st.dates(date(1995, 1, 1), date(2030, 12, 31))))
    end = None
    if ends and draw(st.booleans()):
        later = began(cadence, timezone, start + timedelta(days=draw(st.integers(1, 800))))
        end = start + timedelta(days=7 * draw(st.integers(1, 120))) if cadence == "weekly" else later
    return Calendar(cadence=cadence, timezone=timezone, start=start, end=end)
