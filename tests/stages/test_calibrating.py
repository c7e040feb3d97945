"""A report says whether its scores are calibrated: as columns that are described, in words that say what to do, and as a picture."""

from datetime import timedelta

import numpy as np
import polars as pl
import pytest

from mlops_assets.assets.monitoring import performance_metadata
from mlops_assets.ml.monitoring.calibration import CALIBRATION_COLUMNS
from mlops_assets.ml.reports.table_columns import performance_columns
from mlops_assets.spec.columns import LABEL, SCORE
from mlops_assets.stages.calibrating import CALIBRATION, UNDEFINED, calibration_columns, calibration_note
from mlops_assets.stages.reporting import write_performance
from resources.lake.lake import Lake
from tests.ml.conftest import parcel_spec, parcels, regression_spec
from tests.parcel_weeks import TRAINER, parcel_lake

SPEC = parcel_spec(trainer=TRAINER)
WEEKS = SPEC.calendar.names()[:4]
LAST = WEEKS[-1]
PAGE = ("calibration", "calibration now and before", "calibration by slice")


@pytest.fixture(scope="module")
def lake(tmp_path_factory) -> Lake:
    """Four weeks of scores, which are half of what they should be in the last."""
    rows = parcels(4 * 24 * 7 * 4)
    known = parcel_lake(tmp_path_factory.mktemp("calibrated"), SPEC, rows)
    for name in WEEKS:
        part = known.read(f"{SPEC.name}/training_set", [name])
        queue, hour = (part[column].fill_null(0).to_numpy() for column in ("queue", "hour"))
        excess = 12 * queue + 6 * (part["depot"] == "west").to_numpy() + 0.5 * hour - 7
        chance = 1 / (1 + np.exp(-excess / 6.2))
        score = pl.Series("score", chance / 2 if name == LAST else chance, dtype=pl.Float64)
        scores = part.select("parcel", "sent").with_columns(score, pl.lit(1, pl.Int64).alias("model_version"))
        known.write(f"{SPEC.name}/predictions", scores, name)
        known.write("parcels", part.select("parcel", "sent"), name)
        write_performance(SPEC, known, name)
    return known


def report_on(lake: Lake, name: str) -> tuple[dict, dict]:
    table = f"{SPEC.name}/performance"
    return lake.read(table, [name]).row(0, named=True), lake.manifest(table, name).notes or {}


def test_each_column_of_it_is_in_the_table_and_described(lake):
    report, _ = report_on(lake, LAST)
    assert all(report[name] is not None for name in CALIBRATION_COLUMNS)
    assert set(report) == set(performance_columns(SPEC))


def test_scores_that_are_half_of_what_they_should_be_are_told_with_what_to_do(lake):
    report, notes = report_on(lake, LAST)
    assert report["calibration_in_the_large_low"] > 0 and report["calibration_in_the_large_p"] < 0.01
    page = performance_metadata(report, [], notes)
    assert "scores are too low by" in page["calibration"] and "retrain" in page["calibration"]
    assert not set(CALIBRATION_COLUMNS) & set(page) and set(PAGE) <= set(page)


def test_the_picture_has_a_line_of_now_and_one_of_the_weeks_before_and_is_seen_without_a_click(lake):
    report, notes = report_on(lake, LAST)
    picture = performance_metadata(report, [], notes)[PAGE[1]].md_str
    assert picture.count("polyline") == 2 and "3 partitions before orange" in picture and len(picture) <= 1000
    first = performance_metadata(*(report_on(lake, WEEKS[0])[0], [], report_on(lake, WEEKS[0])[1]))
    assert first[PAGE[1]].md_str.count("polyline") == 1


def test_a_week_of_which_it_is_not_defined_has_no_number_and_says_so(lake):
    rows = lake.read(f"{SPEC.name}/training_set", [LAST])
    start = rows["sent"].min()
    day = rows.filter(pl.col("sent") < start + timedelta(hours=3)).with_columns(  # type: ignore[operator]
        label=pl.lit(1.0), score=pl.lit(0.5)
    )

    judged = day.rename({"label": LABEL, "score": SCORE})
    assert calibration_columns(SPEC, judged) == dict.fromkeys(CALIBRATION_COLUMNS)
    assert calibration_note(SPEC, judged, {})[CALIBRATION]["remark"] == UNDEFINED
    assert calibration_note(SPEC, judged.clear(), {}) == {}


def test_a_regression_has_none_of_it(lake):
    spec = regression_spec(trainer=TRAINER)
    assert (
        calibration_columns(spec, pl.DataFrame()) == {} and calibration_note(spec, pl.DataFrame(), {}) == {}
    )
    assert not set(CALIBRATION_COLUMNS) & set(performance_columns(spec))


def test_a_report_of_an_earlier_release_is_shown_without_it(lake):
    report, notes = report_on(lake, LAST)
    old = {name: value for name, value in report.items() if name not in CALIBRATION_COLUMNS}
    page = performance_metadata(old, [], {name: note for name, note in notes.items() if name != CALIBRATION})
    assert not set(PAGE) & set(page)
