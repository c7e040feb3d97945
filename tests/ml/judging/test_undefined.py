"""A number that is not defined is None, says why, and never lets anything pass."""

import json
import math
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops_assets.ml.judging.gate import Contender, evidence_criterion, judge
from mlops_assets.ml.judging.guardrails import (
    CHAMPION_SCORE,
    CLUSTER,
    calibration_guard,
    latency_guard,
    slice_guards,
)
from mlops_assets.ml.judging.paired import Effect
from mlops_assets.ml.judging.plots import evidence_plots
from mlops_assets.ml.scores import ScoreError
from mlops_assets.ml.training.fit import fit
from mlops_assets.spec.columns import LABEL, SCORE
from mlops_assets.spec.gate import METRICS, Gate
from mlops_assets.spec.model import ModelSpec
from mlops_assets.stages.attempt import attempt_record
from mlops_assets.stages.opponents import Opponents
from mlops_assets.stages.scoring import score
from tests import record_samples
from tests.ml.conftest import FEATURES, parcel_spec, regression_spec

TOLERANCE = {"superiority": 0.0, "non_inferiority": 0.01, "point": 0.01}
START = datetime(2020, 3, 2, tzinfo=UTC)
LONG_AGO = datetime(2019, 1, 1, tzinfo=UTC)
CANDIDATE = record_samples.challenger(week="2020-03-09", now="2020-03-16T00:00:00+00:00", version=2, rounds=3)


class Given:
    """A model that answers with what stands in a column."""

    def __init__(self, column: str):
        self.column = column

    def predict(self, frame: pl.DataFrame) -> np.ndarray:
        return frame[self.column].to_numpy()


def told(column: str) -> Contender:
    return Contender(column, f"sha of {column}", 1000, Given(column), LONG_AGO)  # type: ignore[arg-type]


ANCHOR = Contender("first", "sha of the first", 1000, Given("first"), LONG_AGO)  # type: ignore[arg-type]
"""A model from long ago, which a rule that lets something worse pass compares with as well."""


def gated(task: str, metric: str, evidence: str, floor: str, **guards: Any) -> ModelSpec:
    """A spec whose floor every defined number reaches, so that the evidence and the guard-rails decide."""
    rule = {
        "metric": metric,
        "floors": {floor: -1e308 if floor == "auc" else 1e308},
        "evidence": evidence,
        "tolerance": TOLERANCE[evidence],
        "guards": guards,
    }
    made = parcel_spec if task == "classification" else regression_spec
    gate = Gate.model_validate(rule)
    return made(slices=["depot"]).model_copy(update={"gate": gate})


def fortnight(label: Any, ours: Any, theirs: Any, days: int = 7) -> pl.DataFrame:
    """Rows that were held out, as many a day, of one depot."""
    count = len(label)
    sent = [START + timedelta(days=i * days // count) for i in range(count)]
    columns = {LABEL: label, "ours": ours, "theirs": theirs}
    frame = pl.DataFrame(columns, schema=dict.fromkeys(columns, pl.Float64))
    return frame.with_columns(
        sent=pl.Series(sent), seen=pl.Series(sent), depot=pl.lit("north"), first=pl.lit(0.4)
    )


RULES = st.sampled_from(
    [
        (task, metric, evidence, floor)
        for task, metrics in METRICS.items()
        for metric in metrics
        for floor in metrics
        for evidence in TOLERANCE
    ]
)
BAD = st.sampled_from([math.nan, math.inf, -math.inf])
SIDES = st.sampled_from(["ours", "theirs"])


@given(RULES, st.dictionaries(st.integers(0, 69), BAD, min_size=1), SIDES, st.integers(0, 99))
def test_a_score_that_is_no_number_ends_the_judging_in_the_name_of_the_model_that_gave_it(
    rule, bad, side, seed
):
    dice = np.random.default_rng(seed)
    scores = {"ours": dice.random(70), "theirs": dice.random(70)}
    scores[side][list(bad)] = list(bad.values())
    rows = fortnight(dice.integers(0, 2, 70), **scores)
    said = rf"{side} gives no finite number for {len(bad)} of 70 rows, the first is row {min(bad)} "
    with pytest.raises(ScoreError, match=said):
        judge(rows, told("ours"), told("theirs"), gated(*rule), ANCHOR)
    if side == "ours":
        with pytest.raises(ScoreError, match=said):
            judge(rows, told("ours"), None, gated(*rule))


def test_the_scores_that_once_won_by_being_nan_are_refused():
    label = np.tile([1.0, 0.0], 350)
    ours = np.where(np.arange(700) % 4 == 0, math.nan, 0.5)
    with pytest.raises(ScoreError, match="ours gives no finite number for 175 of 700 rows"):
        judge(
            fortnight(label, ours, np.full(700, 0.5)),
            told("ours"),
            told("theirs"),
            gated("classification", "auc", "superiority", "auc"),
        )


LABELS = st.sampled_from(["both", "none", "all", "one day", "first row"])
HUGE = st.sampled_from([1.0, 1e160, 1e300])


@settings(max_examples=60)
@given(RULES, LABELS, st.integers(1, 7), HUGE, HUGE, st.integers(0, 99))
def test_whatever_is_undefined_never_promotes_and_every_record_is_of_finite_numbers(
    rule, labels, days, ours_by, theirs_by, seed
):
    spec, dice, place = gated(*rule), np.random.default_rng(seed), np.arange(70)
    kinds = {
        "both": dice.integers(0, 2, 70),
        "none": np.zeros(70),
        "all": np.ones(70),
        "one day": (place < 70 // days) * dice.integers(0, 2, 70),
        "first row": place == 0,
    }
    scores = {"ours": dice.random(70) * ours_by, "theirs": dice.random(70) * theirs_by}
    if spec.task == "classification":
        scores = {name: dice.random(70) for name in scores}
    rows = fortnight(kinds[labels].astype(float), **scores, days=days)
    verdict = judge(rows, told("ours"), told("theirs"), spec, ANCHOR)
    record = attempt_record(spec, CANDIDATE, Opponents(None, None), verdict, rows, {})
    json.dumps([record.document(), verdict.champion], allow_nan=False, default=str)
    assert "nan" not in verdict.reason and "inf" not in verdict.reason.replace("inferior", "")
    (evidence,) = verdict.of_kind("evidence")
    floor = verdict.of_kind("floor")[0]
    assert evidence.effect is not None
    decides = {"evidence", "anchor"} if rule[2] == "point" else set()
    tested = [c for c in verdict.criteria if c.effect and c.kind not in decides]
    undefined = [c for c in tested if c.p is None]
    if evidence.effect.gain is None or floor.challenger is None or undefined:
        assert not verdict.promote
        assert "undefined" in verdict.reason


@pytest.mark.parametrize("evidence", TOLERANCE)
def test_the_verdict_on_rows_of_one_class_says_so(evidence):
    rows = fortnight(np.zeros(70), np.full(70, 0.1), np.full(70, 0.3))
    verdict = judge(
        rows, told("ours"), told("theirs"), gated("classification", "auc", evidence, "auc"), ANCHOR
    )
    assert not verdict.promote
    assert "auc undefined, one class, misses the floor" in verdict.reason
    assert (
        "auc undefined, one class against the champion's undefined, one class (no gain is defined"
        in verdict.reason
    )
    assert verdict.challenger["auc"] is None and verdict.challenger["log_loss"] is not None


@pytest.mark.parametrize(
    ("label", "days", "names"),
    [
        (np.zeros(70), 7, []),
        (np.arange(70) == 0, 7, ["gain_by_day"]),
        (np.arange(70) % 2, 1, ["gain_by_day"]),
    ],
)
def test_what_has_no_value_is_left_out_of_the_pictures(label, days, names):
    rows = fortnight(label.astype(float), np.linspace(0.9, 0.1, 70), np.full(70, 0.3), days=days)
    spec = gated("classification", "auc", "superiority", "auc")
    drawn = evidence_plots(judge(rows, told("ours"), told("theirs"), spec, ANCHOR), spec.gate)
    assert list(drawn) == names
    assert all(content.startswith(b"\x89PNG") for content in drawn.values())


@pytest.mark.parametrize("evidence", TOLERANCE)
@pytest.mark.parametrize("gain", [math.nan, math.inf, -math.inf, None])
def test_a_gain_that_is_undefined_passes_no_kind_of_evidence(evidence, gain):
    gate = gated("classification", "auc", evidence, "auc").gate
    for error in (0.1, 0.0, math.nan, None):
        found = evidence_criterion(Effect("auc", 0.7, 0.6, gain, error, 6.0, 7, 700), gate)
        assert not found.passes
        json.dumps(found.record(0.05), allow_nan=False)


@pytest.mark.parametrize("evidence", ["superiority", "non_inferiority"])
def test_a_gain_whose_uncertainty_is_undefined_shows_nothing_and_says_so(evidence):
    gate = gated("classification", "auc", evidence, "auc").gate
    found = evidence_criterion(Effect("auc", 0.9, 0.6, 0.3, math.nan, 6.0, 7, 700), gate)
    assert not found.passes
    assert "interval undefined over 7 days: not shown to be" in found.text and "p undefined" in found.text


def guarded(rows: int, days: int, scale: float = 1.0) -> pl.DataFrame:
    dice = np.random.default_rng(rows)
    return pl.DataFrame(
        {
            LABEL: dice.integers(0, 2, rows).astype(float),
            SCORE: dice.random(rows) * scale,
            CHAMPION_SCORE: dice.random(rows),
            CLUSTER: np.arange(rows) % days,
            "depot": "north",
        }
    )


def test_a_calibration_that_cannot_be_tested_fails_its_guard():
    spec = gated("classification", "auc", "point", "auc", calibration_tolerance=0.5)
    (untested,) = calibration_guard(guarded(70, days=1), spec)
    assert not untested.passes and "cannot be tested (p undefined)" in untested.text
    assert calibration_guard(guarded(70, days=7), spec)[0].passes


def test_a_slice_that_cannot_be_tested_fails_its_guard():
    spec = gated("regression", "rmse", "point", "rmse", slice_tolerance=0.5)
    criteria, skipped = slice_guards(guarded(70, days=7, scale=1e300), spec)
    assert [c.passes for c in criteria] == [False] and skipped == []
    assert "undefined, too large for a number, and cannot be tested (p undefined" in criteria[0].text


def test_a_time_that_is_unknown_fails_its_guard():
    gate = gated("classification", "auc", "point", "auc", latency_ms=5).gate
    (untimed,) = latency_guard(math.nan, gate)
    assert not untimed.passes and "an unknown time" in untimed.text


LOOPS = "tests.ml.training.trainers.loops"
WITH_GAPS = {"kind": "function", "loop": f"{LOOPS}:depot_rates", "scorer": f"{LOOPS}:Gaps", "rounds": 2}
OWN = parcel_spec(trainer=WITH_GAPS | {"categories": ["depot"]})


@pytest.fixture(scope="module")
def gaps(known: pl.DataFrame) -> bytes:
    """A fitted model of one's own that has no answer where the queue is missing."""
    return fit(known, OWN, FEATURES).model


def test_a_fitted_model_that_does_not_answer_every_row_is_refused_where_it_scores(known, fitted, spec, gaps):
    challenger, missing = Contender.of("version 7", gaps, OWN, LONG_AGO), known["queue"].is_null()
    first, count = int(missing.arg_true()[0]), int(missing.sum())
    said = f"version 7 gives no finite number for {count} of {known.height} rows, the first is row {first} "
    for refused in (
        lambda: challenger.scorer.predict(known),
        lambda: judge(known, challenger, Contender.of("champion", fitted.model, spec, LONG_AGO), spec),
        lambda: judge(known, challenger, None, spec),
    ):
        with pytest.raises(ScoreError, match=said):
            refused()
    answered = known.filter(~missing)
    assert np.isfinite(challenger.scorer.predict(answered)).all()


def test_the_predictions_of_a_week_are_refused_in_the_name_of_their_version(known, gaps):
    model = SimpleNamespace(number=7, trainer="function", promotions=[START - timedelta(days=900)])
    tracking = SimpleNamespace(load=lambda version: gaps)
    with pytest.raises(
        ScoreError, match=r"version 7 of late_parcel gives no finite number for \d+ of 2946 rows"
    ):
        score(OWN, known, [model], tracking)  # type: ignore[list-item, arg-type]
