"""The same rows give the same bytes, without a Ray cluster, and the bytes alone can score."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from mlops_assets.ml.dataset import DatasetError, split_newest
from mlops_assets.ml.judging.metrics import auc
from mlops_assets.ml.training.fit import Scorer, fit

ELSEWHERE = """
import hashlib, sys
from tests.ml.conftest import FEATURES, NOW, parcel_spec, parcels
from mlops_assets.ml.dataset import labelled
from mlops_assets.ml.training.fit import fit
import ray
spec = parcel_spec()
print(hashlib.sha256(fit(labelled(parcels(3000), spec, NOW), spec, FEATURES).model).hexdigest(), ray.is_initialized())
"""


def test_a_fit_stops_early_is_cut_at_its_best_round_and_has_learned(fitted, known):
    losses = fitted.history["validation_logloss"]
    assert fitted.rounds == int(np.argmin(losses)) + 1
    assert len(losses) == min(40, fitted.rounds + 5)
    assert auc(known["_label"].to_numpy(), Scorer(fitted.model).predict(known)) > 0.8
    assert max(fitted.importance, key=fitted.importance.__getitem__) == "queue"
    assert sum(fitted.importance.values()) == pytest.approx(1)
    assert (set(fitted.importance), fitted.rows) == (
        {"queue", "weight", "hour", "noise", "depot"},
        known.height,
    )


def test_the_early_stopped_model_equals_a_fit_of_so_many_rounds_on_the_older_rows(
    known, spec, features, fitted
):
    older, _ = split_newest(known, "sent", spec.trainer.validation_share)
    refitted = fit(older, spec, features, rounds=fitted.rounds)
    np.testing.assert_array_equal(Scorer(refitted.model).predict(known), Scorer(fitted.model).predict(known))


def test_a_refit_takes_exactly_the_rounds_given_on_all_rows(known, spec, features):
    refitted = fit(known, spec, features, rounds=7)
    assert (refitted.rounds, refitted.history, refitted.rows) == (7, {}, known.height)
    assert (
        json.loads(_as_json(refitted.model))["learner"]["gradient_booster"]["model"]["gbtree_model_param"][
            "num_trees"
        ]
        == "7"
    )


def test_the_bytes_do_not_depend_on_the_order_of_the_rows_or_the_time(known, spec, features, fitted):
    time.sleep(1.1)
    assert fit(known.sample(fraction=1, shuffle=True, seed=3), spec, features).model == fitted.model


def test_another_process_elsewhere_gives_the_same_bytes_and_no_ray_is_started(fitted, tmp_path):
    import hashlib

    root = Path(__file__).resolve().parents[3]
    environ = {**os.environ, "PYTHONPATH": str(root)}
    done = subprocess.run(
        [sys.executable, "-c", ELSEWHERE],
        cwd=tmp_path,
        env=environ,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == [hashlib.sha256(fitted.model).hexdigest(), "False"]


def test_the_model_holds_its_encoding_and_nothing_of_time_or_path(fitted):
    attributes = json.loads(_as_json(fitted.model))["learner"]["attributes"]
    assert set(attributes) == {"encoding", "task"}
    scorer = Scorer(fitted.model)
    assert scorer.features == ("queue", "weight", "hour", "noise", "depot")
    assert scorer.categories == {"depot": ("north", "south", "west")}
    assert scorer.task == "classification"


def test_rows_score_alike_alone_and_together_and_unseen_categories_pass(fitted, known):
    scorer, some = Scorer(fitted.model), known.head(20)
    alone = [scorer.predict(some[i])[0] for i in range(some.height)]
    np.testing.assert_array_equal(scorer.predict(some), alone)
    assert scorer.predict(some.with_columns(depot=pl.lit("moon"))).shape == (20,)
    assert scorer.predict(some.clear()).shape == (0,)


def test_a_frame_without_a_feature_is_refused_by_name(fitted, known):
    with pytest.raises(DatasetError, match="the model needs the columns queue"):
        Scorer(fitted.model).predict(known.drop("queue"))


def test_a_regression_predicts_the_value(known, make_regression_spec, features):
    frame = known.with_columns(_label=pl.col("delay").cast(pl.Float32))
    fitted = fit(frame, make_regression_spec(), features)
    error = Scorer(fitted.model).predict(frame) - frame["delay"].to_numpy()
    assert "validation_mae" in fitted.history
    assert np.abs(error).mean() < 0.8 * np.abs(frame["delay"] - frame["delay"].mean()).mean()


def test_the_specs_parameters_reach_xgboost_and_those_with_a_field_are_refused(known, make_spec, features):
    stump = make_spec(trainer={"categories": ["depot"], "parameters": {"max_depth": 1}})
    model = json.loads(_as_json(fit(known, stump, features, rounds=1).model))
    assert len(model["learner"]["gradient_booster"]["model"]["trees"][0]["left_children"]) == 3
    with pytest.raises(DatasetError, match=r"parameters.nthread=4 .* set trainer.threads"):
        fit(known, make_spec(trainer={"parameters": {"nthread": 4}}), features)


def test_rows_of_one_moment_cannot_be_validated_in_time(known, spec, features):
    with pytest.raises(DatasetError, match="1 rows cannot be split in time"):
        fit(known.head(1), spec, features)


def _as_json(model: bytes) -> str:
    import xgboost

    return xgboost.Booster(model_file=bytearray(model)).save_raw("json").decode()
