"""Evidently's page: a replay draws it where the drift signal is on, everybody else for each week, and a week without one says so."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
import pytest

from mlops_assets.assets.monitoring import drift
from mlops_assets.kit.report_link import LINK, report_link
from mlops_assets.ml.monitoring.drift import report_html, score_profile
from mlops_assets.ml.monitoring.report_columns import MEANINGS
from mlops_assets.spec.model import ModelSpec
from mlops_assets.stages.drift_page import NO_PAGE, NONE, PAGE, PAGES_TAG, WHERE_IT_DRIFTS, page_name
from mlops_assets.stages.reference import reference, reference_name
from mlops_assets.stages.reporting import write_drift
from mlops_assets.stages.training import Files
from resources.lake.lake import Lake
from resources.pages import Pages
from resources.settings import PROJECT_ROOT
from tests.ml.conftest import FEATURES, parcel_spec
from tests.parcel_weeks import TRAINER, parcel_lake, report_parts

WEEK = "2020-01-27"
SPEC = parcel_spec(trainer=TRAINER)
SCRIPT = """
import sys
from resources.lake.lake import Lake
from mlops_assets.stages.reporting import write_drift
from mlops_assets.stages.drift_page import WHERE_IT_DRIFTS
from tests.stages.test_drift_page import SPEC, WEEK

write_drift(SPEC, Lake(root=sys.argv[1]), WEEK, WHERE_IT_DRIFTS)
sys.exit("evidently" in sys.modules)
"""


def page_path(spec: ModelSpec, lake: Lake) -> Path:
    return Path(lake.folder(f"{spec.name}/drift").at(page_name(WEEK)))


def reported(folder: Path, moved: float = 0.0, spec: ModelSpec = SPEC) -> Lake:
    """A lake whose fourth week was scored by version 1, its scores moved by so much from those it was trained on."""
    lake = parcel_lake(folder, spec)
    table = f"{spec.name}/training_set"
    earlier = [name for name in lake.partitions(table) if name < WEEK]
    rows = lake.read(table, [WEEK])
    files = Files(tuple(lake.address(table, name) for name in earlier), rows["seen"].max())  # type: ignore[arg-type]
    features, sample = reference(spec, files, FEATURES)
    lake.write(f"{spec.name}/reference", sample, "000001")
    score = (pl.int_range(rows.height) / rows.height).alias("score")
    scores = score_profile(rows.select(score)["score"].to_numpy())
    profile = {"features": features, "scores": scores, "metrics": {"auc": 0.8}, "columns": list(FEATURES)}
    lake.write_json(reference_name(spec, 1), profile)
    scored = rows.select("parcel", "sent", score + moved, pl.lit(1, pl.Int64).alias("model_version"))
    lake.write(f"{spec.name}/predictions", scored, WEEK)
    return lake


def noted(lake: Lake, spec: ModelSpec = SPEC) -> dict[str, Any]:
    return lake.manifest(f"{spec.name}/drift", WEEK).notes or {}


def materialized(lake: Lake, tags: dict[str, str]) -> dict[str, Any]:
    """What the week's page in the UI shows after a run with these tags."""
    with dg.DagsterInstance.ephemeral() as instance:
        result = dg.materialize(
            [drift(SPEC)], partition_key=WEEK, tags=tags, instance=instance, resources=report_parts(lake)
        )
        event = result.asset_materializations_for_node("late_parcel__drift")[0]
        return {name: value.value for name, value in event.metadata.items()}


def test_a_week_of_a_replay_without_a_drift_signal_has_numbers_no_page_and_a_sentence_on_how_to_get_it(
    tmp_path,
):
    lake = reported(tmp_path)
    _, columns, numbers = write_drift(SPEC, lake, WEEK, WHERE_IT_DRIFTS)
    assert columns.height == len(FEATURES) and numbers["prediction_drifted"] is False
    assert not page_path(SPEC, lake).exists()
    assert f"materialize late_parcel/drift {WEEK} by hand for it" in noted(lake)[PAGE]


def test_a_week_without_a_page_does_not_import_evidently(tmp_path):
    reported(tmp_path)
    done = subprocess.run([sys.executable, "-c", SCRIPT, str(tmp_path)], cwd=PROJECT_ROOT, check=False)
    assert done.returncode == 0


def test_scores_that_drifted_have_their_page_in_a_replay_too(tmp_path):
    lake = reported(tmp_path, moved=0.4)
    _, _, numbers = write_drift(SPEC, lake, WEEK, WHERE_IT_DRIFTS)
    assert numbers["prediction_drifted"] is True
    assert noted(lake)[PAGE] == str(page_path(SPEC, lake))
    assert "queue" in page_path(SPEC, lake).read_text()


def test_of_partitions_that_share_runs_none_is_drawn(tmp_path):
    lake = reported(tmp_path, moved=0.4)
    assert materialized(lake, {PAGES_TAG: NONE})[PAGE].startswith("not drawn: ")
    assert not page_path(SPEC, lake).exists()
    assert Path(materialized(lake, {PAGES_TAG: WHERE_IT_DRIFTS})[PAGE]).exists()


@pytest.mark.parametrize(("limit", "drawn"), [(0.1, True), (0.9, False)])
def test_a_share_of_drifted_columns_over_the_policys_limit_has_its_page(tmp_path, limit, drawn):
    spec = parcel_spec(trainer=TRAINER, drift={"psi": 0.01}, retrain={"drift_share_above": limit})
    lake = reported(tmp_path, spec=spec)
    rows = lake.read(f"{spec.name}/training_set", [WEEK]).with_columns(pl.col("weight") + 3)
    lake.write(f"{spec.name}/training_set", rows, WEEK)
    _, _, numbers = write_drift(spec, lake, WEEK, WHERE_IT_DRIFTS)
    assert 0.1 < numbers["drift_share"] < 0.9 and not numbers["prediction_drifted"]
    assert page_path(spec, lake).exists() is drawn


def test_the_page_of_the_newest_week_says_what_each_column_of_the_report_means(tmp_path):
    schema = materialized(reported(tmp_path), {PAGES_TAG: NONE})["dagster/column_schema"]
    assert {column.name: column.description for column in schema.columns} == MEANINGS


def test_the_page_of_a_week_has_a_link_where_the_endpoint_is_known_and_only_where_a_page_was_drawn():
    drawn, left_out = {PAGE: "/lake/late_parcel/drift/2020-01-27.html"}, {PAGE: NO_PAGE.format("x", WEEK)}
    known, unknown = (Pages(dagster="", mlflow="", endpoint=at) for at in ("http://127.0.0.1:8000", ""))
    link = report_link(SPEC, known, WEEK, drawn)[LINK]
    assert link.value == f"http://127.0.0.1:8000/reports/late_parcel/drift/{WEEK}"
    assert [report_link(SPEC, unknown, WEEK, drawn), report_link(SPEC, known, WEEK, left_out)] == [{}, {}]
    assert report_link(SPEC, known, WEEK, {}) == {}


def test_a_category_that_is_a_script_ends_none_of_the_pages_own():
    hostile = "</script><script>alert()</script>"
    side = pl.DataFrame({"depot": ["a", hostile] * 50})
    page = report_html(side, side, ["depot"], seed=0, rows=100)
    assert hostile not in page and "alert()" in page


def drawn_again(lake: Lake) -> str:
    """The week's page drawn anew, without the names that Evidently draws by lot for its widgets."""
    write_drift(SPEC, lake, WEEK)
    page = page_path(SPEC, lake)
    text = re.sub("[0-9a-f]{8}[-_]?([0-9a-f]{4}[-_]?){3}[0-9a-f]{12}", "~", page.read_text())
    page.unlink()
    return text


def test_a_run_that_is_no_replays_draws_each_page_and_the_same_one_each_time(tmp_path):
    lake = reported(tmp_path)
    assert drawn_again(lake) == drawn_again(lake)


def test_a_page_of_other_rows_is_taken_away_where_none_is_drawn(tmp_path):
    lake = reported(tmp_path)
    write_drift(SPEC, lake, WEEK)
    write_drift(SPEC, lake, WEEK, WHERE_IT_DRIFTS)
    assert not page_path(SPEC, lake).exists()


def test_a_week_that_is_materialized_by_hand_gets_the_page_that_its_replay_left_out_and_the_numbers_stay(
    tmp_path,
):
    lake = reported(tmp_path)
    replayed = materialized(lake, {PAGES_TAG: WHERE_IT_DRIFTS})
    assert replayed[PAGE].startswith("not drawn: ")
    assert materialized(lake, {PAGES_TAG: WHERE_IT_DRIFTS})["skipped"].startswith("nothing changed")
    by_hand = materialized(lake, {})
    assert by_hand[PAGE] == str(page_path(SPEC, lake)) and Path(by_hand[PAGE]).exists()
    assert by_hand["content sha256"] == replayed["content sha256"]
    assert "skipped" in materialized(lake, {}) and "skipped" in materialized(
        lake, {PAGES_TAG: WHERE_IT_DRIFTS}
    )
