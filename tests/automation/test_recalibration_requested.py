"""The retrain sensor asks for a recalibration where scores stay off, also before the held-out days, and nothing asks for a training."""

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from mlops_assets.automation.jobs import model_jobs, recalibrate_job_name
from mlops_assets.automation.sensors import decision_now
from mlops_assets.automation.trainings import training_of
from mlops_assets.automation.tries import Order
from mlops_assets.kit.run_tags import TRIGGER_TAG
from mlops_assets.spec.model import ModelSpec
from mlops_assets.stages.judging import attempt_name
from resources.lake.lake import Lake
from resources.records.documents import save_record
from tests import record_samples
from tests.pumps.project import SPEC, WEEKS

NAMES = WEEKS.names()
RULES = {"cool_down_days": 14, "max_age_days": 42}
ON = ModelSpec.model_validate(SPEC.model_dump() | {"retrain": {**RULES, "recalibrate": True}})
OFF = ModelSpec.model_validate(SPEC.model_dump() | {"retrain": RULES})


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    """A model that was trained at the end of the third week, and three weeks in which its scores are too low."""
    lake = Lake(root=str(tmp_path))
    trained(lake, NAMES[2], "age")
    for name in NAMES[3:6]:
        report(lake, name, 0.001)
    return lake


def trained(lake: Lake, name: str, trigger: str) -> None:
    now = WEEKS.partition(name).end.isoformat()
    record = record_samples.attempt(week=name, now=now, trigger=trigger)
    save_record(lake, attempt_name(SPEC, name), record)


def report(lake: Lake, name: str, p: float, **changes: Any) -> None:
    numbers = {"scored": 300, "log_loss": 0.5, "model_version": 1}
    tests = {"calibration_in_the_large_p": p, "calibration_slope_p": 0.8}
    lake.write(f"{SPEC.name}/performance", pl.DataFrame([{**numbers, **tests, **changes}]), name)
    lake.write(f"{SPEC.name}/drift", pl.DataFrame({"column": ["vibration"]}), name, notes={})


def test_it_is_asked_for_where_the_spec_says_so_and_the_run_carries_the_trigger(lake):
    partition, decision = decision_now(ON, lake)
    assert (partition, decision.retrain, decision.trigger) == (NAMES[5], True, "calibration")
    asked = training_of(ON, lake, partition, decision.reason, decision.trigger, 0)
    assert asked.request(ON)(Order(NAMES[5], asked.basis), 1).tags[TRIGGER_TAG] == "calibration"
    assert decision_now(OFF, lake)[1].trigger == "none"


def test_one_week_alone_and_weeks_that_the_gate_will_judge_by_ask_for_nothing(lake):
    report(lake, NAMES[5], 0.6)
    assert decision_now(ON, lake)[1].trigger == "none"
    report(lake, NAMES[5], 0.001)
    for name in NAMES[3:5]:
        report(lake, name, 0.6)
    assert decision_now(ON, lake)[1].trigger == "none"


def test_after_a_recalibration_there_is_a_cool_down_and_the_trees_are_as_old_as_before(lake):
    trained(lake, NAMES[5], "calibration")
    assert decision_now(ON, lake)[1].trigger == "cool_down"
    for name in NAMES[6:]:
        report(lake, name, 0.6)
    assert decision_now(ON, lake)[1].trigger == "age"


def test_a_classifier_has_the_job_that_does_it_by_hand_and_a_regression_has_none():
    jobs = {job.name: job for job in model_jobs(SPEC)}
    assert jobs[recalibrate_job_name(SPEC.name)].tags[TRIGGER_TAG] == "calibration"
    label, gate = (
        {"column": "stopped_minutes", "known_at": "known_at"},
        {"metric": "mae", "floors": {"mae": 50}},
    )
    minutes = ModelSpec.model_validate(
        SPEC.model_dump() | {"task": "regression", "label": label, "gate": gate}
    )
    assert recalibrate_job_name(SPEC.name) not in {job.name for job in model_jobs(minutes)}
