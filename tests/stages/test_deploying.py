"""What is deployed has passed the gate: the newest challenger, by the record of its own evaluation."""

import pytest

from mlops_assets.stages.deploying import passed_gate
from mlops_assets.stages.judging import attempt_name
from resources.lake.lake import Lake
from resources.records.documents import save_record
from tests import record_samples
from tests.pumps.project import SPEC

WEEK = "2024-02-05"


@pytest.fixture
def lake(tmp_path) -> Lake:
    return Lake(root=str(tmp_path))


def on_record(lake: Lake, challenger: int, evaluation: int | None = None, promote: bool = True) -> None:
    """A challenger, and the evaluation of that one or another at the end of its week."""
    candidate = record_samples.challenger(week=WEEK, version=challenger)
    save_record(lake, f"{SPEC.name}/challenger", candidate)
    if evaluation is not None:
        verdict = "Judged by its floors."
        attempt = record_samples.attempt(evaluation, week=WEEK, promote=promote, verdict=verdict)
        save_record(lake, attempt_name(SPEC, WEEK), attempt)


def test_a_challenger_that_passed_is_deployed_by_its_own_evaluation(lake):
    on_record(lake, 3, 3)
    candidate, attempt = passed_gate(SPEC, lake)
    assert candidate.version == attempt.challenger.version == 3


def test_a_challenger_that_was_rejected_is_refused_with_the_verdict(lake):
    on_record(lake, 3, 3, promote=False)
    with pytest.raises(Exception, match=r"no challenger has passed the gate: Judged by its floors\."):
        passed_gate(SPEC, lake)


@pytest.mark.parametrize("evaluation", [None, 2])
def test_a_challenger_is_refused_that_was_not_judged_or_whose_week_judged_another(lake, evaluation):
    on_record(lake, 3, evaluation)
    with pytest.raises(Exception, match="challenger 3 was not judged yet"):
        passed_gate(SPEC, lake)


def test_without_a_challenger_the_asset_that_makes_one_is_named(lake):
    with pytest.raises(Exception, match=f"no challenger yet: materialize {SPEC.name}/model first"):
        passed_gate(SPEC, lake)
