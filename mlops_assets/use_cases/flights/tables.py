"""The worked use case as assets: five raw tables, the feature tables made of them, and one job that ingests a week."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

import polars as pl

from mlops_assets.ml.tables import Expectation
from mlops_assets.spec.calendar import Calendar, Partition
from mlops_assets.spec.files import read_use_case
from mlops_assets.spec.names import feature_table, features_group, ingest_group
from mlops_assets.stages.errors import NotYetThereError, SourceError
from mlops_assets.stages.tables import Arrival, Table, TableError, nothing_else, recent
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
    SCHEDULE_LEAD,
    TABLES,
    TIME_COLUMNS,
)
from resources.lake.lake import Lake
from resources.settings import settings
from resources.use_case_folders import use_case_folder

USE_CASE = "flights"
WEEKS = read_use_case(use_case_folder(USE_CASE)).calendar
NIGHT = timedelta(hours=9)
SILENCE = {
    "flights/raw": NIGHT,
    "flights/schedule": NIGHT,
    "flights/weather": timedelta(hours=3),
    "weather": timedelta(hours=3),
}
"""Longest silence that is not a gap: no flight leaves New York at night, weather is observed every hour."""

LATENESS = timedelta(hours=6)
"""After the end of a week, until the flights that left before it have landed."""

AWAITED = {"flights/raw": SCHEDULE_LEAD, "flights/weather": timedelta()}
"""Tables whose rows are waited for, and how long after the start of a week one is that shows that they are there: of the
week's first day there are flights that are planned alone."""

READ: dict[str, tuple[str, ...]] = dict.fromkeys(("flights", "schedule"), ("flights", "airports"))
"""Which files a raw table is made of; the others are of their own file alone."""

ALWAYS = (
    *("carrier", "flight", "origin", "dest", "distance", "scheduled_departure", "scheduled_arrival"),
    *("cancelled", "diverted", "prediction_time", "outcome_known_at"),
)
SELDOM_MISSING = {
    "flights/schedule": dict.fromkeys(TABLES["flights/schedule"], 0.0),
    "flights/raw": dict.fromkeys(ALWAYS, 0.0) | {"tailnum": 0.05, "dep_delay": 0.25, "arr_delay": 0.3},
    "flights/weather": {"known_at": 0.0, "temp": 0.02, "wind_speed": 0.02, "visib": 0.02, "pressure": 0.3},
}
DESCRIPTIONS = {
    "flights/raw": "Flights that were scheduled to leave New York in the week, with what became of them; times in UTC.",
    "flights/schedule": "Flights whose schedule became known in the week, a day before they are to leave; nothing of what became of them.",
    "flights/weather": "Hourly weather at the three New York airports; an observation is known an hour after its hour.",
    "flights/planes": "The aircraft registry: year, seats and engines by tail number.",
    "flights/airports": "Airports and their time zones, with the four Caribbean ones that the source lacks.",
}


def all_tables(calendar: Calendar = WEEKS) -> list[Table]:
    """Raw tables and feature tables, each after those that it is made from, cut by the use case's calendar."""
    raw = sorted(TABLES, key="flights/airports".__ne__)
    return [*(raw_table(name, calendar) for name in raw), *(table_of(view, calendar) for view in FEATURES)]


def raw_table(name: str, calendar: Calendar = WEEKS) -> Table:
    """`flights/raw`, `flights/schedule`, `flights/weather`, `flights/planes` or `flights/airports`."""
    time, short = TIME_COLUMNS.get(name), name.split("/")[1].replace("raw", "flights")
    read = READ.get(short, (short,))

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
        {"flights/airports": None} if "airports" in read and short != "airports" else {},
        appearance(ingest_group(USE_CASE), DESCRIPTIONS[name], {"domain": DOMAIN}),
        RAW[name],
        code=[f"{ingest.__name__}:{part}" for part in dict.fromkeys([short, *read, "read_table", "in_week"])],
        files=lambda: ingest.file_hashes(read, settings().data),
        arrival=arrival(name, short) if name in AWAITED else None,
    )


def arrival(name: str, short: str) -> Arrival:
    """How the sensor that ingests sees whether a week's rows are there; a week that was ingested is not read again."""

    def awaited(lake: Lake, span: Partition) -> NotYetThereError | None:
        with _as_source():
            times = getattr(ingest.tables(settings().data), short)[TIME_COLUMNS[name]]
        if times.is_between(span.start + AWAITED[name], span.end, closed="left").any():
            return None
        newest = times.filter(times < span.end).max()
        return NotYetThereError(
            f"the files of {short} end at {newest}, before the week does: put in those that reach {span.end}",
            "late",
            {"newest row": str(newest)},
        )

    def states(lake: Lake, since: datetime | None) -> list[list[str | int]]:
        with _as_source():
            return [[*state] for state in ingest.file_states(settings().data)]

    return Arrival(LATENESS, timedelta(days=1), states, awaited, nothing_else)


@contextmanager
def _as_source() -> Iterator[None]:
    """A file that is not as it must be is for the run to tell, and waited for by nobody."""
    try:
        yield
    except ingest.IngestError as error:
        raise SourceError(str(error)) from error


def table_of(view: str, calendar: Calendar = WEEKS) -> Table:
    """The table behind one feature view, stamped with the moment its content became known."""
    function: Callable[..., pl.DataFrame] = getattr(feature_tables, view)
    source = VIEWS[view].source
    back = feature_tables.LOOKBACK.get(view)

    def build(lake: Lake, span: Partition) -> pl.DataFrame:
        if back is None:
            return function(lake.read(source))
        _refuse_a_gap(lake, source, calendar, span, back)
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


def _refuse_a_gap(lake: Lake, table: str, calendar: Calendar, span: Partition, back: timedelta) -> None:
    """Raise TableError for a partition that was ingested without this table, by a release that did not have it."""
    read = calendar.covering(calendar.days_before(span.start, back / timedelta(days=1)), span.start)
    ingested = {*lake.partitions("flights/raw")} - {*lake.partitions(table)}
    if missing := [name for name in read if name in ingested]:
        raise TableError(
            f"{table} {missing[-1]} is not there, although flights/raw is: an earlier release ingested it. Materialize "
            f"{table} of all partitions, then what is made of it, the oldest partition first."
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
