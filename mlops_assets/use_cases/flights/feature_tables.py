"""Feature tables of the flights: what was known at each moment about weather, traffic, aircraft and schedule.

Every row's `event_timestamp` is a moment at which all of its content was known: a departure from when it
happened, an arrival from the scheduled arrival plus its delay, a cancellation from the scheduled departure, a
diversion from the scheduled arrival, weather an hour after its hour, the schedule a day ahead. That a flight
should have left and has not is known too, and tells the most about the next hour.

Each function takes the raw rows of a partition and of the `LOOKBACK` before it, by the column that cuts their table, and returns the rows with
`start <= event_timestamp < end` with the columns of `schema.FEATURES`, sorted and unique by keys and time.
"""

from datetime import datetime, timedelta

import polars as pl

from mlops_assets.use_cases.flights.request import seconds
from mlops_assets.use_cases.flights.schema import (
    FEATURES,
    PLANES_KNOWN_AT,
    SCHEDULE_LEAD,
    SCHEDULE_SPAN,
    UTC,
    WEATHER,
)
from mlops_assets.use_cases.flights.windows import GRID, NOW, Grid, table

LATE_MINUTES = 15
STEP = timedelta(minutes=30)
RECENT = timedelta(hours=3)
OVERDUE = timedelta(hours=4)
DAY = timedelta(days=1)
RECORD = timedelta(days=28)

WEEK = timedelta(days=7)
LOOKBACK = {
    "weather": WEEK,
    "origin_traffic": WEEK,
    "carrier_traffic": WEEK,
    "dest_traffic": WEEK,
    "carrier_record": 5 * WEEK,
    "route_record": 5 * WEEK,
    "flight_record": 5 * WEEK,
    "aircraft": WEEK,
    "schedule": timedelta(hours=3),
}
"""How long before a partition begins the raw rows lie that a table needs; `plane` is made of the whole planes table."""

DUE, LEFT, LANDED, LOST = range(4)
"""Values of `aircraft_status`."""


def weather(observations: pl.DataFrame, start: datetime, end: datetime) -> pl.DataFrame:
    """Hourly observations at each origin from the moment they were known."""
    rows = observations.select(
        "origin",
        pl.col("known_at").alias("event_timestamp"),
        pl.col(WEATHER).cast(pl.Float32),
        content_known_at="known_at",
        created=pl.lit(None, UTC),
    )
    return _between(rows, start, end).sort("origin", "event_timestamp")


def origin_traffic(flights: pl.DataFrame, start: datetime, end: datetime) -> pl.DataFrame:
    """Departures, delays, cancellations and overdue flights at each origin over the last hours."""
    return _departures(flights, ["origin"], "origin", start, end)


def carrier_traffic(flights: pl.DataFrame, start: datetime, end: datetime) -> pl.DataFrame:
    """The same for each carrier at each origin."""
    return _departures(flights, ["carrier", "origin"], "carrier", start, end)


def dest_traffic(flights: pl.DataFrame, start: datetime, end: datetime) -> pl.DataFrame:
    """Delays of flights to each destination over the last hours, and how many were cancelled or diverted."""
    lost = flights.filter(pl.col("cancelled") | pl.col("diverted"))
    rows = Grid(start, end, STEP).sliding(_movements(flights, lost, ["dest"]), RECENT)
    features = {
        "dest_arrivals": pl.col("arrival").count(),
        "dest_arrival_delay": pl.col("arrival").mean(),
        "dest_late_share": (pl.col("arrival") > LATE_MINUTES).mean(),
        "dest_departure_delay": pl.col("delay").mean(),
        "dest_lost": pl.col("lost").count(),
    }
    return table(rows, ["dest"], "known", features)


def carrier_record(flights: pl.DataFrame, start: datetime, end: datetime) -> pl.DataFrame:
    """Each carrier's arrivals over the last four weeks, once a day."""
    return _record(flights, ["carrier"], "carrier", start, end)


def route_record(flights: pl.DataFrame, start: datetime, end: datetime) -> pl.DataFrame:
    """The same for each origin and destination, with the number of flights and the distance."""
    more = {"route_flights": pl.len(), "route_distance": pl.col("distance").max()}
    return _record(flights, ["origin", "dest"], "route", start, end, more)


def flight_record(flights: pl.DataFrame, start: datetime, end: datetime) -> pl.DataFrame:
    """The same for each carrier and flight number."""
    numbered = flights.with_columns(pl.col("flight").cast(pl.Int64))
    return _record(numbered, ["carrier", "flight"], "flight", start, end)


def aircraft(flights: pl.DataFrame, start: datetime, end: datetime) -> pl.DataFrame:
    """The last thing known of each aircraft that leaves New York: due, left, landed or lost, and how late.

    `aircraft_free_at` is when its leg ends as far as one knows, `aircraft_seen_at` when that was known, both in
    unix seconds.
    """
    legs = flights.filter(pl.col("tailnum").is_not_null())
    none, delay, arrival = pl.lit(None, pl.Float64), pl.col("dep_delay"), pl.col("arr_delay")
    landed = legs.filter(pl.col("arrived_at").is_not_null())
    parts = (
        _movement(_waiting(legs), "scheduled_departure", DUE, pl.lit(0.0), pl.lit(0.0)),
        _movement(legs.filter(~pl.col("cancelled")), "departed_at", LEFT, delay, delay.clip(0)),
        _movement(landed, "arrived_at", LANDED, arrival, arrival),
        _movement(_lost(legs), "outcome_known_at", LOST, none, pl.lit(0.0)),
    )
    order = ["tailnum", "event_timestamp"]
    rows = _between(pl.concat(parts), start, end).sort(
        *order, "leg", "aircraft_status", "aircraft_free_at", "aircraft_delay", nulls_last=True
    )
    newest = rows.unique(order, keep="last", maintain_order=True)
    return newest.select(FEATURES["aircraft"].keys())


def schedule(planned: pl.DataFrame, start: datetime, end: datetime) -> pl.DataFrame:
    """How many flights are to leave an origin in an hour of the week and around it, known a day ahead.

    The last flight counted leaves within two hours of the hour's start, so that a row is known two hours later than
    a day ahead (see `schema.SCHEDULE_LEAD`): at the end of a partition there are rows of the 22 hours after it. The
    first flight counted leaves an hour before the hour's start, and was known three hours before the row.
    """
    hour = pl.col("scheduled_departure").dt.truncate("1h")
    rows = planned.group_by("origin", hour=hour).agg(
        schedule_departures=pl.len(), schedule_destinations=pl.col("dest").n_unique()
    )
    counts = rows.select("origin", "hour", n="schedule_departures")
    for name, hours in (("schedule_departures_before", 1), ("schedule_departures_after", -1)):
        moved = counts.select("origin", pl.col("hour") + timedelta(hours=hours), pl.col("n").alias(name))
        rows = rows.join(moved, on=["origin", "hour"], how="left").with_columns(pl.col(name).fill_null(0))
    known = rows.with_columns(
        departure_hour=seconds(pl.col("hour")),
        event_timestamp=pl.col("hour") + SCHEDULE_SPAN - SCHEDULE_LEAD,
        content_known_at=pl.col("hour") + SCHEDULE_SPAN - SCHEDULE_LEAD,
    )
    rows = _between(known, start, end).select(pl.col(k).cast(v) for k, v in FEATURES["schedule"].items())
    return rows.sort("origin", "departure_hour")


def plane(planes: pl.DataFrame) -> pl.DataFrame:
    """Year of manufacture and seats of each aircraft, known all along."""
    return planes.select(
        "tailnum",
        pl.lit(PLANES_KNOWN_AT, dtype=UTC).alias("event_timestamp"),
        plane_year=pl.col("year").cast(pl.Float32),
        plane_seats=pl.col("seats").cast(pl.Float32),
        content_known_at=pl.lit(PLANES_KNOWN_AT, dtype=UTC),
    ).sort("tailnum")


def _departures(
    flights: pl.DataFrame, keys: list[str], prefix: str, start: datetime, end: datetime
) -> pl.DataFrame:
    grid = Grid(start, end, STEP)
    recent = grid.sliding(_movements(flights, flights.filter("cancelled"), keys), RECENT)
    waiting = _waiting(flights).select(*keys, "scheduled_departure", "departed_at")
    overdue = grid.lasting(waiting, "scheduled_departure", "departed_at", OVERDUE).select(
        *keys, GRID, known=NOW, overdue=_minutes(NOW - pl.col("scheduled_departure"))
    )
    features = {
        f"{prefix}_departures": pl.col("delay").count(),
        f"{prefix}_delay": pl.col("delay").mean(),
        f"{prefix}_late_share": (pl.col("delay") > LATE_MINUTES).mean(),
        f"{prefix}_arrival_delay": pl.col("arrival").mean(),
        f"{prefix}_cancelled": pl.col("lost").count(),
        f"{prefix}_overdue": pl.col("overdue").count(),
        f"{prefix}_overdue_minutes": pl.col("overdue").sum(),
    }
    return table(pl.concat([recent, overdue], how="diagonal"), keys, "known", features)


def _movements(flights: pl.DataFrame, lost: pl.DataFrame, keys: list[str]) -> pl.DataFrame:
    """Departures (`delay`), arrivals (`arrival`) and lost flights (`lost`), each with the moment it was known."""
    left = flights.select(*keys, known="departed_at", delay="dep_delay")
    landed = flights.select(*keys, known="arrived_at", arrival="arr_delay")
    gone = lost.select(*keys, known="outcome_known_at", lost=1.0)
    return pl.concat([left, landed, gone], how="diagonal").filter(pl.col("known").is_not_null())


def _waiting(flights: pl.DataFrame) -> pl.DataFrame:
    return flights.filter(~pl.col("cancelled") & (pl.col("departed_at") > pl.col("scheduled_departure")))


def _lost(flights: pl.DataFrame) -> pl.DataFrame:
    return flights.filter(pl.col("cancelled") | pl.col("diverted"))


def _record(
    flights: pl.DataFrame,
    keys: list[str],
    prefix: str,
    start: datetime,
    end: datetime,
    more: dict[str, pl.Expr] | None = None,
) -> pl.DataFrame:
    events = flights.select(*keys, "arr_delay", "distance", known="outcome_known_at")
    features = {
        f"{prefix}_late_share_28d": (pl.col("arr_delay") > LATE_MINUTES).mean(),
        f"{prefix}_delay_28d": pl.col("arr_delay").mean(),
    }
    return table(Grid(start, end, DAY).sliding(events, RECORD), keys, "known", features | (more or {}))


def _movement(legs: pl.DataFrame, moment: str, status: int, late: pl.Expr, shift: pl.Expr) -> pl.DataFrame:
    free = seconds(pl.col("scheduled_arrival")) + (shift * 60).round()
    flown = _minutes(pl.col("scheduled_arrival") - pl.col("scheduled_departure"))
    return legs.select(
        "tailnum",
        event_timestamp=moment,
        aircraft_status=pl.lit(status, pl.Float32),
        aircraft_delay=late.cast(pl.Float32),
        aircraft_leg_minutes=flown.cast(pl.Float32),
        aircraft_free_at=free.cast(pl.Int64),
        aircraft_seen_at=seconds(pl.col(moment)),
        content_known_at=moment,
        leg="scheduled_departure",
    )


def _minutes(duration: pl.Expr) -> pl.Expr:
    return duration.dt.total_seconds() / 60


def _between(rows: pl.DataFrame, start: datetime, end: datetime) -> pl.DataFrame:
    return rows.filter(pl.col("event_timestamp").is_between(start, end, closed="left"))
