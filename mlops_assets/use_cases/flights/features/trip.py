"""The features of `on_demand.trip` for one flight, in plain numbers: what a request waits for is no frame.

Feast trains with the frame function. A test holds the two equal, and the endpoint compares them when it loads a model.
"""

from datetime import UTC, datetime
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

from feature_repo.forms import Form

HOUR = 3600
NEW_YORK = ZoneInfo("America/New_York")
LAST_HOUR = int(datetime(2037, 1, 1, tzinfo=UTC).timestamp()) // HOUR
NAMES = (
    "trip_minute_of_day",
    "trip_weekday",
    "trip_minutes",
    "trip_arrival_minute",
    "aircraft_years",
    "aircraft_unseen_minutes",
    "aircraft_slack_minutes",
)


@lru_cache(maxsize=4096)
def local_hour(hours: int) -> tuple[int, int, int]:
    """Hour, weekday and year on New York's clock at so many hours since 1970.

    From 2037 on by pandas, whose zones end there, while others do not; before, all know the same, and nothing has to be imported.
    """
    moment: Any
    if hours < LAST_HOUR:
        moment = datetime.fromtimestamp(hours * HOUR, NEW_YORK)
    else:
        import pandas as pd

        moment = pd.to_datetime([hours * HOUR], unit="s", utc=True).tz_convert("America/New_York")[0]
    return moment.hour, moment.weekday(), moment.year


def trip_of(
    departs_at: int | None,
    arrives_at: int | None,
    requested_at: int | None,
    plane_year: float | None,
    aircraft_free_at: float | None,
    aircraft_leg_minutes: float | None,
    aircraft_seen_at: float | None,
) -> dict[str, float | None]:
    """Calendar and schedule in New York time, and how the aircraft's last leg fits before this one."""
    minute = weekday = years = elapsed = arrival = slack = unseen = None
    if departs_at is not None:
        hour, weekday, year = local_hour(departs_at // HOUR)
        minute = hour * 60 + departs_at // 60 % 60
        years = None if plane_year is None else year - plane_year
        if arrives_at is not None:
            elapsed = (arrives_at - departs_at) / 60
            arrival = minute + elapsed
        if aircraft_free_at is not None and aircraft_leg_minutes is not None:
            slack = departs_at / 60 - (aircraft_free_at / 60 + aircraft_leg_minutes)
    if requested_at is not None and aircraft_seen_at is not None:
        unseen = (requested_at - aircraft_seen_at) / 60
    return dict(zip(NAMES, (minute, weekday, elapsed, arrival, years, unseen, slack), strict=True))


TRIP_FORM = Form("trip", scalar=trip_of)
