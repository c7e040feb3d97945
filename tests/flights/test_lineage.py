"""The column lineage is true: every raw column is changed, and what moves is what the catalogue says, no less and no more.

A column depends on another if changing that one alone, with all others held, changes its values for some key and time. A
row that comes or goes changes its counts from or to nothing, but not a mean that was unknown.
"""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import zip_longest
from pathlib import Path
from random import Random

import polars as pl
import pytest

from mlops_assets.ml.tables import Column
from mlops_assets.stages.training_columns import training_columns
from mlops_assets.use_cases.flights import feature_tables, ingest
from mlops_assets.use_cases.flights.columns import RAW, feature_columns
from mlops_assets.use_cases.flights.features.catalogue import VIEWS
from mlops_assets.use_cases.flights.request import entity_rows
from mlops_assets.use_cases.flights.schema import FEATURE_KEYS, FILES
from resources.features.store import FeatureStoreResource
from tests.flights import lakes, oracle, samples
from tests.flights.shortened import short_spec

START = datetime(2013, 3, 4, tzinfo=UTC)
END = START + timedelta(days=3)
QUIET = (10, 11, 66)
"""Worlds of few rows that between them show every dependency which a busy one hides."""

YEARS = timedelta(days=30 * 365)
Make = Callable[[pl.DataFrame, datetime, datetime], pl.DataFrame]
Moved = dict[str, set[str]]


def perturbed(frame: pl.DataFrame, column: str, seed: int) -> Iterator[pl.DataFrame]:
    """The frame with the values of one column exchanged, with new ones in some rows, and with nulls in some."""
    yield frame.with_columns(frame[column].shuffle(seed))
    yield renewed(frame, column, seed)
    some = chosen(frame, seed)
    yield frame.with_columns(pl.when(some == 0).then(None).otherwise(column).alias(column))


def renewed(frame: pl.DataFrame, column: str, seed: int) -> pl.DataFrame:
    """New values in two thirds of the rows; moments move by hours in some and by decades in others."""
    some, value = chosen(frame, seed), pl.col(column)
    dtype = frame.schema[column]
    if isinstance(dtype, pl.Datetime):
        moved = pl.when(some == 1).then(value + timedelta(hours=7)).otherwise(value)
        return frame.with_columns(pl.when(some == 0).then(shifted(column)).otherwise(moved).alias(column))
    new = {pl.String: pl.format("Z{}", value), pl.Boolean: ~value}.get(type(dtype), value + 17)
    return frame.with_columns(pl.when(some < 2).then(new.cast(dtype)).otherwise(value).alias(column))


def shifted(column: str) -> pl.Expr:
    """Decades away from what it is compared with: rows are asked for earlier, or known later."""
    return pl.col(column) - YEARS if column == "prediction_time" else pl.col(column) + YEARS


def chosen(frame: pl.DataFrame, seed: int) -> pl.Series:
    dice = Random(seed)
    return pl.Series([dice.randrange(3) for _ in range(frame.height)], dtype=pl.Int8)


def worlds(view: str) -> list[pl.DataFrame]:
    """Raw rows of a view's source: busy ones, in which every value matters, and quiet ones, in which every row does."""
    if VIEWS[view].source == "flights/weather":
        return [lakes.random_weather(seed) for seed in range(2)]
    if VIEWS[view].source == "flights/planes":
        return [lakes.some_planes()]
    busy = [oracle.random_flights(seed, datetime(2013, 2, 27), 9, 120) for seed in range(2)]
    quiet = [oracle.random_flights(seed, datetime(2013, 3, 3), 4, 6) for seed in QUIET]
    worlds = busy + quiet
    return [ingest.schedule(raw) for raw in worlds] if VIEWS[view].source == "flights/schedule" else worlds


def made(view: str) -> Make:
    """The function behind a view, with the window of a week even where it needs none."""
    if view == "plane":
        return lambda rows, start, end: feature_tables.plane(rows)
    return getattr(feature_tables, view)


def moved(make: Make, view: str) -> Moved:
    """Column of a feature table -> the raw columns that moved it in any world."""
    found: Moved = {name: set() for name in feature_columns(view)}
    for seed, raw in enumerate(worlds(view)):
        before, everything = make(raw, START, END), make(raw, START - 2 * YEARS, END + 2 * YEARS)
        for column in raw.columns:
            for other in perturbed(raw, column, seed):
                for name in differing(view, before, make(other, START, END), everything):
                    found[name].add(column)
    return found


def differing(view: str, before: pl.DataFrame, after: pl.DataFrame, everything: pl.DataFrame) -> set[str]:
    """Columns of a feature table that are not what they were.

    A key is another one only where it has a value that it had at no time; a moment, where it is there or gone.
    """
    keys = [*FEATURE_KEYS[view], "event_timestamp"]
    new = {key for key in FEATURE_KEYS[view] if set(after[key]) - set(everything[key])}
    moments = (
        {"event_timestamp"} if set(before["event_timestamp"]) != set(after["event_timestamp"]) else set()
    )
    values = [name for name in before.columns if name not in keys]
    both = before.join(after, on=keys, how="full", suffix="|", coalesce=True, nulls_equal=True)
    same = both.select(pl.col(name).eq_missing(pl.col(f"{name}|")).all() for name in values).row(
        0, named=True
    )
    return new | moments | {name for name in values if not same[name]}


def declared(columns: dict[str, Column]) -> Moved:
    return {name: {source for _, source in column.made_of} for name, column in columns.items()}


@pytest.mark.parametrize("view", VIEWS)
def test_a_feature_is_made_of_what_changes_it(view: str) -> None:
    assert moved(made(view), view) == declared(feature_columns(view))
    assert {table for c in feature_columns(view).values() for table, _ in c.made_of} == {VIEWS[view].source}


def test_a_feature_that_reads_one_more_column_is_noticed() -> None:
    def nosy(rows: pl.DataFrame, start: datetime, end: datetime) -> pl.DataFrame:
        far = rows.with_columns(arr_delay=pl.col("arr_delay") + pl.col("distance"))
        return feature_tables.carrier_record(far, start, end)

    found, said = moved(nosy, "carrier_record"), declared(feature_columns("carrier_record"))
    assert {name for name in said if found[name] != said[name]} == {
        "carrier_late_share_28d",
        "carrier_delay_28d",
    }


def test_a_feature_that_no_longer_reads_a_column_is_noticed() -> None:
    def blind(rows: pl.DataFrame, start: datetime, end: datetime) -> pl.DataFrame:
        return feature_tables.route_record(rows, start, end).with_columns(route_distance=pl.lit(1.0))

    found, said = moved(blind, "route_record"), declared(feature_columns("route_record"))
    assert said["route_distance"] - found["route_distance"] == {"distance"}


def test_raw_flights_are_made_of_the_airports_zones() -> None:
    lines = [samples.flight(**plan) for plan in oracle.random_plans(3, datetime(2013, 3, 4), 4, 60)]
    rows, zones = samples.typed(pl.DataFrame(lines)), airports()
    before = ingest.flights(rows, zones).sort("flight_id")
    found: dict[str, set[tuple[str, str]]] = {name: set() for name in RAW["flights/raw"]}
    for column in FILES["airports"]:
        after = ingest.flights(rows, zones.with_columns(zones[column].shuffle(3))).sort("flight_id")
        for name in before.columns:
            if not before[name].equals(after[name], null_equal=True):
                found[name].add(("flights/airports", column))
    assert found == {name: set(column.made_of) for name, column in RAW["flights/raw"].items()}
    others = (
        column
        for table in ("flights/weather", "flights/planes", "flights/airports")
        for column in RAW[table].values()
    )
    assert not any(column.made_of for column in others)


def airports() -> pl.DataFrame:
    """Every airport of the samples with something to tell apart in every column."""
    zones = samples.ZONES | samples.CARIBBEAN
    rows = [
        {
            "faa": faa,
            "name": f"{faa} field",
            "lat": i,
            "lon": -i,
            "alt": 10 * i,
            "tz": -i % 5,
            "dst": "AN"[i % 2],
            "tzone": zone,
        }
        for i, (faa, zone) in enumerate(zones.items())
    ]
    return pl.DataFrame(rows, schema=FILES["airports"])


Tables = dict[str, pl.DataFrame]
Sources = dict[str, set[tuple[str, str]]]
SPEC = short_spec("flight_delay")


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("lake")
    lakes.write(root, lakes.random_flights(5, 400), lakes.random_weather(5), lakes.some_planes())
    return root


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory, lake: Path) -> FeatureStoreResource:
    store = FeatureStoreResource(
        repository="mlops_assets.use_cases.flights.features",
        lake_root=str(lake),
        home=str(tmp_path_factory.mktemp("home")),
    )
    store.apply()
    return store


@pytest.fixture(scope="module")
def tables(lake: Path) -> Tables:
    """Every table that the join reads: the week's flights, and the feature tables in one file each."""
    found = {"flights/raw": lakes.random_flights(5, 400)}
    for view in VIEWS:
        files = sorted((lake / "flights" / "features" / view).glob("*.parquet"))
        found[f"flights/features/{view}"] = pl.concat([pl.read_parquet(file) for file in files])
        for file in files:
            file.unlink()
    return found


def joined(store: FeatureStoreResource, tables: Tables) -> pl.DataFrame:
    """The columns of the training set, rows in the order of the flights."""
    for name, table in tables.items():
        if name != "flights/raw":
            table.write_parquet(Path(store.lake_root) / name / "all.parquet")
    return store.historical(SPEC.feature_service, entity_rows(tables["flights/raw"]), SPEC.prediction.time)


def steps(tables: Tables, columns: Sources) -> list[set[tuple[str, str]]]:
    """Columns that are changed at once: those of the flights that move others each alone, and one of each feature table."""
    flights = {("flights/raw", name) for name in tables["flights/raw"].columns}
    copied = {pair for pair in flights if sum(pair in sources for sources in columns.values()) <= 1}
    names = [(table, frame.columns) for table, frame in tables.items() if table != "flights/raw"]
    together = zip_longest(*([(table, column) for column in columns] for table, columns in names))
    return [
        copied,
        *({pair} for pair in sorted(flights - copied)),
        *(set(filter(None, step)) for step in together),
    ]


def test_a_training_column_is_made_of_what_changes_it(store: FeatureStoreResource, tables: Tables) -> None:
    said = training_columns(SPEC, store.repository, entity_rows, tables["flights/raw"].columns)
    before = joined(store, tables)
    columns = {name: set(column.made_of) for name, column in said.items() if name in before.columns}
    assert set(store.feature_columns(SPEC.feature_service)) <= set(columns)
    for step in steps(tables, columns):
        other = dict(tables)
        for table, column in step:
            other[table] = renewed(other[table], column, 1)
        after = joined(store, other)
        changed = {name for name in columns if not before[name].equals(after[name], null_equal=True)}
        assert changed == {name for name, sources in columns.items() if sources & step}, step
