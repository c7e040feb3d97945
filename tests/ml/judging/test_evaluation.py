"""Metrics agree with their definitions, slices with the rows they are cut from, pictures with what a reader needs."""

import io
import math

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_assets.ml.dataset import DatasetError
from mlops_assets.ml.judging.metrics import (
    auc,
    by_slice,
    evaluate,
    log_loss,
    reliability,
)
from mlops_assets.ml.judging.plots import evaluation_plots
from mlops_assets.ml.scores import ScoreError
from mlops_assets.spec.gate import METRICS

ROWS = st.lists(st.tuples(st.booleans(), st.integers(0, 6)), min_size=1, max_size=40)


def scored(rows: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    draw = np.random.default_rng(seed)
    score = draw.random(rows)
    return (draw.random(rows) < score).astype(np.float64), score


@given(ROWS)
def test_auc_is_the_share_of_pairs_in_the_right_order(rows):
    y, score = np.array([r[0] for r in rows], float), np.array([r[1] for r in rows], float)
    pairs = [(a > b) + 0.5 * (a == b) for a in score[y == 1] for b in score[y == 0]]
    expected = np.mean(pairs) if pairs else None
    assert auc(y, score) == pytest.approx(expected)


@given(st.integers(0, 10_000))
def test_auc_log_loss_and_brier_agree_with_sklearn(seed):
    from sklearn import metrics

    y, score = scored(200, seed)
    found = evaluate(y, score, "classification")
    assert found["auc"] == pytest.approx(metrics.roc_auc_score(y, score))
    assert found["log_loss"] == pytest.approx(metrics.log_loss(y, score))
    assert found["brier"] == pytest.approx(metrics.brier_score_loss(y, score))


def test_a_calibrated_score_has_a_small_calibration_error_and_a_shifted_one_its_shift():
    y, score = scored(50_000)
    assert evaluate(y, score, "classification")["calibration_error"] < 0.01
    shifted = evaluate(y, score + 0.1, "classification")["calibration_error"]
    assert shifted == pytest.approx(0.1, abs=0.01)


@pytest.mark.parametrize("task", METRICS)
def test_every_metric_of_the_task_is_there_with_rows(task):
    found = evaluate(*scored(100), task)
    rest = {"classification": "base_rate", "regression": "mean"}[task]
    assert list(found) == [*METRICS[task], "rows", rest]
    assert found["rows"] == 100


def test_bias_is_positive_where_predictions_are_too_high():
    found = evaluate(np.array([1.0, 2.0]), np.array([3.0, 3.0]), "regression")
    assert (found["mae"], found["bias"], found["mean"]) == (1.5, 1.5, 1.5)
    assert found["rmse"] == pytest.approx(math.sqrt(2.5))


def test_a_sure_and_wrong_score_costs_much_but_not_infinitely():
    assert 30 < log_loss(np.array([1.0]), np.array([0.0])) < 40


@pytest.mark.parametrize("task", METRICS)
def test_of_no_rows_no_metric_is_defined(task):
    found = evaluate(np.empty(0), np.empty(0), task)
    assert found == dict.fromkeys(found) | {"rows": 0}
    with pytest.raises(DatasetError, match="2 labels and 1 scores"):
        evaluate(np.zeros(2), np.zeros(1), task)


@given(st.lists(st.sampled_from([0.2, 0.7, math.nan, math.inf, -math.inf]), min_size=1, max_size=20))
def test_a_score_that_is_no_finite_number_is_refused_with_their_count_and_the_first_place(scores):
    wrong = [place for place, score in enumerate(scores) if not math.isfinite(score)]
    for task in METRICS:
        if not wrong:
            evaluate(np.ones(len(scores)), np.array(scores), task)
            continue
        with pytest.raises(
            ScoreError, match=f"{len(wrong)} of {len(scores)} rows, the first is row {wrong[0]} "
        ):
            evaluate(np.ones(len(scores)), np.array(scores), task)


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=8), st.integers(0, 99))
def test_a_metric_is_a_finite_number_or_none(scores, seed):
    label = np.random.default_rng(seed).normal(size=len(scores)) * 10.0 ** (3 * seed)
    found = evaluate(np.nan_to_num(label), np.array(scores), "regression")
    assert all(value is None or math.isfinite(value) for value in found.values())


def test_missing_values_of_a_slice_column_are_one_slice_and_leave_the_fifths_as_they_are():
    y, score = scored(600)
    length = pl.Series(np.arange(600.0))
    missing = pl.when(pl.int_range(pl.len()) < 60)
    columns = {"_label": y, "_score": score, "length": length}
    null, nan = (
        by_slice(
            pl.DataFrame(columns).with_columns(missing.then(pl.lit(gap)).otherwise("length").alias("length")),
            ["length"],
            "classification",
        )
        for gap in (None, math.nan)
    )
    assert null == nan
    assert [part["rows"] for part in nan] == [108, 108, 108, 108, 108, 60]


@given(st.lists(st.tuples(st.booleans(), st.floats(0, 1, width=16)), min_size=1, max_size=60))
def test_reliability_bins_hold_every_row_once_and_rise_in_score(rows):
    y, score = np.array([r[0] for r in rows], float), np.array([r[1] for r in rows], float)
    table = reliability(y, score)
    assert table["rows"].sum() == len(rows)
    assert table["predicted"].is_sorted()
    assert (table["low"] <= table["observed"] + 1e-9).all() and (
        table["observed"] <= table["high"] + 1e-9
    ).all()
    assert float(np.average(table["predicted"], weights=table["rows"])) == pytest.approx(score.mean())


def test_slices_are_the_metrics_of_their_rows_and_small_ones_are_left_out():
    y, score = scored(400)
    frame = pl.DataFrame({"_label": y, "_score": score, "depot": ["a"] * 200 + ["b"] * 190 + ["c"] * 10})
    found = by_slice(frame, ["depot"], "classification")
    assert [(s["slice"], s["value"], s["rows"]) for s in found] == [("depot", "a", 200), ("depot", "b", 190)]
    assert found[0]["auc"] == evaluate(y[:200], score[:200], "classification")["auc"]


def test_a_number_of_many_values_is_cut_at_quintiles_and_one_of_few_is_not():
    y, score = scored(1000)
    frame = pl.DataFrame(
        {"_label": y, "_score": score, "hour": [i % 10 for i in range(1000)], "load": range(1000)}
    )
    values = [s["value"] for s in by_slice(frame, ["hour", "load"], "classification")]
    assert values[:10] == [str(hour) for hour in range(10)]
    assert values[10:] == ["below 199.8", "199.8 to 399.6", "399.6 to 599.4", "599.4 to 799.2", "from 799.2"]


def test_rows_without_a_slice_value_make_a_slice_of_their_own():
    y, score = scored(300)
    load = [None if i < 100 else float(i) for i in range(300)]
    found = by_slice(pl.DataFrame({"_label": y, "_score": score, "load": load}), ["load"], "regression")
    assert [s["rows"] for s in found if s["value"] == "(none)"] == [100]


def test_a_slice_of_one_class_has_no_auc():
    frame = pl.DataFrame({"_label": [1.0] * 60, "_score": [0.5] * 60, "depot": ["a"] * 60})
    assert by_slice(frame, ["depot"], "classification")[0]["auc"] is None


@pytest.mark.parametrize(
    ("task", "names"),
    [
        ("classification", ["reliability", "roc", "importance"]),
        ("regression", ["predicted_vs_actual", "residuals", "importance"]),
    ],
)
def test_pictures_are_small_wide_enough_and_the_same_each_time(task, names):
    from PIL import Image

    y, score = scored(5000)
    importance = {f"a_rather_long_feature_name_{i}": 1 / 40 for i in range(40)}
    pictures = evaluation_plots(y, score, task, importance)
    assert list(pictures) == names
    assert pictures == evaluation_plots(y, score, task, importance)
    for content in pictures.values():
        assert len(content) < 40_000
        assert Image.open(io.BytesIO(content)).size == (640, 400)
        assert Image.open(io.BytesIO(content)).info == {}


def test_pictures_of_constant_scores_and_one_class_can_be_drawn():
    y = np.ones(10)
    for task in METRICS:
        assert evaluation_plots(y, np.full(10, 0.5), task, {"only": 1.0})
