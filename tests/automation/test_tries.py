"""A week whose run failed is tried again, keeps nothing behind it from going on, and is named where it is given up."""

import tempfile
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from mlops_assets.automation.sensors import MOST_RUNS_A_TICK
from mlops_assets.automation.tries import FIRST_PAUSE, LONGEST_PAUSE, MOST_TRIES
from mlops_assets.automation.unreported import partitions_to_score
from mlops_assets.kit.run_tags import PARTITION_TAG, REPLAY_TAG, SENSOR_TAG
from mlops_assets.promotion.holds import pause, reinstate, resume, retire
from mlops_assets.stages.judging import attempt_name
from resources.lake.observed import partition_name
from resources.records.documents import save_record
from resources.serving.ray_serve import Endpoint
from tests import record_samples
from tests.flights.shortened import short_spec
from tests.generated import slow_cases
from tests.sensor_days import Days

SPEC = short_spec()


def weeks_of(runs: list[dg.DagsterRun]) -> list[str]:
    return [run.tags[PARTITION_TAG] for run in runs]


def waiting(days: Days) -> list[str]:
    return [week for week, _ in partitions_to_score(SPEC, days.lake)]


@pytest.fixture
def days(tmp_path: Path) -> Days:
    return Days.of(SPEC, tmp_path, 24)


def test_ten_weeks_that_fail_once_keep_neither_themselves_nor_the_fourteen_behind_them_from_being_scored(
    days,
):
    for run in (oldest := days.tick()):
        days.end(run)
    behind = days.tick()
    assert weeks_of(oldest) + weeks_of(behind) == waiting(days)[: 2 * MOST_RUNS_A_TICK]
    for run in behind:
        days.end(run, "succeeded")
    days.later(minutes=2)
    while isinstance(asked := days.tick(), list):
        for run in asked:
            days.end(run, "succeeded")
    assert asked == "every ingested partition is scored" and waiting(days) == []


def test_the_skip_reason_names_the_failed_week_how_often_it_failed_and_when_it_is_tried_again(tmp_path):
    days = Days.of(SPEC, tmp_path, 1)
    for _ in range(3):
        [run] = days.tick()
        days.end(run)
        reason = days.tick()
        days.later(hours=1)
    assert (
        reason == f"2012-12-31 was tried 3 times, last by run {run.run_id}, next at 2026-01-05 02:04:00 UTC"
    )


def test_the_pauses_double_up_to_the_longest_and_after_the_last_try_a_person_is_asked_for(tmp_path):
    days = Days.of(SPEC, tmp_path, 1)
    asked = days.tick()
    for failed in range(MOST_TRIES - 1):
        days.end(asked[0])
        pause = min(FIRST_PAUSE * 2**failed, LONGEST_PAUSE).total_seconds()
        assert "next at" in days.later(seconds=pause - 1).tick()
        asked = days.later(seconds=1).tick()
    days.end(asked[0], "canceled")
    assert f"was tried {MOST_TRIES} times" in days.later(days=30).tick()
    assert "given up: mend the cause, then launch flight_delay_partition for it by hand" in days.tick()


def test_a_run_that_a_person_launched_gives_a_week_that_was_given_up_all_its_tries_again(tmp_path):
    days = Days.of(SPEC, tmp_path, 1)
    for _ in range(MOST_TRIES):
        days.end(days.later(hours=5).tick()[0])
    assert "given up" in days.tick()
    mine = days.by_hand("2012-12-31")
    assert days.tick() == f"2012-12-31 is in progress (run {mine.run_id})"
    days.end(mine)
    assert weeks_of(days.tick()) == ["2012-12-31"]


def test_a_week_that_is_given_the_content_it_had_before_is_scored_on_it_again(tmp_path):
    days = Days.of(SPEC, tmp_path, 1)
    for content in ("a" * 64, "b" * 64, "a" * 64):
        days.ingest("2012-12-31", content)
        days.end(days.tick()[0], "succeeded")
        assert waiting(days) == []


def test_a_week_whose_rows_to_predict_were_corrected_is_scored_again_though_its_features_are_as_they_were(
    tmp_path,
):
    days, week, table = Days.of(SPEC, tmp_path, 2), "2012-12-31", SPEC.prediction.table

    def join() -> None:
        made_of = {partition_name(table, week): days.lake.manifest(table, week).sha256}
        days.lake.write(f"{SPEC.name}/training_set", pl.DataFrame({"row": [1]}), week, made_of=made_of)

    for run in days.tick():
        days.end(run, "succeeded")
    join()
    assert waiting(days) == []
    days.lake.write(table, pl.DataFrame({"row": [2]}), week)
    assert waiting(days) == [week] and weeks_of(days.tick()) == [week]
    join()
    assert waiting(days) == []


def test_a_week_that_another_run_is_making_is_not_asked_for(tmp_path):
    days = Days.of(SPEC, tmp_path, 3)
    selection = [dg.AssetKey([SPEC.name, "drift"])]
    tags = {
        "dagster/asset_partition_range_start": "2012-12-31",
        "dagster/asset_partition_range_end": "2013-01-07",
    }
    days.launch("__ASSET_JOB", dg.RunRequest(tags=tags, asset_selection=selection))
    assert weeks_of(days.tick()) == ["2013-01-14"]


def test_a_replay_that_is_started_again_does_not_wait_for_what_failed_in_it(tmp_path):
    days = Days.of(SPEC, tmp_path, 1)
    [run] = days.tick()
    days.instance.add_run_tags(run.run_id, {REPLAY_TAG: "true"})
    days.end(run)
    assert weeks_of(days.tick()) == ["2012-12-31"]


def test_while_a_replay_works_alone_on_the_state_a_sensor_asks_for_nothing_and_says_for_whom_it_waits(
    tmp_path, monkeypatch
):
    days = Days.of(SPEC, tmp_path, 2)
    monkeypatch.setattr(type(days.lake), "worked_on", lambda lake: "a replay, process 7")
    assert days.tick().startswith("a replay, process 7 is at work on this state alone")
    monkeypatch.undo()
    assert len(days.tick()) == 2


@pytest.fixture
def untrained(tmp_path: Path) -> Days:
    """Five weeks that are all reported on, of a model that was never trained."""
    days = Days.of(SPEC, tmp_path, 5)
    for week in waiting(days):
        days.report(week)
    return days


def test_a_training_that_failed_is_tried_again_in_the_same_week(untrained):
    [run] = untrained.retrain()
    assert "is in progress" in untrained.retrain()
    untrained.end(run)
    assert "was tried 1 time" in untrained.retrain()
    [again] = untrained.later(minutes=2).retrain()
    assert again.tags["mlops/reason"] == run.tags["mlops/reason"]


def test_a_training_waits_for_a_week_that_will_be_tried_again_and_goes_on_without_one_that_was_given_up(
    untrained,
):
    untrained.ingest("2013-01-07", "c" * 64)
    for _ in range(MOST_TRIES - 1):
        untrained.end(untrained.later(hours=5).tick()[0])
        assert "It waits for 2013-01-07" in untrained.retrain()
    untrained.end(untrained.later(hours=5).tick()[0])
    assert isinstance(untrained.retrain(), list)


def judged(days: Days, promote: bool, final: Any = None) -> None:
    facts = {"week": "2013-01-28", "promote": promote, "final": final, "reason": "age", "trigger": "age"}
    save_record(days.lake, attempt_name(SPEC, "2013-01-28"), record_samples.attempt(**facts))


def test_a_promotion_that_was_cut_off_is_finished_and_nothing_is_trained_for_it(untrained):
    [run] = untrained.retrain()
    judged(untrained, promote=True)
    untrained.end(run)
    assert "was tried 1 time" in untrained.retrain()
    [rest] = untrained.later(minutes=2).retrain()
    assert rest.asset_selection == {dg.AssetKey([SPEC.name, part]) for part in ("deployment", "card")}
    judged(untrained, promote=True, final={"version": 2})
    untrained.end(rest, "succeeded")
    assert "inside the cool-down" in untrained.retrain()


@pytest.mark.parametrize(("promote", "how"), [(False, "failed"), (True, "succeeded")])
def test_a_challenger_that_was_rejected_or_waits_for_a_person_is_left_alone(untrained, promote, how):
    [run] = untrained.retrain()
    judged(untrained, promote)
    untrained.end(run, how)
    assert "inside the cool-down" in untrained.later(days=1).retrain()


def hold(days: Days, put: Any, model: str | None = None) -> None:
    put(days.audit, Endpoint(folder=f"{days.lake.root}-serving"), model, "ada", "numbers are wrong")


@pytest.mark.parametrize("model", [None, SPEC.name])
def test_under_a_pause_weeks_are_scored_and_nothing_is_retrained_with_who_why_and_since_when(days, model):
    for run in days.tick():
        days.end(run, "succeeded")
    hold(days, pause, model)
    assert len(days.tick()) == MOST_RUNS_A_TICK
    said = days.retrain()
    assert said.startswith(
        f"{model or 'everything'} is paused: nothing is retrained or promoted. By ada since "
    )
    assert said.endswith("(entry 1 of the audit log): numbers are wrong")
    hold(days, resume, model)
    assert "is paused" not in str(days.retrain())


def test_a_pause_of_another_model_holds_nothing(untrained):
    hold(untrained, pause, "another")
    assert len(untrained.retrain()) == 1


def test_a_retired_models_sensors_rest_until_it_is_brought_back(untrained):
    hold(untrained, retire, SPEC.name)
    for said in (untrained.tick(), untrained.retrain()):
        assert said.startswith(f"{SPEC.name} is retired. By ada since ")
        assert f"`mlops retire {SPEC.name} --undo --why WHY` brings it back" in said
    hold(untrained, reinstate, SPEC.name)
    assert len(untrained.retrain()) == 1


@pytest.mark.parametrize(("put", "lift"), [(pause, resume), (retire, reinstate)])
def test_a_promotion_that_was_held_back_is_asked_for_once_when_the_hold_is_lifted(untrained, put, lift):
    [run] = untrained.retrain()
    model = None if put is pause else SPEC.name
    hold(untrained, put, model)
    judged(untrained, promote=True)
    untrained.end(run, "succeeded")
    assert " by ada" in untrained.retrain().lower()
    hold(untrained, lift, model)
    [rest] = untrained.retrain()
    assert rest.asset_selection == {dg.AssetKey([SPEC.name, part]) for part in ("deployment", "card")}
    untrained.end(rest, "succeeded")
    assert "inside the cool-down" in untrained.retrain()


@pytest.mark.parametrize("minutes", [-10, 10])
@pytest.mark.parametrize("failures", [1, 3])
def test_a_clock_that_jumps_by_minutes_between_tries_doubles_no_run_and_loses_no_week(
    tmp_path, minutes, failures
):
    days = Days.of(SPEC, tmp_path, 3)
    for _ in range(failures):
        asked = days.tick()
        assert weeks_of(asked) == waiting(days)
        for run in asked:
            days.end(run)
        days.later(minutes=minutes)
        while isinstance(days_asked := days.tick(), str):
            assert "next at" in days_asked
            days.later(minutes=1)
        assert len(days.unfinished()) == 3
        for run in days_asked:
            days.end(run)
        days.later(hours=5)
    for run in days.tick():
        days.end(run, "succeeded")
    assert waiting(days) == [] and days.unfinished() == []


def test_a_run_that_ended_years_ahead_by_another_machines_clock_is_not_waited_for(tmp_path):
    days = Days.of(SPEC, tmp_path, 1)
    [run] = days.tick()
    days.later(days=4000).end(run)
    assert weeks_of(days.later(days=-4000).tick()) == waiting(days)


class Weeks(RuleBasedStateMachine):
    """Whatever fails, is cancelled, is ingested again, launched by hand or deleted: every week is scored in the end."""

    @initialize()
    def ingested(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.days = Days.of(SPEC, Path(self.folder.name), 4)
        self.weeks = waiting(self.days)

    @rule()
    def tick(self) -> None:
        busy = weeks_of(self.days.unfinished())
        asked = self.days.tick()
        if isinstance(asked, list):
            assert not set(weeks_of(asked)) & set(busy)

    @precondition(lambda self: self.days.unfinished())
    @rule(data=st.data(), how=st.sampled_from(["failed", "failed", "canceled", "succeeded"]))
    def end(self, data: st.DataObject, how: str) -> None:
        self.days.end(data.draw(st.sampled_from(self.days.unfinished())), how)

    @rule(minutes=st.sampled_from([1, 5, 60, 300]))
    def wait(self, minutes: int) -> None:
        self.days.later(minutes=minutes)

    @rule(week=st.integers(0, 3), content=st.sampled_from("ab"))
    def ingest(self, week: int, content: str) -> None:
        self.days.ingest(self.weeks[week], content * 64)

    @rule(week=st.integers(0, 3))
    def launch_by_hand(self, week: int) -> None:
        self.days.by_hand(self.weeks[week])

    @rule(data=st.data())
    def delete(self, data: st.DataObject) -> None:
        if runs := self.days.instance.get_runs():
            self.days.instance.delete_run(data.draw(st.sampled_from(runs)).run_id)

    @invariant()
    def no_week_is_made_twice_at_once_by_the_sensor(self) -> None:
        ours = [run for run in self.days.unfinished() if SENSOR_TAG in run.tags]
        assert len(weeks_of(ours)) == len(set(weeks_of(ours)))

    def teardown(self) -> None:
        """The cause is mended: each run from now on succeeds, and what was given up is launched by a person."""
        if not hasattr(self, "days"):
            return
        asked: Any = []
        for _ in range(4):
            for run in self.days.unfinished():
                self.days.end(run, "succeeded")
            asked = self.days.later(hours=4).tick()
        for week in waiting(self.days):
            assert f"{week} was tried {MOST_TRIES} times" in asked
            self.days.end(self.days.by_hand(week), "succeeded")
        assert waiting(self.days) == []
        self.folder.cleanup()


TestWeeks = Weeks.TestCase
TestWeeks.settings = slow_cases(10, stateful_step_count=25)
