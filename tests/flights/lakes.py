"""A small lake of feature tables made from random flights, as the assets would write it."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from zoneinfo import ZoneInfo

import polars as pl

from mlops_assets.use_cases.flights import feature_tables, ingest
from mlops_assets.use_cases.flights.schema import FILES, ORIGIN_ZONE, WEATHER
from resources.lake.lake import Lake
from tests.flights import oracle

WEEK = timedelta(days=7)
ZONE = ZoneInfo(ORIGIN_ZONE)
MONDAYS = (datetime(2013, 3, 4, tzinfo=ZONE), datetime(2013, 3, 11, tzinfo=ZONE))


def bounds(monday: datetime) -> tuple[datetime, datetime]:
    """A week in UTC, from one local midnight to another."""
    return monday.astimezone(UTC), (monday + WEEK).astimezone(UTC)


def write(
    root: Path,
    flights: pl.DataFrame,
    weather: pl.DataFrame,
    planes: pl.DataFrame,
    moved: Mapping[str, timedelta] | None = None,
) -> Lake:
    """Every feature table of the two weeks; `moved` shifts the event timestamps of a table."""
    lake = Lake(root=str(root))
    for name in feature_tables.LOOKBACK:
        raw, column = {
            "weather": (weather, "time_hour"),
            "schedule": (ingest.schedule(flights), "known_at"),
        }.get(name, (flights, "scheduled_departure"))
        for monday in MONDAYS:
            start, end = bounds(monday)
            known = ingest.in_week(raw, column, start - feature_tables.LOOKBACK[name], end)
            table = getattr(feature_tables, name)(known, start, end)
            shift = (moved or {}).get(name, timedelta(0))
            table = table.with_columns(pl.col("event_timestamp") + shift)
            lake.write(f"flights/features/{name}", table, f"{monday:%Y-%m-%d}")
    lake.write("flights/features/plane", feature_tables.plane(planes))
    return lake


def random_flights(seed: int, count: int) -> pl.DataFrame:
    """Flights of two weeks around the spring change."""
    return oracle.random_flights(seed, datetime(2013, 3, 4), 14, count)


def random_weather(seed: int) -> pl.DataFrame:
    """Hourly weather of the two weeks, with values missing and hours missing."""
    dice = Random(seed)
    start, hours = bounds(MONDAYS[0])[0], 14 * 24
    rows = [
        {"origin": origin, "time_hour": start + timedelta(hours=h)}
        | {name: None if dice.random() < 0.1 else round(dice.uniform(0, 10), 2) for name in WEATHER}
        for origin in oracle.ORIGINS
        for h in range(-3, hours)
        if h % 40 < 33
    ]
    return pl.DataFrame(rows).with_columns(
        pl.col("time_hour").cast(pl.Datetime("us", "UTC")),
        (pl.col("time_hour") + timedelta(hours=1)).cast(pl.Datetime("us", "UTC")).alias("known_at"),
        pl.col(WEATHER).cast(pl.Float64),
    )


def some_planes() -> pl.DataFrame:
    """Two of the aircraft that fly, one of them of unknown age."""
    rows = [{"tailnum": "N1", "year": 2001, "seats": 150}, {"tailnum": "N2", "year": None, "seats": 55}]
    return pl.DataFrame(rows, schema=FILES["planes"])
