"""What each feature adds to a score: Shapley values, held against their definition, and together the score itself."""

import itertools
import json
import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import polars as pl
import pytest

from mlops_assets.ml.dataset import DatasetError
from mlops_assets.ml.training import explained
from mlops_assets.ml.training.explained import SCORES, ExplainingScorer
from mlops_assets.ml.training.fit import fit
from mlops_assets.ml.training.trainers.base import Contributions
from tests.ml.training.trainers.test_every_trainer import KINDS, TORCH

LIBRARIES = ("xgboost", "lightgbm")
OBJECTIVES = {
    "xgboost": ("reg:squarederror", "reg:pseudohubererror", "reg:tweedie", "count:poisson"),
    "lightgbm": ("regression", "regression_l1", "tweedie", "poisson"),
}


def scorer(rows: pl.DataFrame, spec: Any, features: Any) -> ExplainingScorer:
    return ExplainingScorer(fit(rows, spec, features).model, code=spec.code)


def holds(model: ExplainingScorer, rows: pl.DataFrame) -> Contributions:
    """The contributions, after it was seen that they give the scores."""
    assert model.contributions is not None
    found = model.contributions(rows)
    assert found.values.shape == (rows.height, len(model.features)) and found.base.shape == (rows.height,)
    scores = SCORES[found.link](found.base + found.values.sum(axis=1))
    assert scores == pytest.approx(model.predict(rows), abs=1e-5, rel=1e-5)
    return found


@pytest.mark.parametrize("kind", LIBRARIES)
def test_base_and_contributions_give_the_log_odds_of_a_probability(kind, make_spec, known, features):
    spec = make_spec(trainer={"kind": kind, "categories": ["depot"]} | KINDS[kind])
    model = scorer(known, spec, features)
    strange = known.head(50).with_columns(
        depot=pl.lit("nowhere"), queue=pl.lit(float("nan")), hour=pl.lit(None, pl.Int64)
    )
    found = holds(model, known.head(200))
    assert found.link == "logit" and model.features == (*features, "depot")
    assert np.abs(found.values).mean(axis=0).argmax() == model.features.index("queue")
    holds(model, strange)


@pytest.mark.parametrize(("kind", "objective"), [(k, o) for k, some in OBJECTIVES.items() for o in some])
def test_they_give_the_value_of_a_regression_by_the_link_of_its_objective(
    kind, objective, make_regression_spec, known, features
):
    trainer = {"kind": kind, "rounds": 15, "categories": ["depot"], "parameters": {"objective": objective}}
    model = scorer(_positive(known), make_regression_spec(trainer=trainer), features)
    logs = objective.rpartition(":")[2] in ("tweedie", "poisson")
    assert holds(model, known.head(100)).link == ("log" if logs else "identity")


def _positive(known: pl.DataFrame) -> pl.DataFrame:
    return known.with_columns(pl.col("delay").clip(0.0))


@pytest.mark.parametrize("kind", LIBRARIES)
def test_they_are_the_shapley_values_of_the_trees(kind, make_regression_spec, known):
    """By the definition, over all 2^3 sets of features: a feature that is left out is followed down both branches, by their rows."""
    features = ("queue", "weight", "hour")
    rows = known.drop_nulls("queue")
    trainer = {"kind": kind, "rounds": 4, "categories": [], "parameters": {"max_depth": 3}}
    model = scorer(rows, make_regression_spec(trainer=trainer), features)
    found = holds(model, rows.head(20))
    trees = list(TREES[kind](model._model._booster))  # type: ignore[attr-defined]
    for row, told in zip(model.encoding.matrix(rows.head(20)), found.values, strict=True):
        wanted = [_shapley(trees, row, feature) for feature in range(3)]
        assert told == pytest.approx(wanted, abs=1e-4)


Node = tuple[int, Callable[[float], bool], Any, Any, float] | tuple[float, float]
"""Feature, whether a value goes left, both children and their weight; or a leaf's value and weight."""


def _xgboost(booster: Any) -> Iterator[Node]:
    names = booster.feature_names

    def node(told: Any) -> Node:
        if "leaf" in told:
            return told["leaf"], told["cover"]
        children = {child["nodeid"]: node(child) for child in told["children"]}
        below = np.float32(told["split_condition"])
        left, right = children[told["yes"]], children[told["no"]]
        return names.index(told["split"]), lambda value: value < below, left, right, told["cover"]

    for text in booster.get_dump(with_stats=True, dump_format="json"):
        yield node(json.loads(text))


def _lightgbm(booster: Any) -> Iterator[Node]:
    def node(told: Any) -> Node:
        if "leaf_value" in told:
            return told["leaf_value"], told.get("leaf_count", 1)
        left, right, most = node(told["left_child"]), node(told["right_child"]), told["threshold"]
        return told["split_feature"], lambda value: value <= most, left, right, told["internal_count"]

    for tree in booster.dump_model()["tree_info"]:
        yield node(tree["tree_structure"])


TREES = {"xgboost": _xgboost, "lightgbm": _lightgbm}


def _shapley(trees: list[Node], row: np.ndarray, feature: int) -> float:
    others = [other for other in range(len(row)) if other != feature]
    total = 0.0
    for size in range(len(others) + 1):
        weight = math.factorial(size) * math.factorial(len(row) - size - 1) / math.factorial(len(row))
        for some in itertools.combinations(others, size):
            total += weight * sum(
                _expected(t, row, {*some, feature}) - _expected(t, row, {*some}) for t in trees
            )
    return total


def _expected(node: Node, row: np.ndarray, given: set[int]) -> float:
    if len(node) == 2:
        return node[0]
    feature, goes_left, left, right, _ = node
    if feature in given:
        return _expected(left if goes_left(row[feature]) else right, row, given)
    shares = left[-1] / (left[-1] + right[-1])
    return shares * _expected(left, row, given) + (1 - shares) * _expected(right, row, given)


@pytest.mark.parametrize("kind", [TORCH, "function"])
def test_a_kind_that_cannot_say_gives_none(kind, make_spec, known, features):
    spec = make_spec(trainer={"kind": kind, "categories": ["depot"]} | KINDS[kind])
    assert scorer(known, spec, features).contributions is None


def test_an_objective_without_a_link_and_a_link_that_is_not_its_own_are_refused(
    make_regression_spec, known, features, monkeypatch
):
    trainer = {"rounds": 5, "parameters": {"objective": "count:poisson"}}
    model = scorer(_positive(known), make_regression_spec(trainer=trainer), features)
    assert model.contributions is not None
    with monkeypatch.context() as patch:
        patch.setitem(explained.SCORES, "log", lambda raw: raw)
        with pytest.raises(DatasetError, match=r"explains another number than it predicts"):
            model.contributions(known.head(3))
    made = make_regression_spec(trainer={"kind": "lightgbm", "rounds": 5, "parameters": {"reg_sqrt": True}})
    strange = scorer(_positive(known), made, features)
    assert strange.contributions is not None
    with pytest.raises(DatasetError, match="objective regression sqrt has no link"):
        strange.contributions(known.head(3))
