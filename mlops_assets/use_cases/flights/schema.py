"""Column names, types, keys and known ranges of every table of the flights use case.

One page, so that a reader, a check and a test look at the same list.
"""

from datetime import UTC as PYTHON_UTC
from datetime import datetime, timedelta

import polars as pl

from mlops_assets.use_cases.flights.features import described
from mlops_assets.use_cases.flights.features.catalogue import VIEWS
from mlops_assets.use_cases.flights.features.described import Feature, View

UTC = pl.Datetime("us", "UTC")
ORIGIN_ZONE = "America/New_York"
PREDICTION_LEAD = timedelta(hours=2)
WEATHER_LAG = timedelta(hours=1)
DIVERSION_LAG = timedelta(hours=4)
"""After a diverted flight left and flew for as long as it was scheduled to, by when it must be known that it landed
elsewhere. The data does not say when it was. Of the 327,346 flights of 2013 that arrived, none took more than 196
minutes longer between departure and arrival than scheduled."""

Schema = dict[str, pl.DataType | type[pl.DataType]]

FILES: dict[str, Schema] = {
    "flights": {
        "year": pl.Int32,
        "month": pl.Int32,
        "day": pl.Int32,
        "dep_time": pl.Int32,
        "sched_dep_time": pl.Int32,
        "dep_delay": pl.Float64,
        "arr_time": pl.Int32,
        "sched_arr_time": pl.Int32,
        "arr_delay": pl.Float64,
        "carrier": pl.String,
        "flight": pl.Int32,
        "tailnum": pl.String,
        "origin": pl.String,
        "dest": pl.String,
        "air_time": pl.Float64,
        "distance": pl.Float64,
        "hour": pl.Int32,
        "minute": pl.Int32,
        "time_hour": UTC,
    },
    "weather": {
        "origin": pl.String,
        "year": pl.Int32,
        "month": pl.Int32,
        "day": pl.Int32,
        "hour": pl.Int32,
        "temp": pl.Float64,
        "dewp": pl.Float64,
        "humid": pl.Float64,
        "wind_dir": pl.Float64,
        "wind_speed": pl.Float64,
        "wind_gust": pl.Float64,
        "precip": pl.Float64,
        "pressure": pl.Float64,
        "visib": pl.Float64,
        "time_hour": UTC,
    },
    "planes": {
        "tailnum": pl.String,
        "year": pl.Int32,
        "type": pl.String,
        "manufacturer": pl.String,
        "model": pl.String,
        "engines": pl.Int32,
        "seats": pl.Int32,
        "speed": pl.Float64,
        "engine": pl.String,
    },
    "airports": {
        "faa": pl.String,
        "name": pl.String,
        "lat": pl.Float64,
        "lon": pl.Float64,
        "alt": pl.Float64,
        "tz": pl.Float64,
        "dst": pl.String,
        "tzone": pl.String,
    },
}
"""What the files hold, column by column."""

REQUIRED = {
    "flights": (
        "year",
        "month",
        "day",
        "sched_dep_time",
        "sched_arr_time",
        "carrier",
        "flight",
        "origin",
        "dest",
        "distance",
        "hour",
        "minute",
        "time_hour",
    ),
    "weather": ("origin", "year", "month", "day", "hour", "time_hour"),
    "planes": ("tailnum",),
    "airports": ("faa",),
}
"""Columns of the files in which a missing value is an error."""

TABLES: dict[str, Schema] = {
    "flights/raw": {
        "flight_id": pl.String,
        "carrier": pl.String,
        "flight": pl.Int32,
        "tailnum": pl.String,
        "origin": pl.String,
        "dest": pl.String,
        "distance": pl.Float64,
        "scheduled_departure": UTC,
        "scheduled_arrival": UTC,
        "departed_at": UTC,
        "arrived_at": UTC,
        "dep_delay": pl.Float64,
        "arr_delay": pl.Float64,
        "cancelled": pl.Boolean,
        "diverted": pl.Boolean,
        "prediction_time": UTC,
        "departure_known_at": UTC,
        "outcome_known_at": UTC,
    },
    "flights/schedule": {
        "flight_id": pl.String,
        "carrier": pl.String,
        "flight": pl.Int32,
        "origin": pl.String,
        "dest": pl.String,
        "scheduled_departure": UTC,
        "scheduled_arrival": UTC,
        "known_at": UTC,
    },
    "flights/weather": {
        "origin": pl.String,
        "time_hour": UTC,
        "temp": pl.Float64,
        "dewp": pl.Float64,
        "humid": pl.Float64,
        "wind_dir": pl.Float64,
        "wind_speed": pl.Float64,
        "wind_gust": pl.Float64,
        "precip": pl.Float64,
        "pressure": pl.Float64,
        "visib": pl.Float64,
        "known_at": UTC,
    },
    "flights/planes": FILES["planes"],
    "flights/airports": FILES["airports"],
}
"""What the lake holds: times in UTC, delays in minutes."""

KEYS = {
    "flights/raw": ("flight_id",),
    "flights/schedule": ("flight_id",),
    "flights/weather": ("origin", "time_hour"),
    "flights/planes": ("tailnum",),
    "flights/airports": ("faa",),
}

TIME_COLUMNS = {
    "flights/raw": "scheduled_departure",
    "flights/schedule": "known_at",
    "flights/weather": "time_hour",
}
"""The column by which a table is cut into partitions; the schedule is cut by when it became known, so that what is
ingested up to now holds the flights of the day after."""

RANGES: dict[str, dict[str, tuple[float, float]]] = {
    "flights/raw": {"distance": (10, 6000), "dep_delay": (-120, 2880), "arr_delay": (-180, 2880)},
    "flights/weather": {
        "temp": (-30, 120),
        "dewp": (-40, 90),
        "humid": (0, 100),
        "wind_dir": (0, 360),
        "wind_speed": (0, 120),
        "wind_gust": (0, 150),
        "precip": (0, 5),
        "pressure": (930, 1060),
        "visib": (0, 10),
    },
    "flights/planes": {"year": (1930, 2013), "engines": (1, 4), "seats": (1, 600)},
    "flights/airports": {"lat": (-90, 90), "lon": (-180, 180), "tz": (-12, 14)},
}
"""Smallest and largest value that is believable: outside of it a check warns."""

AIRPORT_GAPS: dict[str, tuple[str, str]] = {
    "BQN": ("Rafael Hernandez", "America/Puerto_Rico"),
    "PSE": ("Mercedita", "America/Puerto_Rico"),
    "SJU": ("Luis Munoz Marin Intl", "America/Puerto_Rico"),
    "STT": ("Cyril E King", "America/Puerto_Rico"),
}
"""Destinations that the airports file lacks: name and time zone."""

WEATHER = ("temp", "dewp", "humid", "wind_dir", "wind_speed", "wind_gust", "precip", "pressure", "visib")
SCHEDULE_LEAD = timedelta(days=1)
"""How long before its departure a flight's schedule is assumed to be known: the files say what flew, not since when it was
planned."""

SCHEDULE_SPAN = timedelta(hours=2)
"""From the start of an hour to the end of the next: a row of the schedule counts flights up to there."""

PLANES_KNOWN_AT = datetime(2000, 1, 1, tzinfo=PYTHON_UTC)

FEATURE_KEYS = {name: view.keys for name, view in VIEWS.items()}
"""Feature tables and what each row is about; keys and `event_timestamp` name one row."""

_TYPES: Schema = {"Float32": pl.Float32, "Int64": pl.Int64, "String": pl.String}


def _feature_schema(view: View) -> Schema:
    keys: Schema = {key: _TYPES[described.KEYS[key].type] for key in view.keys}
    values: Schema = {feature.name: _TYPES[feature.type] for feature in view.features}
    created: Schema = {"created": UTC} if view.pushed_as else {}
    return keys | {"event_timestamp": UTC} | values | {"content_known_at": UTC} | created


FEATURES: dict[str, Schema] = {name: _feature_schema(view) for name, view in VIEWS.items()}
"""Columns of every feature table: times in UTC, the rest as `mlops_assets/use_cases/flights/features/catalogue.py` describes it.

`content_known_at` is when the newest input of a row became known, never after its `event_timestamp`. `created` is when
a pushed row was received, null in what was ingested.
"""


def _bounds(view: str, feature: Feature) -> tuple[float, float] | None:
    if view == "weather":
        return RANGES["flights/weather"][feature.name]
    if feature.unit == "share":
        return 0, 1
    if "delay" in feature.name:
        return -180, 2880
    return None if feature.unit in ("unix seconds", "year") else (0, 50_000)


FEATURE_RANGES: dict[str, dict[str, tuple[float, float]]] = {
    name: {f.name: bounds for f in view.features if (bounds := _bounds(name, f))}
    for name, view in VIEWS.items()
}
"""Smallest and largest believable value of features: outside of it a check warns."""
