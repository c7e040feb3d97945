"""`mlops live`: a clock that runs fast, partitions that land, customers that ask; what the platform did is read from its events and its state.

A shop of ten days here; the flights of thirty weeks, with everything that can be planted, in `test_live_plants.py`.
"""

from collections.abc import Callable
from datetime import timedelta

import polars as pl
import pytest

from mlops_assets.spec.calendar import Calendar
from resources.clock import Clock
from resources.settings import settings
from tests.acceptance.live_shop import FIRST
from tests.acceptance.living import Life, living
from tests.acceptance.parcels import MODEL, write_shop
from tests.acceptance.state import tracking_of

LIVED, LATENESS = 10, timedelta(hours=1)


@pytest.fixture(scope="module")
def life(tmp_path_factory: pytest.TempPathFactory, free_port: Callable[[], int]) -> Life:
    """Ten days of a shop, ended by Ctrl-C while the eleventh goes by."""
    base = tmp_path_factory.mktemp("live")
    folder = write_shop(base)
    more = {"MLOPS_USE_CASES": str(folder)}
    words = ("parcels", "--every", "2", "--requests", "4")
    with living(base / "home", base / "data", free_port, *words, **more) as going:
        going.wait(lambda: len(going.events("speed")) >= LIVED, f"{LIVED} days are lived", 900)
        assert going.end() == 0, going.printed()[-3000:]
    return going


def lived_days(life: Life) -> list[str]:
    return life.partitions("speed")[:LIVED]


def test_each_partition_lands_once_is_ingested_once_and_reported_on_before_the_next_lands(life):
    days = lived_days(life)
    calendar = Calendar(cadence="daily", start=FIRST)
    assert [calendar.next(day) for day in days[:-1]] == days[1:]
    for kind in ("landed", "partition in", "speed"):
        assert life.partitions(kind)[:LIVED] == days, kind
    order = [one["kind"] for one in life.events() if one["kind"] in ("landed", "speed")]
    assert order[: 2 * LIVED] == ["landed", "speed"] * LIVED
    assert {*days} <= {*life.partitions("reported")}


def test_a_partition_is_there_for_the_platform_only_once_it_is_over(life):
    calendar = Calendar(cadence="daily", start=FIRST)
    for landed in life.events("landed"):
        assert life.at(landed) >= calendar.partition(landed["partition"]).end + LATENESS
    newest = life.lake.partitions("parcels/orders")[-1]
    rows = life.lake.read("parcels/orders", [newest])
    assert rows["ordered_at"].max() < calendar.partition(newest).end
    held_back = pl.read_parquet(life.state / "source" / "orders" / "*.parquet")
    assert held_back["ordered_at"].max() == rows["ordered_at"].max()


def test_the_model_is_trained_again_by_its_sensors_and_the_new_version_answers_customers(life):
    retrained, promoted = life.events("retraining"), life.events("promoted")
    assert len(retrained) >= 2 and all(
        one["trigger"] in ("age", "first_model", "performance") for one in retrained
    )
    assert promoted and len(promoted) <= len(life.events("judged"))
    champion = tracking_of(life.state).champion(MODEL)
    assert champion is not None and champion.number == promoted[-1]["version"]
    answers = [one["version"] for one in life.events("answers")]
    assert answers[-1] == str(champion.number) and len(answers) == len({*answers})


def test_customers_are_answered_all_the_time(life):
    traffic = life.events("traffic")
    answered = sum(one["answered"] for one in traffic)
    assert answered >= LIVED * 4
    others = [one["others"] for one in traffic if one["others"]]
    assert all({*one} == {"no model yet"} for one in others)
    first = next(n for n, one in enumerate(traffic) if one["answered"])
    assert not any(one["others"] for one in traffic[first + 1 :])


def test_no_run_failed_and_the_screen_says_how_fast_time_went_by(life):
    assert life.events("failed") == []
    assert {one["status"] for one in life.events("run")} == {"SUCCESS"}
    assert all(one["speed"] > 100 for one in life.events("speed")[:LIVED])
    printed = life.printed()
    for line in (
        "Dagster   http://127.0.0.1:",
        "Endpoint  http://127.0.0.1:",
        "times as fast as a clock",
        "is champion",
    ):
        assert line in printed


def test_ctrl_c_leaves_a_state_to_look_at_whose_clock_stands(life):
    assert f"Look at it: MLOPS_HOME={life.state}" in life.printed()
    clock = Clock.of(settings({"MLOPS_HOME": str(life.state)}))
    assert clock.is_simulated and clock.now() == clock.now()
    assert not (life.home / "lake").exists(), "the user's own state was touched"
