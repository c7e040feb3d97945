"""Raw files turned into typed tables in UTC, with the moment at which every outcome became known.

Departures are New York local time, arrivals the destination's; whatever disagrees raises instead of shifting.
"""

import hashlib
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from pathlib import Path

import polars as pl

from mlops_assets.use_cases.flights.files import IngestError, check, locate, read_table
from mlops_assets.use_cases.flights.schema import (
    AIRPORT_GAPS,
    DIVERSION_LAG,
    FILES,
    ORIGIN_ZONE,
    PREDICTION_LEAD,
    SCHEDULE_LEAD,
    TABLES,
    WEATHER_LAG,
)

__all__ = [
    "IngestError",
    "Tables",
    "airports",
    "file_hashes",
    "file_states",
    "flights",
    "in_week",
    "planes",
    "read_table",
    "schedule",
    "tables",
    "to_utc",
    "weather",
]


@dataclass(frozen=True)
class Tables:
    """The five tables, typed and whole."""

    flights: pl.DataFrame
    schedule: pl.DataFrame
    weather: pl.DataFrame
    planes: pl.DataFrame
    airports: pl.DataFrame


def tables(folder: Path | None = None) -> Tables:
    """All five tables of a folder; kept in memory as long as the files stay the same, so that 53 weeks read once."""
    return _tables(folder, tuple(file_states(folder)))


def file_hashes(names: Iterable[str], folder: Path | None = None) -> dict[str, str]:
    """SHA-256 of the raw files of these tables, by file name; a file is read again only where its state changed."""
    return {Path(state[0]).name: _file_hash(*state) for state in file_states(folder, names)}


def flights(raw: pl.DataFrame, airports: pl.DataFrame) -> pl.DataFrame:
    """Rows of `flights/raw` in order of scheduled departure.

    Args:
        raw: rows as `read_table("flights")` gives them.
        airports: rows as `airports()` gives them; their `tzone` is the time zone of arrivals.

    A departure is known when it happens, an arrival at the scheduled arrival plus its delay, a cancellation at
    its scheduled departure, a diversion when the flight could not be in the air any more (`DIVERSION_LAG`).
    """
    _check_flights(raw)
    zoned = raw.join(airports.select(dest="faa", zone="tzone"), on="dest", how="left", maintain_order="left")
    check(zoned, pl.col("zone").is_not_null(), "dest", "no such airport, or no tzone: add it to airports")
    typed = _by_zone(zoned.with_columns(scheduled_departure=_scheduled_departure()))
    known = typed.with_columns(**_moments()).with_columns(**_known())
    check(known, pl.col("flight_id").is_unique(), "flight", "the flight is there twice", ("flight_id",))
    return known.select(TABLES["flights/raw"].keys()).sort("scheduled_departure", "flight_id")


def schedule(flights: pl.DataFrame) -> pl.DataFrame:
    """Rows of `flights/schedule` in the order in which they became known: what was planned of each flight, and nothing
    of what became of it.

    Args:
        flights: rows of `flights/raw`. Each is assumed to be known `SCHEDULE_LEAD` before its scheduled departure.
    """
    known = flights.with_columns(known_at=pl.col("scheduled_departure") - SCHEDULE_LEAD)
    return known.select(TABLES["flights/schedule"].keys()).sort("known_at", "flight_id")


def weather(raw: pl.DataFrame) -> pl.DataFrame:
    """Rows of `flights/weather` by origin and hour: an observation is known one hour after its `time_hour`."""
    _check_clock(raw, "hour")
    check(raw, pl.struct("origin", "time_hour").is_unique(), "time_hour", "two observations of one hour")
    known = raw.with_columns(known_at=pl.col("time_hour") + WEATHER_LAG)
    return known.select(TABLES["flights/weather"].keys()).sort("origin", "time_hour")


def planes(raw: pl.DataFrame) -> pl.DataFrame:
    """Rows of `flights/planes`, one for each tail number."""
    check(raw, pl.col("tailnum").is_unique(), "tailnum", "the tail number is there twice")
    return raw.select(FILES["planes"].keys()).sort("tailnum")


def airports(raw: pl.DataFrame) -> pl.DataFrame:
    """Rows of `flights/airports` with the four Caribbean destinations that the file lacks."""
    check(raw, pl.col("faa").is_unique(), "faa", "the airport is there twice")
    have = set(raw["faa"])
    gaps = [
        {"faa": faa, "name": name, "tz": -4.0, "dst": "N", "tzone": zone}
        for faa, (name, zone) in AIRPORT_GAPS.items()
        if faa not in have
    ]
    schema = FILES["airports"]
    return pl.concat([raw.select(schema.keys()), pl.DataFrame(gaps, schema=schema)]).sort("faa")


def in_week(frame: pl.DataFrame, column: str, start: datetime, end: datetime) -> pl.DataFrame:
    """Rows with `start <= column < end`."""
    return frame.filter(pl.col(column).is_between(start, end, closed="left"))


def to_utc(local: pl.Expr, zone: str) -> pl.Expr:
    """Local wall-clock times as instants; a time that the spring change skips moves on by an hour, and of the two
    that the autumn change makes the earlier is taken."""

    def place(clock: pl.Expr) -> pl.Expr:
        return clock.dt.replace_time_zone(zone, ambiguous="earliest", non_existent="null")

    return pl.coalesce(place(local), place(local + pl.duration(hours=1))).dt.convert_time_zone("UTC")


@lru_cache(maxsize=2)
def _tables(folder: Path | None, _fingerprints: tuple) -> Tables:
    zones = airports(read_table("airports", folder))
    flown = flights(read_table("flights", folder), zones)
    return Tables(
        flights=flown,
        schedule=schedule(flown),
        weather=weather(read_table("weather", folder)),
        planes=planes(read_table("planes", folder)),
        airports=zones,
    )


def file_states(
    folder: Path | None, names: Iterable[str] = tuple(FILES)
) -> Iterator[tuple[str, int, int, int]]:
    """Path, size, time and inode of the raw files of these tables: what changes whenever a file may have."""
    for name in names:
        for path in locate(name, folder):
            state: os.stat_result = path.stat()
            yield str(path), state.st_size, state.st_mtime_ns, state.st_ino


@lru_cache(maxsize=512)
def _file_hash(path: str, *_state: int) -> str:
    with Path(path).open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def _check_flights(raw: pl.DataFrame) -> None:
    _check_clock(raw, "hour")
    clock = ("sched_dep_time", "hour", "minute")
    same = pl.col("sched_dep_time") == pl.col("hour") * 100 + pl.col("minute")
    check(raw, same, "sched_dep_time", "hour and minute say another time", clock)
    for column in ("sched_dep_time", "sched_arr_time"):
        hhmm = pl.col(column)
        check(raw, hhmm.is_between(0, 2400) & (hhmm % 100 < 60), column, "not a time of the day as HHMM")
    delay = pl.col("arr_delay").is_null() | pl.col("dep_delay").is_not_null()
    check(raw, delay, "dep_delay", "the flight arrived but never departed", ("dep_delay", "arr_delay"))


def _check_clock(raw: pl.DataFrame, hour: str) -> None:
    local = pl.col("time_hour").dt.convert_time_zone(ORIGIN_ZONE)
    here = (local.dt.year(), local.dt.month(), local.dt.day(), local.dt.hour(), local.dt.minute())
    there = (pl.col("year"), pl.col("month"), pl.col("day"), pl.col(hour), 0)
    same = pl.all_horizontal(a == b for a, b in zip(here, there, strict=True))
    rule = f"time_hour (UTC) is not year, month, day and hour in {ORIGIN_ZONE}"
    check(raw, same, hour, rule, ("year", "month", "day", hour, "time_hour"))


def _scheduled_departure() -> pl.Expr:
    return pl.col("time_hour") + pl.duration(minutes=pl.col("minute"))


def _by_zone(frame: pl.DataFrame) -> pl.DataFrame:
    parts = frame.partition_by("zone", maintain_order=True)
    return pl.concat(part.with_columns(scheduled_arrival=_arrival(part["zone"][0])) for part in parts)


def _arrival(zone: str) -> pl.Expr:
    """The first moment after the departure at which the destination's clocks show `sched_arr_time`."""
    departure = pl.col("scheduled_departure").dt.convert_time_zone(zone).dt.replace_time_zone(None)
    clock = pl.col("sched_arr_time")
    same_day = departure.dt.truncate("1d") + pl.duration(minutes=clock // 100 * 60 + clock % 100)
    local = pl.when(same_day > departure).then(same_day).otherwise(same_day + pl.duration(days=1))
    return to_utc(local, zone)


def _moments() -> dict[str, pl.Expr]:
    day = pl.date("year", "month", "day").dt.to_string("%Y-%m-%d")
    return {
        "flight_id": pl.format("{}-{}{}-{}-{}", day, "carrier", "flight", "origin", "dest"),
        "departed_at": pl.col("scheduled_departure") + _minutes("dep_delay"),
        "arrived_at": pl.col("scheduled_arrival") + _minutes("arr_delay"),
        "cancelled": pl.col("dep_delay").is_null(),
        "diverted": pl.col("dep_delay").is_not_null() & pl.col("arr_delay").is_null(),
        "prediction_time": pl.col("scheduled_departure") - PREDICTION_LEAD,
    }


def _minutes(column: str) -> pl.Expr:
    return pl.duration(seconds=pl.col(column) * 60)


def _known() -> dict[str, pl.Expr]:
    planned = pl.col("scheduled_arrival") - pl.col("scheduled_departure")
    diversion = pl.col("departed_at") + planned + DIVERSION_LAG
    return {
        "departure_known_at": pl.col("departed_at"),
        "outcome_known_at": pl.when("cancelled")
        .then("scheduled_departure")
        .when("diverted")
        .then(diversion)
        .otherwise("arrived_at"),
    }
