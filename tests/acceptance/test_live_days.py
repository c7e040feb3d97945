"""A shop lives for twenty days under the real daemon by a simulated wall clock, and nobody touches it; then it is off for days.

The sensors of a use case with `clock: wall` are on from the start. What is asserted is read from the lake, the runs and
the audit log alone.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from fastapi.testclient import TestClient

from mlops_assets.local.servers import prepare_dagster_home
from mlops_assets.stages.label_state import STATE
from mlops_assets.stages.reporting import FIRST
from mlops_assets.stages.skew_replay import replay
from resources.clock import Clock
from resources.local import local_resources
from resources.moments import read_moment
from resources.serving.hosting import http_application
from resources.settings import Settings, settings
from tests.acceptance.commands import environment
from tests.acceptance.dagster_server import ENDED, Dagster, dagster_dev, wait
from tests.acceptance.live_shop import A_DAY, AT_ONCE, Files, Pace, names, wait_while_it_moves, write_use_case
from tests.acceptance.state import tracking_of

BEGUN, LIVED, OFF = 16, 20, 10
"""Days before the machine is switched on for the first time, days it lives then, days it is off after these."""

STARTED = read_moment(f"{names(BEGUN, 1)[0]}T00:30:00+00:00")
MODEL, INGEST, SCORE, RETRAIN = "parcel_back", "ingest_shop", "parcel_back_partition", "parcel_back_retrain"
JOBS = (INGEST, SCORE, RETRAIN)
PATIENCE = 3600
pytestmark = pytest.mark.nightly
GRADES = ("A", "B", None, "new", "never seen")


@dataclass
class Shop:
    """The folder, the state and the raw files, and the runs that Dagster told of when it was stopped."""

    home: Path
    folder: Path
    files: Files
    pace: Pace
    variables: dict[str, str]
    runs: list[dict[str, Any]] = field(default_factory=list)
    days: int = BEGUN

    @property
    def settings(self) -> Settings:
        return settings(self.variables)

    @property
    def resources(self) -> dict[str, Any]:
        return local_resources(self.settings)

    def names(self) -> list[str]:
        return names(0, self.days)

    def live(self, port: int, days: int) -> None:
        """Switch everything on, bring raw files until there are `days` more, and off again once nothing is left to do."""
        self.days += days
        clock = Clock.of(self.settings)

        def settled(dagster: Dagster) -> bool:
            self.pace.follow(self.oldest())
            self.files.follow(clock.now(), self.days - 1)
            if self.files.written < self.days or not _labels_are_in(self):
                return False
            self.runs = dagster.runs()
            return all(run["status"] in ENDED for run in self.runs) and self.is_quiet(dagster)

        with dagster_dev(port, self.variables, self.home.parent / f"dagster-{self.days}.log") as dagster:
            wait_while_it_moves(lambda: settled(dagster), self.moved, f"all of {self.days} days is done")

    def reported(self) -> list[str]:
        """The days that were reported on; not one whose report is being written at this moment."""
        lake, table = self.resources["lake"], f"{MODEL}/performance"
        return [day for day in lake.partitions(table) if lake.described(table, day)]

    def oldest(self) -> int | None:
        """The oldest day that is not reported on, counted from 0."""
        there = set(self.reported())
        return next((number for number, day in enumerate(self.names()) if day not in there), None)

    def moved(self) -> tuple[int, ...]:
        """How far everything is."""
        return self.files.written, len(self.reported()), _complete(self)

    def is_quiet(self, dagster: Dagster) -> bool:
        """Whether the newest tick of each sensor found nothing to ask for."""
        sensors = (f"score_{MODEL}_when_features_arrive", f"retrain_{MODEL}_on_evidence")
        ticks = [dagster.ticks(name) for name in (*sensors, "ingest_shop_when_a_partition_is_over")]
        return all(found and found[0]["status"] == "SKIPPED" for found in ticks)


def _complete(shop: Shop) -> int:
    """How many days are reported on with all their labels."""
    lake = shop.resources["lake"]
    notes = [lake.manifest(f"{MODEL}/performance", day).notes or {} for day in shop.reported()]
    return sum(one[STATE]["complete"] for one in notes)


def _labels_are_in(shop: Shop) -> bool:
    return shop.reported() == shop.names() and _complete(shop) == shop.days


@contextmanager
def variables_of(shop: Shop) -> Iterator[None]:
    """This process's environment as that of the shop's, for what loads its definitions here."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in shop.variables.items():
            patch.setenv(name, value)
        yield


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory, free_port: Callable[[], int]) -> Shop:
    """Twenty days from an empty state, with the sixteen before them to catch up on."""
    base = tmp_path_factory.mktemp("live")
    folder = write_use_case(base / "shop")
    more = {
        "MLOPS_USE_CASES": str(folder),
        "SHOP_DATA": str(base / "data"),
        "DAGSTER_HOME": str(base / "home" / "dagster"),
    }
    variables = environment(base / "home", base / "data") | more
    shop = Shop(base / "home", folder, Files(base / "data"), Pace(base / "home", STARTED), variables)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DAGSTER_HOME", "")
        prepare_dagster_home(shop.settings)
    shop.live(free_port(), LIVED)
    return shop


def of_job(shop: Shop, job: str) -> list[dict[str, Any]]:
    """Runs of a job, oldest first."""
    return [run for run in reversed(shop.runs) if run["jobName"] == job]


def most_at_once(runs: list[dict[str, Any]]) -> int:
    """How many were asked for and not at their end, at the moment of the most."""
    spans = [(run["creationTime"], run["endTime"]) for run in runs]
    return max(sum(begun <= at < ended for begun, ended in spans) for at, _ in spans)


def assert_every_day_was_lived(shop: Shop) -> None:
    """Ingested once, scored, reported, labels folded in; no run failed and none was doubled."""
    lake = shop.resources["lake"]
    assert {run["status"] for run in shop.runs} == {"SUCCESS"}
    assert {run["jobName"] for run in shop.runs} == {*JOBS}
    keys = [(run["tags"]["dagster/sensor_name"], run["tags"]["dagster/run_key"]) for run in shop.runs]
    assert len(keys) == len(set(keys)), "a run was doubled, or somebody else than a sensor asked for one"
    ingested = [run["tags"]["dagster/partition"] for run in of_job(shop, INGEST)]
    assert sorted(ingested) == shop.names()
    assert most_at_once(of_job(shop, INGEST)) <= AT_ONCE
    scored = Counter(run["tags"]["dagster/partition"] for run in of_job(shop, SCORE))
    assert [*sorted(scored)] == shop.names()
    for day in shop.names():
        notes = lake.manifest(f"{MODEL}/performance", day).notes or {}
        report = lake.read(f"{MODEL}/performance", [day]).row(0, named=True)
        first = notes[FIRST]
        # Once for its first report, and again for each time that labels came: a day's come within a day.
        assert scored[day] == 1 if first["not_yet_known"] == 0 else 2 <= scored[day] <= 3
        assert report["rows"] == report["labelled"] == A_DAY and report["not_yet_known"] == 0
        assert lake.read("shop/orders", [day]).height == A_DAY
        scores = lake.read(f"{MODEL}/predictions", [day])
        assert scores["order_id"].is_unique().all()


def test_every_day_is_ingested_scored_reported_and_its_labels_are_folded_in(lived):
    assert_every_day_was_lived(lived)
    lake = lived.resources["lake"]
    firsts = [lake.manifest(f"{MODEL}/performance", day).notes[FIRST] for day in lived.names()]
    assert any(first["labelled"] == 0 for first in firsts), "no day was reported on before its labels came"
    served = lake.read(f"{MODEL}/predictions")
    assert served.height > 5 * A_DAY
    judged = lake.read(f"{MODEL}/performance").filter(pl.col("scored") > 0)
    assert judged["auc"].is_not_null().any()


def test_the_model_is_trained_again_and_each_time_the_record_says_what_came_of_it(lived):
    retrained = of_job(lived, RETRAIN)
    triggers = [run["tags"]["mlops/trigger"] for run in retrained]
    assert triggers[0] == "first_model" and len(triggers) >= 2
    weeks = [run["tags"]["mlops/partition"] for run in retrained]
    assert len(weeks) == len(set(weeks)) and all(run["tags"]["mlops/reason"] for run in retrained)
    audit = lived.resources["audit"]
    assert audit.verify(tracking_of(lived.home).anchors()).problem is None
    evaluated = list(audit.entries(MODEL, ("evaluated",)))
    assert len(evaluated) == len(retrained) and all(entry.why for entry in evaluated)
    promoted = list(audit.entries(MODEL, ("promoted",)))
    assert len(promoted) == sum(entry.evidence["passed"] for entry in evaluated) >= 1
    champion = tracking_of(lived.home).champion(MODEL)
    assert champion is not None and champion.number == promoted[-1].version
    assert all(entry.moment is not None and entry.moment > STARTED for entry in promoted)


def test_requests_are_answered_as_of_their_arrival_and_replayed_without_a_difference(lived):
    clock = Clock.of(lived.settings)
    with variables_of(lived):
        app = http_application(lived.settings)
        asked = [{"shop": f"shop {n}", "amount": 40.0 + n, "grade": grade} for n, grade in enumerate(GRADES)]
        with TestClient(app, base_url="http://127.0.0.1") as http:
            moments = []
            for one in asked:
                before = clock.now()
                found = http.post(f"/predict/{MODEL}", json=one)
                assert found.status_code == 200, found.text
                moments.append((before, read_moment(found.json()["as_of"]), clock.now()))
                assert 0 < found.json()["probability"] < 1
        assert all(before <= as_of <= after for before, as_of, after in moments)
        wait(lambda: _logged(lived).height >= len(asked), "the requests are logged", 60)
        log, parts = _logged(lived), lived.resources
        store = parts["feature_store"].of("shop")
        replayed = replay(log, parts["serving_log"].definitions(MODEL), store, parts["lake"])
    assert not replayed.refused
    assert replayed.cells.is_empty(), replayed.by_verdict
    assert replayed.compared.total() > 0


def _logged(shop: Shop) -> pl.DataFrame:
    return shop.resources["serving_log"].read(MODEL, 1000)


def test_a_machine_that_was_off_for_days_catches_up_the_oldest_first(lived, free_port):
    clock = Clock.of(lived.settings)
    before = {run["runId"] for run in lived.runs}
    gone = read_moment(f"{names(lived.days + OFF, 1)[0]}T00:30:00+00:00")
    wait(lambda: clock.now() > gone, "the clock runs on while the machine is off", PATIENCE)
    lived.live(free_port(), OFF)
    assert_every_day_was_lived(lived)
    later = [run for run in of_job(lived, INGEST) if run["runId"] not in before]
    asked = [run["tags"]["dagster/partition"] for run in later]
    assert asked == names(BEGUN + LIVED, OFF), "not in order, or not each once"
