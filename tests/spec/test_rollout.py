"""The plan of a roll-out: what may be said of it, what is refused, and that no version's bytes follow from it."""

from datetime import timedelta
from itertools import pairwise

import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_assets.spec.decides import FIELDS, of_a_stage, spec_digest
from mlops_assets.spec.rollout import RolloutPlan
from tests.ml.conftest import parcel_spec

SPLIT = {"answers_influence_labels": True, "judge": "split", "by": ["depot"]}


def test_a_plan_says_whether_answers_influence_labels_and_all_else_has_a_default():
    with pytest.raises(pydantic.ValidationError, match=r"answers_influence_labels\n.*Field required"):
        RolloutPlan.model_validate({})
    plan = RolloutPlan.model_validate({"answers_influence_labels": False})
    assert plan.judge == "paired_shadow" and plan.shadow is not None
    assert [step.share for step in plan.canary] == [0.05, 0.25]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"answers_influence_labels": True}, "answers_influence_labels is true: set judge to split"),
        ({"answers_influence_labels": False, "shadow": None}, "needs rollout.shadow"),
        (SPLIT | {"by": []}, "needs rollout.by, the fields that name an entity"),
        (SPLIT | {"canary": [{"share": 0.3}, {"share": 0.3}]}, r"goes from share 0\.3 to 0\.3"),
        (SPLIT | {"canary": [{"share": 1}]}, "less than 1"),
        (SPLIT | {"ask_after": "12h"}, "is not longer than a step's bake"),
        (
            SPLIT | {"limits": {"metric_tolerance": 0.01, "metric_worse_by": 0.01}},
            "set metric_tolerance higher",
        ),
        (SPLIT | {"limits": {"metric_tolerance": 0.01, "metric_worse_by": None}}, "metric_worse_by is null"),
        (SPLIT | {"false_rollbacks": 0.5}, "less than 0.5"),
        (SPLIT | {"steps": 3}, "Extra inputs"),
    ],
)
def test_a_plan_that_could_not_be_kept_is_refused_with_the_field(content, said):
    with pytest.raises(pydantic.ValidationError, match=said):
        RolloutPlan.model_validate(content)


@given(st.lists(st.floats(0.01, 0.99), min_size=2, max_size=5))
def test_exactly_the_plans_whose_shares_grow_are_plans(shares):
    content = SPLIT | {"canary": [{"share": share} for share in shares]}
    grow = all(a < b for a, b in pairwise(shares))
    try:
        assert [step.share for step in RolloutPlan.model_validate(content).canary] == shares and grow
    except pydantic.ValidationError:
        assert not grow


@pytest.mark.parametrize("where", ["dry_run", "ab_test"])
def test_a_metric_of_another_task_is_refused(where):
    given = {"dry_run": ["mae"], "ab_test": {"metric": "mae", "ends_after": "7d"}}[where]
    with pytest.raises(pydantic.ValidationError, match="rollout metric 'mae' does not exist for task"):
        parcel_spec(rollout=SPLIT | {where: given})


def test_a_plan_changes_no_model_and_no_stage_and_a_spec_without_one_is_written_as_before():
    bare, planned = parcel_spec(), parcel_spec(rollout=SPLIT)
    longer = parcel_spec(rollout=SPLIT | {"ask_after": "30d"})
    assert spec_digest(bare) == spec_digest(planned) == spec_digest(longer)
    one, other = (spec.model_dump(mode="json") for spec in (bare, planned))
    assert "rollout" not in one and "rollout" in other
    for stage in FIELDS:
        assert of_a_stage(stage, one) == of_a_stage(stage, other)


def test_a_plan_is_read_as_it_was_written():
    plan = RolloutPlan.model_validate(SPLIT | {"shadow": {"bake": "6h", "share": 0.5}, "ask_after": "3d"})
    assert RolloutPlan.model_validate(plan.model_dump(mode="json")) == plan
    assert plan.shadow is not None and plan.shadow.bake == timedelta(hours=6)
