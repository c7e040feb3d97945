"""Not one feature of a flight may depend on anything that became known after its prediction time.

Everything that was not yet known at a moment is changed in the raw files, the flights' own outcomes too; then
ingest, features and Feast's join run again, and every flight predicted by that moment must look the same.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from mlops_assets.use_cases.flights import ingest
from mlops_assets.use_cases.flights.request import entity_rows
from mlops_assets.use_cases.flights.schema import ORIGIN_ZONE, WEATHER
from resources.features.store import FeatureStoreResource
from tests.flights import lakes, oracle, samples

SERVICE = "flight_delay_v1"
FIRST, DAYS, FLIGHTS = datetime(2013, 3, 8), 5, 900
BEFORE_THE_DAY_ENDS = datetime(2013, 3, 11, 23, tzinfo=UTC)
"""Shortly before midnight UTC, when the daily tables get their next row."""

LONGEST_DELAY_IN_THE_AIR = timedelta(minutes=196)
"""No flight of the year landed later than this after its actual departure and the time it was scheduled to take: until
then one that has left may still arrive, or land elsewhere."""

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
DETECTABLE = (
    "weather",
    "origin_traffic",
    "carrier_traffic",
    "dest_traffic",
    "carrier_record",
    "route_record",
    "flight_record",
    "aircraft",
)
"""Tables in which three hours matter; the schedule is known a day ahead, and planes all along."""


@dataclass
class World:
    """Raw files, and where what is made of them lies."""

    root: Path
    plans: list[dict]
    observations: list[dict[str, str]]

    def store(self) -> FeatureStoreResource:
        return FeatureStoreResource(
            repository="mlops_assets.use_cases.flights.features",
            lake_root=str(self.root / "lake"),
            home=str(self.root / "feast"),
        )

    def tables(self) -> ingest.Tables:
        """What ingest makes of the files, once they are written."""
        planes = [{"tailnum": "N1", "year": "2001", "seats": "150"}]
        lines = [samples.flight(**plan) for plan in self.plans]
        folder = self.root / "raw"
        samples.write(folder, lines, self.observations, planes)
        return ingest.tables(folder)

    def features(self, until: datetime, moved: Mapping[str, timedelta] | None = None) -> pl.DataFrame:
        """Features of every flight predicted by `until`, through ingest, feature tables and Feast's join."""
        tables = self.tables()
        lakes.write(self.root / "lake", tables.flights, tables.weather, tables.planes, moved)
        flights = tables.flights.filter(pl.col("prediction_time") <= until)
        rows = entity_rows(flights.filter(pl.col("prediction_time") > until - 20 * HOUR)).sort("flight_id")
        joined = self.store().historical(SERVICE, rows, "prediction_time")
        return joined.select("flight_id", *self.store().feature_columns(SERVICE))


def observations(seed: int) -> list[dict[str, str]]:
    dice = Random(seed)
    start = FIRST.replace(tzinfo=UTC)
    return [
        samples.observation(start + hour * HOUR, origin, **{n: dice.randrange(90) for n in WEATHER})
        for origin in oracle.ORIGINS
        for hour in range(DAYS * 24)
    ]


def plans(seed: int) -> list[dict]:
    return oracle.random_plans(seed, FIRST, DAYS, FLIGHTS)


@pytest.fixture(scope="module")
def worlds(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two folders with the definitions applied: what was, and what might have come."""
    roots = (tmp_path_factory.mktemp("was"), tmp_path_factory.mktemp("might"))
    for root in roots:
        World(root, [], []).store().apply()
    return roots


def otherwise(plan: dict, now: datetime, dice: Random) -> dict | None:
    """The flight with all changed that was not known at `now`; None: a flight that was not yet scheduled is gone."""
    leaves = datetime.fromisoformat(plan["departs"]).replace(tzinfo=ZoneInfo(ORIGIN_ZONE)).astimezone(UTC)
    if leaves - DAY > now and dice.random() < 0.4:
        return None
    delays = departure(plan["dep_delay"], leaves, now, dice)
    lands = arrival(plan, leaves, delays, now, dice)
    tail = dice.choice(oracle.TAILS) if leaves - 2 * HOUR > now else plan["tailnum"]
    return plan | {"dep_delay": delays, "arr_delay": lands, "tailnum": tail}


def departure(delay: int | None, leaves: datetime, now: datetime, dice: Random) -> int | None:
    known = leaves <= now if delay is None else leaves + delay * MINUTE <= now
    if known:
        return delay
    if leaves > now and dice.random() < 0.3:
        return None
    return dice.randrange(600) + max(first_minute(leaves, now), -9)


def arrival(plan: dict, leaves: datetime, delay: int | None, now: datetime, dice: Random) -> int | None:
    lands, left = leaves + plan["minutes"] * MINUTE, plan["dep_delay"]
    if delay is None:
        return None
    if plan["arr_delay"] is not None and lands + plan["arr_delay"] * MINUTE <= now:
        return plan["arr_delay"]
    diverted = plan["arr_delay"] is None and left is not None
    if diverted and leaves + (left + plan["minutes"]) * MINUTE + LONGEST_DELAY_IN_THE_AIR <= now:
        return None
    if leaves + (delay + plan["minutes"]) * MINUTE + LONGEST_DELAY_IN_THE_AIR > now and dice.random() < 0.2:
        return None
    return dice.randrange(600) + max(first_minute(lands, now), -40)


def first_minute(planned: datetime, now: datetime) -> int:
    """The smallest delay with which something planned happens after `now`."""
    return int((now - planned) // MINUTE) + 1


def changed(world: World, root: Path, now: datetime, seed: int) -> World:
    """The same past, another future."""
    dice = Random(seed)
    flights = [other for plan in world.plans if (other := otherwise(plan, now, dice)) is not None]
    weather = [
        line | dict.fromkeys(WEATHER, str(dice.randrange(90)))
        if datetime.fromisoformat(line["time_hour"]) + HOUR > now
        else line
        for line in world.observations
    ]
    return World(root, flights, weather)


def a_prediction_time(world: World, near: datetime) -> datetime:
    """The prediction time of the flight predicted last before a moment."""
    times = world.tables().flights["prediction_time"]
    return times.filter(times <= near).max()  # type: ignore[return-value]


@pytest.mark.parametrize("seed", range(3))
def test_features_known_at_prediction_time(worlds: tuple[Path, Path], seed: int) -> None:
    was = World(worlds[0], plans(seed), observations(seed))
    near = BEFORE_THE_DAY_ENDS if seed == 0 else FIRST.replace(tzinfo=UTC) + Random(seed).uniform(1, 4) * DAY
    now = a_prediction_time(was, near)
    might = changed(was, worlds[1], now, seed)
    expected = was.features(now)
    assert expected.height > 50
    assert_frame_equal(might.features(now), expected, check_exact=True)


def test_what_comes_later_does_move_later_flights(worlds: tuple[Path, Path]) -> None:
    was = World(worlds[0], plans(1), observations(1))
    now = a_prediction_time(was, BEFORE_THE_DAY_ENDS)
    might = changed(was, worlds[1], now, 1)
    later = now + 30 * HOUR
    before, after = was.features(later), might.features(later)
    both = before.join(after, on="flight_id", suffix="_")
    columns = [
        c for c in before.columns if not c.startswith(("flight_id", "trip_", "plane_", "aircraft_years"))
    ]
    still = [c for c in columns if both.select(pl.col(c).eq_missing(pl.col(f"{c}_")).all()).item()]
    assert set(still) <= {"route_distance"}, f"{still} never moved, so that the test says nothing about them"


@pytest.mark.parametrize("table", DETECTABLE)
def test_an_event_timestamp_three_hours_early_is_found(worlds: tuple[Path, Path], table: str) -> None:
    was = World(worlds[0], plans(0), observations(0))
    now = a_prediction_time(was, BEFORE_THE_DAY_ENDS)
    might = changed(was, worlds[1], now, 0)
    early = {table: timedelta(hours=-3)}
    expected = was.features(now, early)
    with pytest.raises(AssertionError, match="are different"):
        assert_frame_equal(might.features(now, early), expected, check_exact=True)
