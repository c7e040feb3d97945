"""The worked use case as assets: four raw tables, the feature tables made of them, and one job that ingests a week."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import polars as pl

from mlops_assets.ml.tables import Expectation
from mlops_assets.spec.calendar import Calendar, Partition
from mlops_assets.spec.files import read_use_case
from mlops_assets.spec.names import feature_table, features_group, ingest_group
from mlops_assets.stages.tables import Table, recent
from mlops_assets.use_cases.flights import feature_tables, ingest
from mlops_assets.use_cases.flights.columns import RAW, feature_columns
from mlops_assets.use_cases.flights.features.catalogue import VIEWS
from mlops_assets.use_cases.flights.features.described import DOMAIN, OWNER
from mlops_assets.use_cases.flights.schema import (
    FEATURE_KEYS,
    FEATURE_RANGES,
    FEATURES,
    KEYS,
    RANGES,
    TABLES,
    TIME_COLUMNS,
)
from resources.lake.lake import Lake
from resources.settings import settings
from resources.use_case_folders import use_case_folder

USE_CASE = "flights"
WEEKS = read_use_case(use_case_folder(USE_CASE)).calendar
NIGHT = timedelta(hours=9)
SILENCE = {"flights/raw": NIGHT, "flights/weather": timedelta(hours=3), "weather": timedelta(hours=3)}
"""Longest silence that is not a gap: no flight leaves New York at night, weather is observed every hour."""

ALWAYS = (
    *("carrier", "flight", "origin", "dest", "distance", "scheduled_departure", "scheduled_arrival"),
    *("cancelled", "diverted", "prediction_time", "outcome_known_at"),
)
SELDOM_MISSING = {
    "flights/raw": dict.fromkeys(ALWAYS, 0.0) | {"tailnum": 0.05, "dep_delay": 0.25, "arr_delay": 0.3},
    "flights/weather": {"known_at": 0.0, "temp": 0.02, "wind_speed": 0.02, "visib": 0.02, "pressure": 0.3},
}
DESCRIPTIONS = {
    "flights/raw": "Flights that were scheduled to leave New York in the week, with what became of them; times in UTC.",
    "flights/weather": "Hourly weather at the three New York airports; an observation is known an hour after its hour.",
    "flights/planes": "The aircraft registry: year, seats and engines by tail number.",
    "flights/airports": "Airports and their time zones, with the four Caribbean ones that the source lacks.",
}


def all_tables(calendar: Calendar = WEEKS) -> list[Table]:
    """Raw tables and feature tables, each after those that it is made from, cut by the use case's calendar."""
    raw = sorted(TABLES, key="flights/airports".__ne__)
    return [*(raw_table(name, calendar) for name in raw), *(table_of(view, calendar) for view in FEATURES)]


def raw_table(name: str, calendar: Calendar = WEEKS) -> Table:
    """`flights/raw`, `flights/weather`, `flights/planes` or `flights/airports`."""
    time, short = TIME_COLUMNS.get(name), name.split("/")[1].replace("raw", "flights")
    read = ["flights", "airports"] if short == "flights" else [short]

    def build(lake: Lake, span: Partition) -> pl.DataFrame:
        whole = getattr(ingest.tables(settings().data), short)
        return ingest.in_week(whole, time, span.start, span.end) if time else whole

    expected = Expectation(
        schema=TABLES[name],
        keys=KEYS[name],
        time=time,
        every=SILENCE.get(name),
        ranges=RANGES.get(name, {}),
        nulls=dict.fromkeys(KEYS[name], 0.0) | SELDOM_MISSING.get(name, {}),
    )
    return Table(
        name,
        build,
        expected,
        calendar if time else None,
        {"flights/airports": None} if name == "flights/raw" else {},
        appearance(ingest_group(USE_CASE), DESCRIPTIONS[name], {"domain": DOMAIN}),
        RAW[name],
        code=[f"{ingest.__name__}:{part}" for part in (*read, "read_table", "in_week")],
        files=lambda: ingest.file_hashes(read, settings().data),
    )


def table_of(view: str, calendar: Calendar = WEEKS) -> Table:
    """The table behind one feature view, stamped with the moment its content became known."""
    function: Callable[..., pl.DataFrame] = getattr(feature_tables, view)
    source = VIEWS[view].source
    back = feature_tables.LOOKBACK.get(view)

    def build(lake: Lake, span: Partition) -> pl.DataFrame:
        if back is None:
            return function(lake.read(source))
        return function(recent(lake, source, calendar, span, back), span.start, span.end)

    expected = Expectation(
        schema=FEATURES[view],
        keys=(*FEATURE_KEYS[view], "event_timestamp"),
        time="event_timestamp",
        known="content_known_at",
        every=SILENCE.get(view),
        ranges=FEATURE_RANGES.get(view, {}),
        nulls=dict.fromkeys((*FEATURE_KEYS[view], "event_timestamp", "content_known_at"), 0.0),
    )
    return Table(
        feature_table(USE_CASE, view),
        build,
        expected,
        None if back is None else calendar,
        {source: back},
        appearance(features_group(USE_CASE), VIEWS[view].description, VIEWS[view].tags()),
        feature_columns(view),
        code=[f"{feature_tables.__name__}:{view}"],
    )


def appearance(group: str, description: str, tags: dict[str, str]) -> dict[str, Any]:
    """How a table shows in the UI."""
    return {
        "group_name": group,
        "kinds": {"polars", "parquet"},
        "owners": [OWNER],
        "tags": tags,
        "description": description,
    }
