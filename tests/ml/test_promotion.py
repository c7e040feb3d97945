"""The gate never lets a worse model through, and says why with the numbers."""

import math

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_assets.ml.dataset import DatasetError
from mlops_assets.ml.promotion import gate, goodness, judge
from mlops_assets.ml.training import Scorer, fit

NUMBER = st.one_of(st.floats(0, 1), st.just(math.nan))
TASKS = {"classification": ("auc", "log_loss", "brier"), "regression": ("mae", "rmse", "bias")}


@given(st.data(), st.sampled_from(sorted(TASKS)), NUMBER, NUMBER, st.floats(0, 1), st.floats(0, 0.2))
def test_no_challenger_passes_that_misses_a_floor_or_is_worse_than_the_champion(
    make_spec, data, task, ours, theirs, floor, tolerance
):
    metric = data.draw(st.sampled_from(TASKS[task]))
    label = {"column": "delay", "known_at": "seen", "above": 15 if task == "classification" else None}
    rules = {"metric": metric, "floors": {metric: floor}, "tolerance": tolerance}
    spec = make_spec(task=task, label=label, gate=rules)
    promote, reason = gate({metric: ours}, {metric: theirs}, spec)
    worse = not goodness(metric, ours) - goodness(metric, theirs) >= -tolerance
    misses = not goodness(metric, ours) >= goodness(metric, floor)
    assert promote == (not worse and not misses)
    assert reason.startswith("Promoted" if promote else "Rejected") and metric in reason


def test_all_missed_floors_are_named(make_spec):
    spec = make_spec(gate={"metric": "auc", "floors": {"auc": 0.7, "log_loss": 0.5, "brier": 0.3}})
    promote, reason = gate({"auc": 0.65, "log_loss": 0.6, "brier": 0.2}, None, spec)
    assert not promote
    assert reason == (
        "Rejected: auc 0.6500 misses the floor of at least 0.7 and log_loss 0.6000 misses the floor of at most 0.5."
    )


def test_the_first_model_needs_only_the_floors(make_spec):
    promote, reason = gate({"auc": 0.65}, None, make_spec())
    assert (promote, reason) == (
        True,
        "Promoted as the first champion: auc 0.6500 meets the floor of at least 0.6.",
    )


def test_the_reason_of_a_duel_names_both_numbers_and_the_tolerance(make_spec):
    spec = make_spec(gate={"metric": "auc", "floors": {"auc": 0.6}, "tolerance": 0.01})
    assert gate({"auc": 0.72}, {"auc": 0.725}, spec) == (
        True,
        "Promoted: auc 0.7200 against the champion's 0.7250 (0.0050 worse, within the tolerance of 0.01); "
        "auc 0.7200 meets the floor of at least 0.6.",
    )
    assert gate({"auc": 0.70}, {"auc": 0.725}, spec)[1].startswith(
        "Rejected: auc 0.7000 against the champion's 0.7250 (0.0250 worse, over the tolerance of 0.01)"
    )


def test_an_equal_challenger_passes_without_tolerance(make_spec):
    assert gate({"auc": 0.72}, {"auc": 0.72}, make_spec())[0]


def test_a_metric_that_is_undefined_never_passes(make_spec):
    promote, reason = gate({"auc": math.nan}, None, make_spec())
    assert not promote and "auc undefined misses" in reason


def test_both_models_are_judged_on_the_same_rows(known, spec, features, fitted):
    weak = fit(known.head(200), spec, ["noise"], rounds=2)
    verdict = judge(known.tail(1000), Scorer(fitted.model), Scorer(weak.model), spec)
    assert verdict.promote
    assert verdict.champion is not None
    assert verdict.challenger["rows"] == verdict.champion["rows"] == 1000
    assert verdict.challenger["auc"] > verdict.champion["auc"]
    assert {s["slice"] for s in verdict.slices} == {"depot"} | (
        {"hour"} if verdict.slices[-1]["slice"] == "hour" else set()
    )
    assert len(verdict.slices) == len(verdict.champion_slices)
    assert len(verdict.score) == 1000
    assert not judge(known.tail(1000), Scorer(weak.model), Scorer(fitted.model), spec).promote


def test_a_hold_out_without_rows_is_refused(known, spec, fitted):
    with pytest.raises(DatasetError, match=r"no labelled row.*hold_out_days=14"):
        judge(known.clear(), Scorer(fitted.model), None, spec)


def test_small_slices_are_reported_as_skipped(known, make_spec, fitted):
    frame = known.head(300).with_columns(
        pl.when(pl.int_range(pl.len()) < 9).then(pl.lit("rare")).otherwise("depot").alias("depot")
    )
    verdict = judge(frame, Scorer(fitted.model), None, make_spec(slices=["depot"]))
    assert verdict.skipped == {"depot": {"values": 1, "rows": 9}}
