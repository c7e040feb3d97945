"""A guard-rail trips where harm is shown, names what is harmed, and seldom trips for equal models."""

import numpy as np
import polars as pl
import pytest

from benchmarks.simulated import two_models
from mlops_assets.ml.judging.guardrails import (
    CHAMPION_SCORE,
    CLUSTER,
    calibration_guard,
    latency,
    latency_guard,
    size_guard,
    slice_guards,
)
from mlops_assets.spec.gate import Gate
from tests.ml.conftest import MANY, between

SLICES = 12


def trial(seed: int, rows: int = 240, luck: float = 0.5) -> pl.DataFrame:
    """Rows scored by two equal models, in slices that lie across the days."""
    dice = np.random.default_rng(seed)
    y, ours, theirs, day = two_models(dice, rows=rows, luck=luck)
    site = dice.integers(0, SLICES, len(y))
    return pl.DataFrame(
        {
            "_label": y,
            "_score": ours,
            CHAMPION_SCORE: theirs,
            CLUSTER: day,
            "site": np.array([f"s{i:02}" for i in range(SLICES)])[site],
        }
    )


def rule(make_spec, **guards):
    gate = {"metric": "log_loss", "floors": {"auc": 0.1}, "guards": guards}
    return make_spec(slices=["site"], gate=gate)


def harmed(frame: pl.DataFrame, site: str) -> pl.DataFrame:
    """The challenger knows nothing of one site, and the truth of the others better than the champion."""
    here = pl.col("site") == site
    known = 0.7 * pl.col(CHAMPION_SCORE) + 0.3 * pl.col("_label")
    return frame.with_columns(_score=pl.when(here).then(0.97).otherwise(known))


def test_a_slice_that_is_harmed_trips_though_the_challenger_is_better_on_the_whole(make_spec):
    criteria, skipped = slice_guards(harmed(trial(1), "s03"), rule(make_spec))
    tripped = [c for c in criteria if not c.passes]
    assert [c.name for c in tripped] == ["site s03"]
    assert (len(criteria), skipped) == (SLICES, [])
    assert "site s03 is" in tripped[0].text and "worse and shown to be worse (p " in tripped[0].text
    assert tripped[0].text.endswith("corrected for 12 slices)")
    assert tripped[0].p is not None and tripped[0].corrected == pytest.approx(min(1, 12 * tripped[0].p))


def test_a_tolerance_above_the_harm_lets_it_pass_and_null_asks_nothing(make_spec):
    frame = harmed(trial(1), "s03")
    assert all(c.passes for c in slice_guards(frame, rule(make_spec, slice_tolerance=5))[0])
    assert slice_guards(frame, rule(make_spec, slice_tolerance=None)) == ([], [])


def test_slices_too_small_to_judge_are_listed_with_the_reason(make_spec):
    frame = trial(2).with_row_index()
    rare = pl.when(pl.col("index") % 90 == 0).then(pl.lit("rare")).when(pl.col(CLUSTER) < 3)
    frame = frame.with_columns(site=rare.then(pl.lit("brief")).otherwise(pl.lit("usual")))
    criteria, skipped = slice_guards(frame, rule(make_spec))
    assert [c.name for c in criteria] == ["site usual"]
    sizes = dict(frame["site"].value_counts().iter_rows())
    assert skipped == [
        {"slice": "site", "value": "brief", "rows": sizes["brief"], "why": "3 clusters, 5 are needed"},
        {"slice": "site", "value": "rare", "rows": sizes["rare"], "why": "under 50 rows"},
    ]


def test_a_slice_without_a_positive_row_is_listed_as_undefined_for_the_auc(make_spec):
    frame = trial(4).with_columns(_label=pl.when(pl.col("site") == "s00").then(0.0).otherwise("_label"))
    spec = make_spec(slices=["site"], gate={"metric": "auc", "floors": {"auc": 0.1}})
    _, skipped = slice_guards(frame, spec)
    assert [(s["value"], s["why"]) for s in skipped] == [("s00", "auc is undefined, one class")]


@MANY
def test_of_many_equal_challengers_no_more_than_alpha_are_held_back_by_any_of_their_slices(many, make_spec):
    spec, tripped = rule(make_spec), 0
    for seed in range(many):
        criteria, _ = slice_guards(trial(seed, rows=120, luck=0.2), spec)
        tripped += any(not c.passes for c in criteria)
    assert tripped <= many * 0.05 or between(tripped, many, 0.05)


def test_without_the_correction_a_third_of_them_would_be(make_spec):
    spec, tripped = rule(make_spec), 0
    for seed in range(100):
        criteria, _ = slice_guards(trial(seed, rows=120, luck=0.2), spec)
        tripped += any((c.p or 0) <= spec.gate.alpha for c in criteria)
    assert tripped > 30


def test_an_overconfident_challenger_trips_the_calibration(make_spec):
    logit = (pl.col(CHAMPION_SCORE) / (1 - pl.col(CHAMPION_SCORE))).log()
    frame = trial(5, luck=0.05).with_columns(_score=1 / (1 + (-3 * logit).exp()))
    (criterion,) = calibration_guard(frame, rule(make_spec))
    assert not criterion.passes
    assert criterion.text.startswith("calibration_error 0.") and "is shown to be worse (p " in criterion.text
    (tolerant,) = calibration_guard(frame, rule(make_spec, calibration_tolerance=0.5))
    assert tolerant.passes
    assert calibration_guard(frame, rule(make_spec, calibration_tolerance=None)) == []


def test_equal_challengers_trip_the_calibration_at_most_as_often_as_alpha_says(make_spec):
    spec, tripped = rule(make_spec), 0
    for seed in range(300):
        (criterion,) = calibration_guard(trial(seed, rows=120), spec)
        tripped += not criterion.passes
    assert tripped <= 300 * 0.05 or between(tripped, 300, 0.05)


def test_a_regression_and_a_gate_on_calibration_have_no_calibration_guard(make_spec, make_regression_spec):
    assert calibration_guard(trial(6), make_regression_spec()) == []
    gate = {"metric": "calibration_error", "floors": {"auc": 0.1}}
    assert calibration_guard(trial(6), make_spec(gate=gate)) == []


def gate(**guards) -> Gate:
    return Gate.model_validate({"metric": "auc", "floors": {"auc": 0.5}, "guards": guards})


def test_a_model_file_over_the_limit_is_named_with_both_sizes():
    (criterion,) = size_guard(3_000_000, 2_000_000, gate(size_mb=2.5))
    assert (criterion.passes, criterion.challenger, criterion.champion) == (False, 3.0, 2.0)
    assert criterion.text == "the model takes 3 MB, over the limit of 2.5 MB"
    assert size_guard(2_500_000, 2_000_000, gate(size_mb=2.5))[0].passes
    assert size_guard(10**12, 1, gate()) == []


def test_a_limit_on_latency_decides_and_leaves_no_measured_time_in_the_record():
    slow, slower = (latency_guard(ms, gate(latency_ms=2))[0] for ms in (2.1, 9.9))
    assert not slow.passes and slow.record(0.05) == slower.record(0.05)
    assert slow.text == slower.text == "one prediction takes longer than the limit of 2 ms"
    assert latency_guard(2.0, gate(latency_ms=2))[0].passes
    assert latency_guard(10**6, gate()) == []


def test_latency_is_measured_for_one_row_and_a_thousand_though_there_are_fewer(known, fitted):
    from mlops_assets.ml.training.fit import Scorer

    seen: list[int] = []

    class Noted(Scorer):
        def predict(self, frame):
            seen.append(frame.height)
            return super().predict(frame)

    found = latency(Noted(fitted.model), known.head(7))
    assert set(found) == set(seen) == {1, 1000}
    assert all(value > 0 for value in found.values())
