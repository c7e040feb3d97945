"""What the retrain sensor asks for around a roll-out: nothing while it is under way, and the challenger that waited once it has ended."""

from pathlib import Path

import dagster as dg
import pytest

from mlops_assets.promotion.rollout_states import newest, put
from mlops_assets.stages.judging import attempt_name
from resources.records.documents import save_record
from resources.records.rollout import Promise, Rollout
from tests import record_samples
from tests.flights.shortened import short_spec
from tests.sensor_days import Days

SPEC = short_spec(rollout={"answers_influence_labels": False})
WEEK, MOMENT = "2013-01-28", "2013-02-04T05:00:00+00:00"
IN_TURN = ("evaluation", "deployment", "card")


@pytest.fixture
def days(tmp_path: Path) -> Days:
    """Five weeks that are reported on; a roll-out of version 2 is under way, and challenger 3 has passed at their end."""
    days = Days.of(SPEC, tmp_path, 5)
    for week in SPEC.calendar.names()[:5]:
        days.report(week)
    begun(days, 1)
    save_record(days.lake, attempt_name(SPEC, WEEK), passed())
    return days


def passed():
    facts = {"week": WEEK, "promote": True, "final": None, "reason": "age", "trigger": "age"}
    return record_samples.attempt(**facts)


def begun(days: Days, number: int, evaluation: str = "another") -> None:
    assert SPEC.rollout is not None
    promise = Promise(kind="promoted", by="ada", why="it passed", evidence={"evaluation": evaluation})
    state = Rollout(
        model=SPEC.name,
        number=number,
        version=2,
        champion=1,
        origin="promotion",
        plan=SPEC.rollout.model_dump(mode="json"),
        promise=promise,
        started=MOMENT,
        since=MOMENT,
    )
    put(days.lake, state, None)


def over(days: Days, phase: str = "rolled_back") -> None:
    state = newest(days.lake, SPEC.name)
    assert state is not None
    put(days.lake, state.model_copy(update={"phase": phase}), state)


def asked(days: Days) -> dg.DagsterRun:
    [run] = days.retrain()
    assert run.asset_selection == {dg.AssetKey([SPEC.name, part]) for part in IN_TURN}
    return run


def test_it_waits_and_the_sensor_says_for_what(days):
    said = days.retrain()
    assert "passed the gate, and its turn comes when this has ended: the roll-out of version 2" in said
    assert "in step 1 of 4, shadow" in said and days.unfinished() == []


@pytest.mark.parametrize("phase", ["completed", "rolled_back", "aborted"])
def test_once_it_has_ended_the_challenger_is_judged_again_and_deployed_and_asked_for_once(days, phase):
    over(days, phase)
    days.end(asked(days), "succeeded")
    assert "inside the cool-down" in days.retrain()


def test_a_run_that_fails_is_tried_again_and_a_later_roll_out_is_waited_for_and_counted_anew(days):
    over(days)
    days.end(asked(days))
    assert "was tried 1 time" in days.retrain()
    run = asked(days.later(minutes=2))
    begun(days, 2)
    days.end(run, "succeeded")
    assert "its turn comes when this has ended" in days.retrain()
    over(days)
    days.end(asked(days), "succeeded")
    assert "inside the cool-down" in days.retrain()


def test_a_run_by_hand_while_it_was_under_way_does_not_stand_for_the_one_after_it(days):
    days.end(days.launch(f"{SPEC.name}_retrain", dg.RunRequest(tags={"mlops/partition": WEEK})), "succeeded")
    over(days)
    asked(days)


def test_a_deployment_that_was_killed_once_it_had_begun_its_own_rollout_is_completed(days):
    over(days)
    begun(days, 2, evaluation=passed().digest)
    asked(days)
