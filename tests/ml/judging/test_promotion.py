"""The gate lets a challenger through on the evidence that the spec asks for, and says why with the numbers."""

import math
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.simulated import two_models
from mlops_assets.ml.dataset import DatasetError
from mlops_assets.ml.judging.gate import (
    Contender,
    PromotionError,
    clusters,
    decision,
    evidence_criterion,
    floor_criteria,
    judge,
)
from mlops_assets.ml.judging.metrics import goodness
from mlops_assets.ml.judging.paired import Effect
from mlops_assets.ml.training.fit import fit
from mlops_assets.spec.gate import METRICS, Gate
from tests.ml.conftest import MANY, between

NUMBER = st.one_of(st.floats(0, 1), st.just(math.nan))
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
EVIDENCE = {"superiority": 0.0, "non_inferiority": 0.01, "point": 0.01}


def gate(evidence: str = "superiority", **more: Any) -> Gate:
    tolerance = {"tolerance": EVIDENCE[evidence]}
    return Gate.model_validate(
        {"metric": "auc", "floors": {"auc": 0.6}, "evidence": evidence, **tolerance, **more}
    )


def effect(gain: float, error: float, clusters: int = 14) -> Effect:
    return Effect("auc", 0.72 + gain, 0.72, gain, error, clusters - 1.0, clusters, 1000)


def said(gate: Gate, found: Effect) -> tuple[bool, str]:
    return decision([*floor_criteria({"auc": found.challenger}, gate), evidence_criterion(found, gate)])


@given(st.data(), st.sampled_from(sorted(METRICS)), NUMBER, NUMBER, st.floats(0, 1), st.floats(0, 0.2))
def test_by_point_no_challenger_passes_that_misses_a_floor_or_is_worse_by_more_than_the_tolerance(
    data, task, ours, theirs, floor, tolerance
):
    metric = data.draw(st.sampled_from(METRICS[task]))
    rule = gate("point", metric=metric, floors={metric: floor}, tolerance=tolerance)
    gain = goodness(metric, ours) - goodness(metric, theirs)
    found = Effect(metric, ours, theirs, gain, 0.1, 13, 14, 1000)
    promote, reason = decision([*floor_criteria({metric: ours}, rule), evidence_criterion(found, rule)])
    worse = not gain >= -tolerance
    misses = not goodness(metric, ours) >= goodness(metric, floor)
    assert promote == (not worse and not misses)
    assert reason.startswith("Promoted" if promote else "Rejected") and metric in reason


@given(st.floats(-0.1, 0.1), st.floats(0.001, 0.1), st.integers(2, 40), st.floats(0.01, 0.2))
def test_the_interval_decides_superiority_and_non_inferiority(gain, error, number, alpha):
    found = effect(gain, error, number)
    low, _ = found.interval(alpha)
    enough = number >= 5
    for evidence, limit in (("superiority", 0.0), ("non_inferiority", -0.01)):
        assert said(gate(evidence, alpha=alpha), found)[0] == (enough and low >= limit)


def test_all_missed_floors_are_named():
    rule = gate(floors={"auc": 0.7, "log_loss": 0.5, "brier": 0.3})
    promote, reason = decision(floor_criteria({"auc": 0.65, "log_loss": 0.6, "brier": 0.2}, rule))
    assert not promote
    assert reason == (
        "Rejected: auc 0.6500 misses the floor of at least 0.7 and log_loss 0.6000 misses the floor of at most 0.5."
    )


def test_the_first_model_needs_only_the_floors():
    assert decision(floor_criteria({"auc": 0.65}, gate())) == (
        True,
        "Promoted as the first champion: auc 0.6500 meets the floor of at least 0.6.",
    )


def test_a_missed_floor_stands_before_the_rest():
    promote, reason = said(gate("point", floors={"auc": 0.8}), effect(0.01, 0.1))
    assert not promote
    assert reason == (
        "Rejected: auc 0.7300 misses the floor of at least 0.8; "
        "auc 0.7300 against the champion's 0.7200 (0.0100 better)."
    )


@pytest.mark.parametrize(
    ("evidence", "gain", "reason"),
    [
        (
            "superiority",
            0.01,
            "Promoted: auc 0.7300 against the champion's 0.7200 (0.0100 better, 90% interval 0.0011 to 0.0189 over "
            "14 days: shown to be better, p 0.033); auc 0.7300 meets the floor of at least 0.6.",
        ),
        (
            "superiority",
            0.005,
            "Rejected: auc 0.7250 against the champion's 0.7200 (0.0050 better, 90% interval -0.0039 to 0.0139 over "
            "14 days: not shown to be better, p 0.17 over 0.05); auc 0.7250 meets the floor of at least 0.6.",
        ),
        (
            "non_inferiority",
            0.0,
            "Promoted: auc 0.7200 against the champion's 0.7200 (0.0000 different, 90% interval -0.0089 to 0.0089 over "
            "14 days: shown to be less than 0.01 worse, p 0.033); auc 0.7200 meets the floor of at least 0.6.",
        ),
        (
            "non_inferiority",
            -0.005,
            "Rejected: auc 0.7150 against the champion's 0.7200 (0.0050 worse, 90% interval -0.0139 to 0.0039 over "
            "14 days: not shown to be less than 0.01 worse, p 0.17 over 0.05); auc 0.7150 meets the floor of at least 0.6.",
        ),
        (
            "point",
            -0.005,
            "Promoted: auc 0.7150 against the champion's 0.7200 (0.0050 worse, within the tolerance of 0.01); "
            "auc 0.7150 meets the floor of at least 0.6.",
        ),
        (
            "point",
            -0.025,
            "Rejected: auc 0.6950 against the champion's 0.7200 (0.0250 worse, over the tolerance of 0.01); "
            "auc 0.6950 meets the floor of at least 0.6.",
        ),
    ],
)
def test_the_reason_names_both_numbers_the_interval_and_what_is_shown(evidence, gain, reason):
    assert said(gate(evidence), effect(gain, 0.005)) == (reason.startswith("Promoted"), reason)


def test_too_few_days_show_nothing_however_clear_they_are():
    promote, reason = said(gate(cluster="depot"), effect(0.2, 0.0001, clusters=4))
    assert not promote
    assert "over 4 clusters of depot: too few to show anything, 5 are needed" in reason


def test_a_metric_that_is_undefined_never_passes():
    promote, reason = decision(floor_criteria({"auc": math.nan}, gate()))
    assert not promote and "auc undefined, one class, misses" in reason
    for evidence in EVIDENCE:
        assert not said(gate(evidence), effect(math.nan, math.nan))[0]
    assert not said(gate(), effect(0.1, math.nan))[0]


class Given:
    """A model that answers with what it was told."""

    def __init__(self, column: str):
        self.column = column

    def predict(self, frame: pl.DataFrame) -> np.ndarray:
        return frame[self.column].to_numpy()


def told(column: str) -> Contender:
    return Contender(column, f"sha of {column}", 1000, Given(column), LONG_AGO)  # type: ignore[arg-type]


def parcels_of_two(seed: int, rows: int = 60) -> pl.DataFrame:
    """Labelled parcels of a fortnight with the scores of two equal models, whose errors share each day."""
    y, ours, theirs, day = two_models(np.random.default_rng(seed), rows=rows)
    start = datetime(2020, 3, 2, tzinfo=UTC)
    sent = [start + timedelta(days=int(d), minutes=i % 1440) for i, d in enumerate(day)]
    frame = pl.DataFrame({"_label": y, "ours": ours, "theirs": theirs, "sent": sent, "depot": "north"})
    return frame.with_columns(seen=pl.col("sent") + pl.duration(hours=30))


@MANY
def test_of_many_equal_challengers_as_many_become_champion_as_the_spec_says(many, make_spec):
    rule = {"metric": "log_loss", "floors": {"auc": 0.1}, "alpha": 0.05}
    spec = make_spec(gate=rule, slices=["depot"])
    promoted = sum(
        judge(parcels_of_two(seed), told("ours"), told("theirs"), spec).promote for seed in range(many)
    )
    assert between(promoted, many, 0.05)


@MANY
def test_of_many_challengers_worse_by_the_tolerance_as_many_become_champion_as_the_spec_says(
    many, make_regression_spec
):
    spec = make_regression_spec().model_copy(
        update={"gate": gate("non_inferiority", metric="mae", floors={"mae": 1000}, tolerance=0.3)}
    )
    promoted, champion = 0, told("theirs")
    for seed in range(many):
        frame = parcels_of_two(seed)
        lead = frame["ours"].to_numpy() - frame["theirs"].to_numpy()
        rows = frame.with_columns(_label=0.0, theirs=20.0, ours=pl.Series(20.3 + lead))
        promoted += judge(
            rows, told("ours"), champion, spec.model_copy(update={"slices": []}), anchor=champion
        ).promote
    assert between(promoted, many, 0.05)


def test_both_models_are_judged_on_the_same_rows(known, make_spec, features, fitted):
    strong = Contender.of("strong", fitted.model, make_spec(), LONG_AGO)
    weak = Contender.of(
        "weak", fit(known.head(200), make_spec(), ["noise"], rounds=2).model, make_spec(), LONG_AGO
    )
    verdict = judge(known.tail(1000), strong, weak, make_spec())
    assert verdict.promote, verdict.reason
    assert verdict.champion is not None and verdict.champion_score is not None
    assert verdict.challenger["rows"] == verdict.champion["rows"] == 1000
    assert verdict.challenger["auc"] > verdict.champion["auc"]
    assert {s["slice"] for s in verdict.slices} >= {"depot"}
    assert len(verdict.score) == len(verdict.champion_score) == 1000
    assert sum(gain["rows"] for gain in verdict.gains) == 1000
    assert {"floor", "evidence", "slice", "calibration"} == {c.kind for c in verdict.criteria}
    back = judge(known.tail(1000), weak, strong, make_spec())
    assert not back.promote
    assert [g["gain"] for g in back.gains] == pytest.approx([-g["gain"] for g in verdict.gains])


def test_a_winner_that_harms_a_slice_is_rejected_and_the_slice_named(make_spec):
    frame = parcels_of_two(3, rows=240)
    site = pl.Series(np.where(np.arange(frame.height) % 6 == 0, "south", "north"))
    better = 0.5 * pl.col("theirs") + 0.5 * pl.col("_label")
    frame = frame.with_columns(depot=site, ours=pl.when(site == "south").then(0.97).otherwise(better))
    spec = make_spec(gate={"metric": "log_loss", "floors": {"auc": 0.1}}, slices=["depot"])
    verdict = judge(frame, told("ours"), told("theirs"), spec)
    assert not verdict.promote
    assert "shown to be better" in verdict.reason and "depot south is" in verdict.reason
    assert "depot north" not in verdict.reason


@pytest.mark.parametrize(("name", "model"), [("version 7", "other"), ("version 9", "same")])
def test_a_version_is_not_compared_with_itself(known, make_spec, fitted, name, model):
    champion = Contender.of("version 7", fitted.model, make_spec(), LONG_AGO)
    sha256 = champion.sha256 if model == "same" else "another"
    challenger = Contender(name, sha256, champion.size, champion.scorer, LONG_AGO)
    with pytest.raises(PromotionError, match=rf"challenger {name} and champion version 7 are the same model"):
        judge(known, challenger, champion, make_spec())


def test_a_hold_out_without_rows_is_refused(known, spec, fitted):
    with pytest.raises(DatasetError, match=r"no labelled row.*hold_out_days=14"):
        judge(known.clear(), Contender.of("first", fitted.model, spec, LONG_AGO), None, spec)


def moments(*texts: str) -> pl.DataFrame:
    return pl.DataFrame({"sent": [datetime.fromisoformat(text) for text in texts], "depot": list("abca")})


def test_a_day_lasts_from_midnight_to_midnight_where_the_model_lives(make_spec):
    frame = moments("2020-03-08T04:59Z", "2020-03-08T05:00Z", "2020-03-09T03:59Z", "2020-03-09T04:00Z")
    there = {"cadence": "weekly", "start": "2020-01-06", "end": "2020-07-06", "timezone": "America/New_York"}
    names, codes = clusters(frame, make_spec(calendar=there))
    assert (names, codes.tolist()) == (["2020-03-07", "2020-03-08", "2020-03-09"], [0, 1, 1, 2])
    names, codes = clusters(frame, make_spec())
    assert (names, codes.tolist()) == (["2020-03-08", "2020-03-09"], [0, 0, 1, 1])


def test_weeks_begin_on_monday_and_a_column_may_be_the_cluster(make_spec):
    frame = moments("2020-03-08T12:00Z", "2020-03-09T12:00Z", "2020-03-15T12:00Z", "2020-03-16T12:00Z")

    def by(cluster):
        return clusters(frame, make_spec(gate={"metric": "auc", "floors": {"auc": 0.1}, "cluster": cluster}))

    names, codes = by("week")
    assert (names, codes.tolist()) == (["2020-03-02", "2020-03-09", "2020-03-16"], [0, 1, 1, 2])
    names, codes = by("depot")
    assert (names, codes.tolist()) == (["a", "b", "c"], [0, 1, 2, 0])
    with pytest.raises(DatasetError, match=r"gate\.cluster needs the columns van"):
        by("van")
    frame = frame.with_columns(depot=pl.lit(None, pl.String))
    with pytest.raises(DatasetError, match=r"gate\.cluster 'depot' is null in 4 of 4 held-out rows"):
        by("depot")
