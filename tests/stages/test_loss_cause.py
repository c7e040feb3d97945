"""A report tells what moved the loss of its version: slices always, columns of a change that chance does not explain, in words where not."""

from types import SimpleNamespace
from typing import Any

import polars as pl
import pytest

from mlops_assets.assets.monitoring import performance_metadata
from mlops_assets.ml.dataset import labelled
from mlops_assets.ml.monitoring.loss_attribution import THE_LABELS
from mlops_assets.ml.training.fit import Scorer, fit
from mlops_assets.spec.columns import SCORE
from mlops_assets.stages.known_before import known_before
from mlops_assets.stages.label_state import label_state
from mlops_assets.stages.loss_cause import LOSS_CAUSE, UNLABELLED, loader, loss_metric, loss_note, loss_remark
from mlops_assets.stages.reporting import judged_rows, write_performance
from resources.lake.lake import Lake
from resources.tracking.tracking import Version
from tests.ml.conftest import FEATURES, parcel_spec, parcels, regression_spec
from tests.parcel_weeks import TRAINER, parcel_lake

SPEC = parcel_spec(trainer=TRAINER, slices=["depot"])
WEEKS = SPEC.calendar.names()[:8]
FIRST, LAST = WEEKS[2], WEEKS[7]
TABLE = f"{SPEC.name}/performance"


@pytest.fixture(scope="module")
def model() -> bytes:
    """A model of the first two weeks."""
    known = labelled(parcels(4 * 24 * 14), SPEC, SPEC.calendar.partition(FIRST).start)
    return fit(known, SPEC, FEATURES).model


@pytest.fixture(scope="module")
def lake(tmp_path_factory, model) -> Lake:
    """Six weeks that the model scores; in the last the queues that it is given say the opposite of what they said."""
    span = SPEC.calendar.partition(LAST)
    turned = pl.col("sent").is_between(span.start, span.end, closed="left")
    rows = parcels(4 * 24 * 7 * 8).with_columns(
        queue=pl.when(turned).then(-pl.col("queue")).otherwise(pl.col("queue"))
    )
    known, scorer = parcel_lake(tmp_path_factory.mktemp("lost"), SPEC, rows), Scorer(model)
    for name in WEEKS[2:]:
        part = known.read(f"{SPEC.name}/training_set", [name])
        score = pl.Series("score", scorer.predict(part), dtype=pl.Float64)
        scores = part.select("parcel", "sent").with_columns(score, pl.lit(1, pl.Int64).alias("model_version"))
        known.write(f"{SPEC.name}/predictions", scores, name)
        known.write("parcels", part.select("parcel", "sent"), name)
        write_performance(SPEC, known, name, load=loader(SPEC, registry(model)))
    return known


def registry(model: bytes) -> Any:
    version = Version(SPEC.name, 1, "1", "run", "sha", {"trainer": "xgboost"}, None)
    return SimpleNamespace(version=lambda *_: version, load=lambda _: model)


def note_of(lake: Lake, name: str) -> dict[str, Any]:
    return (lake.manifest(TABLE, name).notes or {})[LOSS_CAUSE]


def told(lake: Lake, judged: pl.DataFrame, load: Any = None, spec: Any = SPEC) -> dict[str, Any]:
    return loss_note(spec, lake, LAST, judged, known_before(spec, lake, LAST), load)


def judged(lake: Lake, name: str) -> pl.DataFrame:
    return judged_rows(SPEC, lake, name, label_state(SPEC, lake, name, None))[0]


def test_the_column_that_says_the_opposite_has_most_of_the_loss_and_parts_add_up(lake):
    note = note_of(lake, LAST)
    assert note["change"] > 0 and ": beyond what partitions before let expect (" in note["remark"]
    first = note["columns"][0]
    assert first["column"] == "queue" and first["added_before"] < 0 < first["added_now"]
    assert {line["column"] for line in note["columns"]} == {*FEATURES, "depot", THE_LABELS}
    assert sum(line["change"] for line in note["slices"]) == pytest.approx(note["change"])
    assert {line["slice"] for line in note["slices"]} == {"depot north", "depot south", "depot west"}


def test_a_week_like_those_before_has_slices_and_no_columns(lake):
    note = note_of(lake, WEEKS[6])
    assert ": within what partitions before let expect (" in note["remark"] and note["columns"] == []
    assert sum(line["change"] for line in note["slices"]) == pytest.approx(note["change"])


def test_with_fewer_than_four_weeks_before_it_chance_is_not_told(lake):
    remark = note_of(lake, WEEKS[4])["remark"]
    assert remark.endswith("whether by chance is not known with fewer than 4 partitions before")


def test_the_first_week_of_a_version_has_nothing_to_be_compared_with_and_says_so(lake):
    alone = "not told: no partition before was scored by version 1 and had labels by the end of this one"
    assert note_of(lake, FIRST) == {"remark": alone}
    newer = judged(lake, LAST).with_columns(model_version=pl.lit(2, pl.Int64))
    assert told(lake, newer) == {LOSS_CAUSE: {"remark": alone.replace("1", "2", 1)}}


def test_without_a_label_nothing_is_told_and_the_page_says_so(lake):
    note = told(lake, judged(lake, LAST).clear())
    assert note == {LOSS_CAUSE: {"remark": UNLABELLED}}
    report = lake.read(TABLE, [LAST]).row(0, named=True)
    page = performance_metadata(report, [], note)
    assert page["what moved the loss"] == UNLABELLED and "slices that moved the loss" not in page


def test_a_model_that_cannot_be_loaded_leaves_the_slices_and_says_why(lake):
    for load, why in (
        (None, "no registry is at hand"),
        (loader(SPEC, registry(b"no model")), "version 1 cannot be loaded"),
    ):
        note = told(lake, judged(lake, LAST), load)[LOSS_CAUSE]
        assert f"; not attributed to columns: {why}" in note["remark"]
        assert note["columns"] == [] and len(note["slices"]) == 3


def test_the_page_shows_it_and_that_of_an_alarm_repeats_the_sentence(lake):
    report, notes = lake.read(TABLE, [LAST]).row(0, named=True), lake.manifest(TABLE, LAST).notes or {}
    page = performance_metadata(report, [], notes)
    assert "| queue | " in page["columns that moved the loss"].md_str.splitlines()[2]
    assert "| depot " in page["slices that moved the loss"].md_str
    assert loss_remark(SPEC, lake, LAST) == f"{page['what moved the loss']} ({TABLE})"
    assert (
        loss_remark(SPEC, lake, WEEKS[0])
        == f"not told here: {TABLE} tells it once labels of the partition are known"
    )


def test_a_week_whose_rows_lack_a_slice_is_left_out(lake):
    spec = parcel_spec(trainer=TRAINER, slices=["depot", "gate"])
    now = judged(lake, LAST).with_columns(gate=pl.lit("left"))
    assert told(lake, now, spec=spec)[LOSS_CAUSE]["remark"].startswith("not told: no partition before")


def test_the_loss_is_the_gates_metric_where_that_is_a_mean_of_losses():
    def of(metric: str, floors: dict[str, float]) -> str:
        return loss_metric(parcel_spec(gate={"metric": metric, "floors": floors}))

    assert (of("auc", {"auc": 0.1}), of("brier", {"auc": 0.1})) == ("log_loss", "brier")
    assert loss_metric(regression_spec()) in ("mae", "rmse")


def test_a_loss_too_large_for_a_number_is_said(lake):
    spec = parcel_spec(trainer=TRAINER, slices=["depot"], gate={"metric": "brier", "floors": {"auc": 0.1}})
    huge = judged(lake, LAST).with_columns(pl.lit(1e300).alias(SCORE))
    remark = told(lake, huge, spec=spec)[LOSS_CAUSE]["remark"]
    assert remark == "not told: the mean brier of a row is too large for a number"
