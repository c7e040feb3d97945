"""The search block of a spec: a budget is enough, and a mistake is told with the line it stands in."""

import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_assets.ml.training.trainers.lightgbm import LightGBM
from mlops_assets.ml.training.trainers.xgboost import XGBoost
from mlops_assets.ml.tuning.trials import with_found
from mlops_assets.spec.search import GRACE_SHARE, Asha, space_of
from mlops_assets.spec.trainers import spec_kinds
from tests.components.test_model_component import YAML, complaint, line_of
from tests.ml.conftest import parcel_spec


def searched_yaml(search: str) -> str:
    return YAML.replace("  slices:", f"  search: {search}\n  slices:")


@pytest.mark.parametrize(
    ("search", "message"),
    [
        ("{}", "search has no budget: give trials, minutes or both"),
        ("{trials: 0}", "greater than or equal to 1"),
        ("{trials: 5, metrc: auc}", "attributes.search.metrc"),
        (
            "{trials: 5, metric: mae}",
            "search.metric='mae' does not exist for task classification: choose from auc",
        ),
        ("{trials: 5, space: {eta: {low: 0.3, high: 0.1}}}", "low=0.3 and high=0.1 leave nothing to choose"),
        ("{trials: 5, space: {eta: {low: 0, high: 0.1, log: true}}}", "a logarithmic scale has no 0"),
        ("{trials: 5, space: {max_depth: {low: 2, high: 4.5, integer: true}}}", "give whole numbers"),
        ("{trials: 5, space: {eta: {choices: [0.1]}}}", "at least 2 items"),
        (
            "{trials: 5, space: {threads: {low: 1, high: 2}}}",
            "search.space.threads: trainer.threads is the same",
        ),
        ("{trials: 5, asha: {grace: 3, reduction: 1}}", "greater than or equal to 1.5"),
    ],
)
def test_a_mistake_is_told_with_file_line_and_rule(tmp_path, search, message):
    text = searched_yaml(search)
    said = complaint(tmp_path, text)
    assert message in said
    assert f"long_delay/defs.yaml:{line_of(text, 'search:')}" in said


def with_trainer(**trainer):
    return parcel_spec(trainer={"categories": ["depot"], **trainer}, search={"trials": 5})


def test_a_loop_of_ones_own_needs_a_space():
    with pytest.raises(pydantic.ValidationError, match="a trainer of kind function has none by default"):
        with_trainer(kind="function", loop="a:b", scorer="a:c")


def test_a_network_refuses_a_value_or_a_name_that_it_would_not_take():
    def spec(**space):
        return parcel_spec(trainer={"kind": "torch_tabular"}, search={"trials": 5, "space": space})

    with pytest.raises(
        pydantic.ValidationError, match=r"search.space.dropout allows 1.5, which trainer.dropout refuses"
    ):
        spec(dropout={"low": 0.1, "high": 1.5})
    with pytest.raises(
        pydantic.ValidationError, match="learning_rat is no parameter of the trainer: choose from batch"
    ):
        spec(learning_rat={"low": 0.1, "high": 1})


@pytest.mark.parametrize("kind", sorted(spec_kinds().keys() - {"function"}))
def test_every_built_in_kind_has_a_space_whose_values_it_takes(kind):
    spec = with_trainer(kind=kind)
    space = space_of(spec.search, spec.trainer)
    assert len(space) >= 5
    for name, dimension in space.items():
        for value in dimension.samples:
            assert with_found(spec, {name: value}).trainer.hyperparameters()[name] == value


def test_a_parameter_is_searched_under_the_name_that_the_spec_gives_it():
    boosted = XGBoost(parameters={"learning_rate": 0.1})
    search = parcel_spec(search={"trials": 1}).search
    assert "learning_rate" in space_of(search, boosted) and "eta" not in space_of(search, boosted)
    assert "eta" in space_of(search, XGBoost())
    assert "min_child_samples" in space_of(
        search, LightGBM(kind="lightgbm", parameters={"min_child_samples": 9})
    )


@given(
    grace=st.none() | st.integers(1, 400),
    reduction=st.floats(1.5, 8),
    rounds=st.integers(1, 1000),
)
def test_rungs_rise_and_end_before_the_last_round(grace, reduction, rounds):
    rungs = Asha(grace=grace, reduction=reduction).rungs(rounds)
    assert rungs == sorted(set(rungs)) and all(1 <= rung < rounds for rung in rungs)
    first = grace or max(1, rounds // GRACE_SHARE)
    assert rungs[:1] == ([first] if first < rounds else [])
