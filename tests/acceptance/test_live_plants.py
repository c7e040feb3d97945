"""Thirty weeks of the flights live, with everything that can be planted: what must happen, and what must not.

All of it is read from what the life left: its events, the lake and the audit log.
"""

from collections.abc import Callable
from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest

from mlops_assets.use_cases.flights.files import package_folder
from mlops_assets.use_cases.flights.live import LATENESS
from mlops_assets.use_cases.flights.tables import WEEKS
from resources.audit.log import Audit
from tests.acceptance.living import Life, lived
from tests.acceptance.state import tracking_of

pytestmark = pytest.mark.nightly
PARTITIONS, MODEL = 30, "flight_delay"
BAD, BROKEN, LATE, DRIFT = "2013-02-25", "2013-04-22", "2013-05-06", "2013-08-05"
PLANTS = {"bad-challenger": BAD, "broken-source": BROKEN, "late-data": LATE, "drift": DRIFT}
SHOWN_WHEN_DRIFTED = {"temp", "visib", "wind_speed"}
MOVED_MOST = "visib"
"""Of what has other units then, the column that leads all others from then on, and in no week before; seasons move the others too."""

AFTER_BAD = 5
"""Weeks until no challenger is trained or judged on features in which the bad labels have a share any more."""


@pytest.fixture(scope="module")
def life(tmp_path_factory: pytest.TempPathFactory, free_port: Callable[[], int]) -> Life:
    """Thirty weeks, from the one on in which a model answers."""
    words = [word for plant, day in PLANTS.items() for word in ("--plant", plant, "--on", day)]
    home = tmp_path_factory.mktemp("thirty") / "home"
    return lived(
        home,
        package_folder(),
        free_port,
        *("--partitions", str(PARTITIONS), "--every", "4", *words),
        seconds=4 * 3600,
    )


def weeks(life: Life) -> list[str]:
    return life.partitions("speed")


def in_week(life: Life, kind: str, week: str) -> list[dict[str, Any]]:
    """Events of a kind between the landing of the week before and the end of this one."""
    events, names = life.events(), weeks(life)
    index = names.index(week)
    bounds = [
        n
        for n, one in enumerate(events)
        if one["kind"] == "speed" and one["partition"] in names[max(index - 1, 0) : index + 1]
    ]
    first, last = (0, bounds[0]) if index == 0 else bounds
    return [one for one in events[first : last + 1] if one["kind"] == kind]


def champion_in(life: Life, week: str) -> int | None:
    """The version that scored a week."""
    return life.lake.read(f"{MODEL}/performance", [week])["model_version"][0]


def test_every_week_lands_once_in_order_is_ingested_once_and_reported_on(life):
    assert len(weeks(life)) == PARTITIONS
    assert life.partitions("landed") == life.partitions("partition in") == weeks(life)
    assert all(WEEKS.next(one) == other for one, other in pairwise(weeks(life)))
    assert {*weeks(life)} <= {*life.partitions("reported")}
    for landed in life.events("landed"):
        assert life.at(landed) >= WEEKS.partition(landed["partition"]).end + LATENESS


def test_no_request_of_a_customer_goes_without_an_answer_whatever_happens(life):
    traffic = life.events("traffic")
    assert [one["partition"] for one in traffic] == weeks(life)
    assert [one["words"] for one in traffic if one["others"]] == []
    assert all(one["answered"] > 0 for one in traffic)


def test_a_version_becomes_champion_only_where_the_gate_passed_and_the_record_is_whole(life):
    audit = Audit(folder=str(life.state / "audit"))
    assert audit.verify(tracking_of(life.state).anchors()).problem is None
    events = [one for one in life.events() if one["kind"] in ("judged", "promoted")]
    for before, one in pairwise(events):
        assert one["kind"] == "judged" or before["passed"], one["text"]
    assert all(one["text"] for one in life.events("retraining"))
    assert len(life.events("retraining")) == len(life.events("judged"))


def test_nothing_failed_but_what_was_planted(life):
    failed = [one for one in life.events("run") if one["status"] != "SUCCESS"]
    assert {(one["partition"], one["job"]) for one in failed} <= {(BROKEN, "ingest_flights")}
    assert {one["partition"] for one in life.events("failed")} <= {BROKEN}


def test_a_challenger_that_learned_from_bad_labels_is_judged_and_not_promoted(life):
    spoiled = [BAD, WEEKS.next(BAD)]
    planted = [one["partition"] for one in life.events("planted") if one["plant"] == "bad-labels"]
    assert planted == [week for week in spoiled if week in weeks(life)]
    after = [week for week in weeks(life) if week >= BAD][:AFTER_BAD]
    judged = [one for week in after for one in in_week(life, "judged", week)]
    assert judged and not any(one["passed"] for one in judged)
    assert not any(in_week(life, "promoted", week) for week in after)
    assert len({champion_in(life, week) for week in after}) == 1
    aucs = {one["partition"]: one["auc"] for one in life.events("reported") if one["partition"] in after}
    assert all(aucs[week] < 0.5 for week in spoiled) and all(
        aucs[week] > 0.65 for week in after if week not in spoiled
    )


def test_a_file_that_cannot_be_read_stops_its_week_alone_and_is_made_up_for_when_it_is_mended(life):
    planted, landed = life.events("planted", BROKEN)[0], life.events("landed", BROKEN)[0]
    failed = life.events("failed", BROKEN)
    assert failed and all(f"flights-{BROKEN}" in one["text"] for one in failed)
    (came,) = life.events("partition in", BROKEN)
    assert planted["at"] < failed[0]["at"] < landed["at"] < came["at"]
    assert life.lake.read("flights/raw", [BROKEN]).height == landed["rows"]
    between = [one for one in life.events() if planted["at"] <= one["at"] < came["at"]]
    assert not {one["kind"] for one in between} & {"promoted", "retraining", "reported"}


def test_rows_that_come_late_are_waited_for_told_of_and_ingested_whole(life):
    planted, landed = life.events("planted", LATE)[0], life.events("landed", LATE)[0]
    (came,) = life.events("partition in", LATE)
    assert life.at(landed) - life.at(planted) >= timedelta(days=2, hours=23)
    waiting = [one for one in life.events("waiting") if f"flights/raw {LATE} is late since" in one["text"]]
    alarms = life.events("alarm", LATE)
    assert waiting and {one["table"] for one in alarms} == {"flights/raw", "flights/weather"}
    assert all(planted["at"] < one["at"] < landed["at"] < came["at"] for one in (waiting[0], *alarms))
    assert life.lake.read("flights/raw", [LATE]).height == landed["rows"]
    runs = [one for one in life.events("run") if one["partition"] == LATE and one["job"] == "ingest_flights"]
    assert [one["status"] for one in runs] == ["SUCCESS"]


def test_other_units_are_seen_as_drift_from_the_first_week_on_and_the_weeks_go_on(life):
    drifted = [week for week in weeks(life) if week >= DRIFT]
    told = {one["partition"]: one for one in life.events("drift")}
    assert {*drifted} <= {*told}
    assert all({*told[week]["columns"]} >= SHOWN_WHEN_DRIFTED for week in drifted)
    first = {week: one["columns"][0] for week, one in told.items()}
    assert {week for week, column in first.items() if column == MOVED_MOST} == {*drifted}
    assert all(champion_in(life, week) is not None for week in drifted)
