"""A report holds the champion against the anchor on its own rows, so that what promotions lose step by step is seen."""

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl
import pytest

from mlops_assets.assets.monitoring import performance_metadata
from mlops_assets.ml.dataset import labelled
from mlops_assets.ml.judging.metrics import log_loss
from mlops_assets.ml.training.fit import Scorer, fit
from mlops_assets.stages.anchor_line import ANCHOR, AnchorThen, anchor_line, anchor_then
from mlops_assets.stages.history import anchor_metric
from mlops_assets.stages.reporting import write_performance
from resources.audit.log import Audit
from resources.lake.lake import Lake
from resources.systems import Systems
from resources.tracking.tracking import TrackingError
from resources.tracking.versions import Version
from tests.ml.conftest import FEATURES, parcel_spec, parcels
from tests.parcel_weeks import TRAINER, parcel_lake

SPEC = parcel_spec(
    trainer=TRAINER | {"rounds": 8},
    gate={"metric": "log_loss", "floors": {"auc": 0.6}, "evidence": "non_inferiority", "tolerance": 0.01},
)
WEEKS = SPEC.calendar.names()
NAME, LAST = SPEC.name, WEEKS[5]


def version(number: int, until: datetime | None) -> Version:
    return Version(NAME, number, str(number), "run", f"sha{number}", {"trainer": "xgboost"}, until)


@pytest.fixture(scope="module")
def model() -> bytes:
    start = SPEC.calendar.partition(WEEKS[2]).start
    known = labelled(parcels(4 * 24 * 14), SPEC, start)
    return fit(known, SPEC, FEATURES).model


def registry(lake: Lake, audit: Audit, model: bytes, *versions: Version) -> Systems:
    held = {one.number: one for one in versions}

    def found(_: str, number: int) -> Version:
        if number not in held:
            raise TrackingError(f"version {number} does not exist")
        return held[number]

    tracking = SimpleNamespace(version=found, load=lambda _: model)
    return Systems.of({"lake": lake, "audit": audit, "tracking": tracking})


@pytest.fixture
def lake(tmp_path) -> Lake:
    """Six weeks, of which version 2 scored the last, each row by the same 0.4."""
    made = parcel_lake(tmp_path / "lake", SPEC)
    rows = made.read(f"{NAME}/training_set", [LAST])
    scored = rows.select("parcel", "sent", score=pl.lit(0.4), model_version=pl.lit(2, pl.Int64))
    made.write(f"{NAME}/predictions", scored, LAST)
    return made


def promoted(folder: Any, *versions: tuple[int, str], better: tuple[int, ...] = ()) -> Audit:
    """An audit log in which each version became champion at the end of a week."""
    audit, before = Audit(folder=str(folder / "audit")), None
    for number, week in versions:
        audit.record(
            "promoted",
            NAME,
            identity={"version": number},
            by="gate",
            why="passed",
            moment=SPEC.calendar.partition(week).end,
            evidence={"replaces": before, "shown_better": number in better},
            version=number,
        )
        before = number
    return audit


UNTIL = SPEC.calendar.partition(WEEKS[1]).end


def test_the_line_has_both_metrics_on_the_very_rows_and_their_difference_by_day(tmp_path, lake, model):
    audit = promoted(tmp_path, (1, WEEKS[1]), (2, WEEKS[3]))
    anchor = anchor_then(SPEC, registry(lake, audit, model, version(1, UNTIL)), LAST)
    assert anchor is not None and str(anchor) == "2 1 sha1"
    write_performance(SPEC, lake, LAST, anchor=anchor)
    line = (lake.manifest(f"{NAME}/performance", LAST).notes or {})[ANCHOR]
    report = lake.read(f"{NAME}/performance", [LAST]).row(0, named=True)
    rows = labelled(lake.read(f"{NAME}/training_set", [LAST]), SPEC, SPEC.calendar.partition(LAST).end)
    scores = Scorer(model).predict(rows)
    assert line["champion"] == pytest.approx(report["log_loss"])
    assert line["anchor"] == pytest.approx(log_loss(rows["_label"].to_numpy(), scores))
    assert line["gain"] == pytest.approx(line["anchor"] - line["champion"]) and line["gain"] < 0
    assert line["low"] < line["gain"] < line["high"] < 0 and line["rows"] == report["scored"]
    assert anchor_metric(SPEC, lake, LAST) == line["anchor"], "the picture has the report's own line"
    shown = performance_metadata(report, [], {ANCHOR: line})["against the anchor"]
    assert "worse (95% interval -" in shown and "clusters by day" in shown


@pytest.mark.parametrize(
    ("promotions", "better", "versions", "why"),
    [
        ([(1, 1), (2, 3)], (2,), [], "the champion, version 2, is the anchor"),
        ([(1, 1), (2, 3)], (), [], "version 1 is not in the registry any more"),
        ([(1, 1), (2, 3)], (), [version(1, None)], "version 1 was trained until None and may have seen"),
        (
            [(1, 1), (2, 8)],
            (1,),
            [version(1, datetime(2021, 1, 1, tzinfo=UTC))],
            "may have seen the partition's rows",
        ),
        ([(2, 8)], (), [], "no promotion is on record up to"),
    ],
)
def test_where_the_anchor_cannot_be_held_against_the_report_says_why(
    tmp_path, lake, model, promotions, better, versions, why
):
    audit = promoted(tmp_path, *((number, WEEKS[week]) for number, week in promotions), better=better)
    anchor = anchor_then(SPEC, registry(lake, audit, model, *versions), LAST)
    assert anchor is not None and why in str(anchor)
    assert why in anchor_line(SPEC, pl.DataFrame(), anchor)[ANCHOR]["remark"]


def test_a_promotion_after_a_partition_does_not_change_its_anchor(tmp_path, lake, model):
    audit = promoted(tmp_path, (1, WEEKS[1]), (2, WEEKS[3]), (3, WEEKS[8]), better=(3,))
    found = anchor_then(SPEC, registry(lake, audit, model, version(1, UNTIL)), LAST)
    assert found is not None and found.version is not None and found.version.number == 1


def test_a_model_that_cannot_score_the_rows_is_told_and_no_number_given(lake):
    rows = labelled(lake.read(f"{NAME}/training_set", [LAST]), SPEC, UNTIL + timedelta(days=90))
    judged = rows.with_columns(pl.Series("_score", np.full(rows.height, 0.4)))
    anchor = AnchorThen(2, version(1, UNTIL), load=lambda _: b"no model")
    line = anchor_line(SPEC, judged, anchor)[ANCHOR]
    assert line.keys() == {"version", "remark"} and "cannot score the partition" in line["remark"]


def test_a_partition_that_nobody_scored_has_no_line(tmp_path, lake):
    lake.write(f"{NAME}/predictions", lake.read(f"{NAME}/predictions", [LAST]).clear(), LAST)
    assert anchor_then(SPEC, registry(lake, promoted(tmp_path), b""), LAST) is None
    write_performance(SPEC, lake, LAST)
    assert anchor_metric(SPEC, lake, LAST) is None
    assert anchor_line(SPEC, pl.DataFrame(), None) == {}
