"""Small raw files as the sources have them: a few flights, weather, planes and airports in a folder."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import polars as pl

from mlops_assets.use_cases.flights.schema import FILES, ORIGIN_ZONE

ZONES = {
    "ATL": "America/New_York",
    "LAX": "America/Los_Angeles",
    "ORD": "America/Chicago",
    "HNL": "Pacific/Honolulu",
    "EWR": "America/New_York",
    "JFK": "America/New_York",
    "LGA": "America/New_York",
}
CARIBBEAN = dict.fromkeys(("BQN", "PSE", "SJU", "STT"), "America/Puerto_Rico")


def flight(
    departs: str,
    minutes: int = 150,
    *,
    dep_delay: int | None = 0,
    arr_delay: int | None = 0,
    carrier: str = "UA",
    number: int = 1,
    tailnum: str | None = "N1",
    origin: str = "EWR",
    dest: str = "ORD",
) -> dict[str, str]:
    """One line of flights.csv: departure as New York local time, `minutes` the scheduled time to the arrival."""
    local = datetime.fromisoformat(departs).replace(tzinfo=ZoneInfo(ORIGIN_ZONE))
    leaves = local.astimezone(UTC)
    lands = leaves + timedelta(minutes=minutes)
    zone = (ZONES | CARIBBEAN)[dest]
    left = None if dep_delay is None else leaves + timedelta(minutes=dep_delay)
    landed = None if arr_delay is None else lands + timedelta(minutes=arr_delay)
    values = {
        "year": local.year,
        "month": local.month,
        "day": local.day,
        "dep_time": clock(left, ORIGIN_ZONE),
        "sched_dep_time": local.hour * 100 + local.minute,
        "dep_delay": dep_delay,
        "arr_time": clock(landed, zone),
        "sched_arr_time": clock(lands, zone),
        "arr_delay": arr_delay,
        "carrier": carrier,
        "flight": number,
        "tailnum": tailnum,
        "origin": origin,
        "dest": dest,
        "air_time": None if arr_delay is None else minutes - 20,
        "distance": minutes * 5,
        "hour": local.hour,
        "minute": local.minute,
        "time_hour": f"{leaves.replace(minute=0):%Y-%m-%dT%H:%M:%SZ}",
    }
    return {name: "NA" if value is None else str(value) for name, value in values.items()}


def observation(hour: datetime, origin: str = "EWR", **values: float) -> dict[str, str]:
    """One line of weather.csv: an observation at a UTC hour, with the local hour beside it."""
    local = hour.astimezone(ZoneInfo(ORIGIN_ZONE))
    line = dict.fromkeys(FILES["weather"], "NA") | {"temp": "40.5", "visib": "10", "wind_speed": "8"}
    line |= {"origin": origin, "time_hour": f"{hour:%Y-%m-%dT%H:%M:%SZ}"}
    line |= {name: str(getattr(local, name)) for name in ("year", "month", "day", "hour")}
    return line | {name: str(value) for name, value in values.items()}


def clock(moment: datetime | None, zone: str) -> int | None:
    """What the clocks of a zone show, as HHMM."""
    if moment is None:
        return None
    local = moment.astimezone(ZoneInfo(zone))
    return local.hour * 100 + local.minute


def write(
    folder: Path,
    flights: Iterable[dict[str, str]] = (),
    weather: Iterable[dict[str, str]] = (),
    planes: Iterable[dict[str, str]] = (),
) -> Path:
    """The four CSV files in a folder; left out are replaced by one line each."""
    folder.mkdir(parents=True, exist_ok=True)
    hour = datetime(2013, 1, 1, 6, tzinfo=UTC)
    plane = dict.fromkeys(FILES["planes"], "NA") | {"tailnum": "N1", "year": "2001", "seats": "150"}
    airport = dict.fromkeys(FILES["airports"], "NA")
    rows = {
        "flights": list(flights) or [flight("2013-01-01 10:00")],
        "weather": list(weather) or [observation(hour)],
        "planes": list(planes) or [plane],
        "airports": [airport | {"faa": faa, "tzone": zone} for faa, zone in ZONES.items()],
    }
    for name, lines in rows.items():
        frame = pl.DataFrame(lines, schema=dict.fromkeys(FILES[name], pl.String))
        frame.write_csv(folder / f"{name}.csv")
    return folder


def typed(lines: pl.DataFrame) -> pl.DataFrame:
    """Text lines of flights.csv with the types of the raw table."""
    return lines.select(
        pl.col(name).str.to_datetime("%Y-%m-%dT%H:%M:%SZ", time_zone="UTC", time_unit="us")
        if name == "time_hour"
        else pl.when(pl.col(name) != "NA").then(pl.col(name)).cast(kind)
        for name, kind in FILES["flights"].items()
    )
