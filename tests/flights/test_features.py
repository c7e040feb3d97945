from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops_assets.use_cases.flights import feature_tables, ingest
from mlops_assets.use_cases.flights.schema import FEATURE_KEYS, FEATURES, FILES
from tests.flights import oracle, samples

FIRST = datetime(2013, 3, 8)
START, END = datetime(2013, 3, 9, 5, tzinfo=UTC), datetime(2013, 3, 11, 4, tzinfo=UTC)
SEEDS = st.integers(0, 2**32)
TABLES = [name for name in FEATURE_KEYS if name not in ("weather", "plane")]


def flights(seed: int, days: int = 4, count: int = 70) -> pl.DataFrame:
    return oracle.random_flights(seed, FIRST, days, count)


def agrees(table: pl.DataFrame, raw: pl.DataFrame, prefix: str, expect: Callable, step: timedelta) -> None:
    """Every row equals the oracle's for that key and moment, and no row of the oracle's is missing."""
    keys = FEATURE_KEYS_OF[prefix]
    values = [c for c in table.columns if c not in (*keys, "event_timestamp", "content_known_at")]
    got = {
        (row[: len(keys)], row[len(keys)]): row[len(keys) + 1 :]
        for row in table.drop("content_known_at").rows()
    }
    wanted = {}
    for key, group in raw.group_by(keys):
        rows = group.to_dicts()
        for now in oracle.moments(START, END, step):
            found = expect(rows, now)
            if found is not None:
                wanted[(key, now)] = tuple(float32(found[v.removeprefix(f"{prefix}_")]) for v in values)
    assert got.keys() == wanted.keys()
    for name, row in wanted.items():
        assert got[name] == row, (name, values)


def float32(value: float | None) -> float | None:
    return pl.Series([value], dtype=pl.Float64).cast(pl.Float32)[0]


FEATURE_KEYS_OF = {
    "origin": ["origin"],
    "carrier": ["carrier", "origin"],
    "dest": ["dest"],
    "flight": ["carrier", "flight"],
}


@settings(max_examples=12)
@given(SEEDS)
def test_traffic_is_what_a_loop_over_all_flights_finds(seed: int) -> None:
    raw = flights(seed)
    half_hour = timedelta(minutes=30)
    agrees(feature_tables.origin_traffic(raw, START, END), raw, "origin", oracle.traffic, half_hour)
    agrees(feature_tables.carrier_traffic(raw, START, END), raw, "carrier", oracle.traffic, half_hour)
    agrees(feature_tables.dest_traffic(raw, START, END), raw, "dest", oracle.dest_traffic, half_hour)


@settings(max_examples=12)
@given(SEEDS)
def test_records_are_what_a_loop_over_all_flights_finds(seed: int) -> None:
    raw = oracle.random_flights(seed, datetime(2013, 2, 5), 34, 150)
    agrees(feature_tables.flight_record(raw, START, END), raw, "flight", oracle.record, timedelta(days=1))


@settings(max_examples=12)
@given(SEEDS)
def test_an_aircraft_is_where_it_was_last_seen(seed: int) -> None:
    raw = flights(seed)
    table = feature_tables.aircraft(raw, START - timedelta(days=3), END)
    for (tail,), group in raw.filter(pl.col("tailnum").is_not_null()).group_by(["tailnum"]):
        rows = group.to_dicts()
        for now in oracle.moments(START, END, timedelta(hours=1)):
            wanted = oracle.aircraft(rows, now)
            seen = table.filter((pl.col("tailnum") == tail) & (pl.col("event_timestamp") <= now)).tail(1)
            got = seen.select(
                "aircraft_status", "aircraft_delay", "aircraft_free_at", "aircraft_seen_at"
            ).rows()
            if wanted is None:
                assert not got
            else:
                status, delay, free, moment = wanted
                assert got == [(status, delay, int(free.timestamp()), int(moment.timestamp()))]


@settings(max_examples=12)
@given(SEEDS)
def test_the_schedule_counts_the_hour_and_its_neighbours(seed: int) -> None:
    raw = flights(seed)
    table = feature_tables.schedule(raw, START, END)
    plan = raw.with_columns(hour=pl.col("scheduled_departure").dt.truncate("1h"))
    for row in table.iter_rows(named=True):
        hour = datetime.fromtimestamp(row["departure_hour"], UTC)
        assert row["event_timestamp"] == hour + timedelta(hours=2) - timedelta(days=1)
        for name, shift in (("", 0), ("_before", -1), ("_after", 1)):
            there = plan.filter(origin=row["origin"], hour=hour + timedelta(hours=shift))
            assert row[f"schedule_departures{name}"] == there.height
    ahead = timedelta(hours=22)
    inside = plan.filter(pl.col("hour").is_between(START + ahead, END + ahead, closed="left"))
    assert table.height == inside.select("origin", "hour").n_unique()


@settings(max_examples=10)
@given(SEEDS, st.sampled_from(TABLES))
def test_a_week_cut_in_two_gives_the_same_rows(seed: int, name: str) -> None:
    raw = oracle.random_flights(seed, datetime(2013, 2, 5), 34, 150)
    make = getattr(feature_tables, name)
    keys = [*FEATURE_KEYS[name], "event_timestamp"]
    middle = START + timedelta(hours=19)
    parts = pl.concat([make(raw, START, middle), make(raw, middle, END)])
    assert parts.sort(keys).equals(make(raw, START, END).sort(keys))


@settings(max_examples=10)
@given(SEEDS, st.sampled_from(TABLES))
def test_nothing_enters_a_row_before_it_is_known(seed: int, name: str) -> None:
    table = getattr(feature_tables, name)(flights(seed), START, END)
    assert (table["content_known_at"] <= table["event_timestamp"]).all()
    keys = [*FEATURE_KEYS[name], "event_timestamp"]
    assert table.select(keys).is_unique().all()
    assert table.select(keys).equals(table.select(keys).sort(keys))


@pytest.mark.parametrize("name", list(FEATURE_KEYS))
def test_a_table_has_the_columns_and_types_it_promises_even_without_rows(name: str) -> None:
    raw = {"weather": sample_weather, "plane": sample_planes}.get(name, lambda: flights(1))()
    make = getattr(feature_tables, name)
    for rows in (raw, raw.clear()):
        table = make(rows) if name == "plane" else make(rows, START, END)
        assert dict(table.schema) == {k: v() if isinstance(v, type) else v for k, v in FEATURES[name].items()}


def test_weather_counts_an_hour_later() -> None:
    table = feature_tables.weather(sample_weather(), START, END)
    assert table["event_timestamp"].to_list() == [START, START + timedelta(hours=1)]
    assert table["temp"].to_list() == [41, 42]


def test_a_plane_is_known_all_along() -> None:
    assert feature_tables.plane(sample_planes()).select("tailnum", "plane_year", "plane_seats").rows() == [
        ("N1", 2001.0, 150.0)
    ]


def sample_weather() -> pl.DataFrame:
    hours = [START + timedelta(hours=h) for h in (-2, -1, 0)]
    return pl.DataFrame(
        {"origin": "EWR", "time_hour": h, "temp": 40.0 + i, "known_at": h + timedelta(hours=1)}
        | dict.fromkeys(
            ("dewp", "humid", "wind_dir", "wind_speed", "wind_gust", "precip", "pressure", "visib"), 1.0
        )
        for i, h in enumerate(hours)
    ).with_columns(pl.col("time_hour", "known_at").cast(pl.Datetime("us", "UTC")))


def sample_planes() -> pl.DataFrame:
    schema = FILES["planes"]
    return pl.DataFrame([{"tailnum": "N1", "year": 2001, "seats": 150}], schema=schema)


def test_an_overdue_flight_shows_until_it_leaves(tmp_path) -> None:
    line = samples.flight("2013-06-01 06:00", dep_delay=100, arr_delay=90)
    raw = ingest.tables(samples.write(tmp_path, [line])).flights
    start = datetime(2013, 6, 1, 8, tzinfo=UTC)
    table = feature_tables.origin_traffic(raw, start, start + timedelta(hours=4, minutes=30))
    shown = table.select(
        "event_timestamp", "origin_overdue", "origin_overdue_minutes", "origin_departures"
    ).rows()
    assert [(f"{t:%H:%M}", *rest) for t, *rest in shown] == [
        ("10:00", 1, 0, 0),
        ("10:30", 1, 30, 0),
        ("11:00", 1, 60, 0),
        ("11:30", 1, 90, 0),
        ("12:00", 0, 0, 1),
    ]
