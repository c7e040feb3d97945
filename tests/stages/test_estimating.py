"""A week is estimated at its end by what was known then: labels that come later change nothing, and the truth stands beside it."""

from datetime import timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest

from mlops_assets.assets.monitoring import performance_metadata
from mlops_assets.stages.estimating import ESTIMATE, REFUSED, estimate_note
from mlops_assets.stages.known_before import hashes_before, known_before
from mlops_assets.stages.reporting import write_performance
from resources.lake.lake import Lake
from tests.ml.conftest import parcel_spec, parcels, regression_spec
from tests.parcel_weeks import TRAINER, parcel_lake

SPEC = parcel_spec(trainer=TRAINER)
WEEKS = SPEC.calendar.names()[:8]
LAST = WEEKS[7]


def chance(queue: pl.Series) -> np.ndarray:
    return 1 / (1 + np.exp(-(0.6 + 1.6 * queue.fill_null(0).to_numpy())))


def scored(lake: Lake) -> Lake:
    for name in lake.partitions(f"{SPEC.name}/training_set"):
        rows = lake.read(f"{SPEC.name}/training_set", [name])
        score = pl.Series("score", chance(rows["queue"]), dtype=pl.Float64)
        scores = rows.select("parcel", "sent").with_columns(score, pl.lit(1, pl.Int64).alias("model_version"))
        lake.write(f"{SPEC.name}/predictions", scores, name)
    return lake


@pytest.fixture(scope="module")
def weeks() -> pl.DataFrame:
    """Labels that are known after eight days."""
    rows = parcels(4 * 24 * 7 * 8)
    return rows.with_columns(seen=pl.col("sent") + timedelta(days=8))


@pytest.fixture(scope="module")
def lake(tmp_path_factory, weeks) -> Lake:
    made = scored(parcel_lake(tmp_path_factory.mktemp("lake"), SPEC, weeks))
    for name in WEEKS:
        write_performance(SPEC, made, name)
    return made


def test_a_week_without_a_label_has_estimates_with_intervals_and_says_what_they_rest_on(lake):
    note = (lake.manifest(f"{SPEC.name}/performance", LAST).notes or {})[ESTIMATE]
    auc = note["metrics"]["auc"]
    assert 0.5 < auc["low"] < auc["value"] < auc["high"] < 1 and auc["partitions"] >= 4
    assert note["remark"].startswith("calibrated on ") and "past error: auc" in note["remark"]


def test_the_truth_stands_beside_the_estimate_once_it_is_known(lake):
    for name in WEEKS:
        rows = lake.read(f"{SPEC.name}/training_set", [name])
        lake.write("parcels", rows.select("parcel", "sent"), name)
    before = lake.manifest(f"{SPEC.name}/performance", WEEKS[2]).notes or {}
    write_performance(SPEC, lake, WEEKS[2])
    report = lake.read(f"{SPEC.name}/performance", [WEEKS[2]]).row(0, named=True)
    notes = lake.manifest(f"{SPEC.name}/performance", WEEKS[2]).notes or {}
    assert notes[ESTIMATE] == before[ESTIMATE]
    shown = performance_metadata(report, [], notes)
    assert f"measured {report['auc']:.4f}" in shown["estimated auc"]
    late = performance_metadata({**report, "auc": None, "scored": 0}, [], notes)
    assert "not measured yet" in late["estimated auc"]


def estimated(lake: Lake, name: str, spec: Any = SPEC) -> dict[str, Any]:
    return estimate_note(spec, lake, name, known_before(spec, lake, name))


def test_labels_that_became_known_after_a_weeks_end_change_nothing_of_its_estimate(tmp_path, lake, weeks):
    end = SPEC.calendar.partition(LAST).end
    later = weeks.with_columns(
        delay=pl.when(pl.col("seen") > end).then(-1000.0).otherwise(pl.col("delay")),
    )
    assert (later["delay"] != weeks["delay"]).sum() > 500
    changed = scored(parcel_lake(tmp_path, SPEC, later))
    for name in WEEKS[:-1]:
        write_performance(SPEC, changed, name)
    assert estimated(changed, LAST) == estimated(lake, LAST)


def test_an_estimate_rests_on_the_scores_of_the_weeks_before_it(lake):
    before = hashes_before(SPEC, lake, LAST)
    assert [*before] == WEEKS[:-1]
    assert hashes_before(SPEC, lake, WEEKS[0]) == {}


def test_the_first_weeks_scores_are_taken_as_they_are_and_that_is_said(lake):
    remark = estimated(lake, WEEKS[0])[ESTIMATE]["remark"]
    assert remark.startswith("scores taken as they are, too few labels were known")
    assert "its error is not known yet: 0 of 4 partitions" in remark


def test_a_regression_is_refused_in_words(lake):
    spec = regression_spec(trainer=TRAINER)
    assert estimated(lake, LAST, spec) == {ESTIMATE: {"metrics": {}, "remark": REFUSED}}
