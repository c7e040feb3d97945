"""The champion recalibrated: through the same gate, log and refit as any challenger, by rows that nobody else judges by."""

from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import polars as pl
import pytest

import mlops_assets.project
from mlops_assets.cli import main
from mlops_assets.kit.run_tags import REASON_TAG, TRIGGER_TAG
from mlops_assets.ml.training.recalibrated import parts
from mlops_assets.stages.errors import NotReadyError, OtherRulesError, RecalibrationError
from mlops_assets.stages.recalibrating import recalibrate, rows_since
from mlops_assets.stages.training import hold_out_start
from mlops_assets.stages.training_set import training_data
from mlops_assets.verify.rebuild import Rebuild
from mlops_assets.verify.verdict import verify, verify_version
from resources.lake.lake import Lake
from resources.records.lineage import FILE, Lineage
from resources.settings import settings
from resources.systems import Systems
from tests.pumps.project import SPEC, definitions
from tests.pumps.promotion import AUTOMATIC, FIRST, NAME, NAMES, STAGES, Project, add_week, copied, spec

pytestmark = pytest.mark.usefixtures("pumps_features")
LAST = FIRST + 2


def stop_more(lake: Lake, name: str, shift: float) -> None:
    """A week in which pumps stop by log odds that are higher by `shift`."""
    add_week(lake, name)
    table = f"{NAME}/training_set"
    rows, notes = lake.read(table, [name]), lake.manifest(table, name).notes
    chance = 1 / (1 + np.exp(3 - shift - 2 * rows["vibration"].to_numpy()))
    stops = np.random.default_rng(int(name.replace("-", ""))).random(rows.height) < chance
    lake.write(
        table, rows.with_columns(stopped_minutes=pl.Series(np.where(stops, 30.0, 0.0))), name, notes=notes
    )


@pytest.fixture(scope="module")
def shifted(championed: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Champion 2, and three weeks since its training in which pumps stop more often."""
    project = copied(championed, tmp_path_factory.mktemp("shifted"))
    for week in range(FIRST, LAST + 1):
        stop_more(project.lake, NAMES[week], 1.2)
    return project.home


@pytest.fixture
def project(shifted: Path, tmp_path: Path) -> Project:
    return copied(shifted, tmp_path)


def launched(project: Project, given: Any) -> None:
    """What the job `<model>_recalibrate` runs."""
    tags = {TRIGGER_TAG: "calibration", REASON_TAG: "scores are too low"}
    assets = [STAGES[name](given) for name in STAGES]
    assert dg.materialize(assets, resources=project.parts, tags=tags).success


STRICT = spec(gate={"metric": "log_loss", "floors": {"auc": 0.6}})


def test_a_shift_that_labels_show_passes_the_gate_and_becomes_champion_with_the_champions_own_trees(project):
    launched(project, STRICT)
    before, challenger, champion = (project.tracking.version(NAME, number) for number in (2, 3, 4))
    assert project.champion == 4 and champion.tags["challenger"] == "3"
    inner, first = parts(project.tracking.load(challenger))
    again, final = parts(project.tracking.load(champion))
    assert inner == again == project.tracking.load(before) and first.slope == final.slope == 1
    assert first != final and final.intercept == pytest.approx(1.2, abs=0.4)
    assert [v.tags["recalibrates"] for v in (challenger, champion)] == ["2", "2"]
    steps = [("trained", 3), ("evaluated", 3), ("trained", 4), ("promoted", 4)]
    assert [one for one in project.log if one in steps] == steps
    assert project.audit.verify(project.tracking.anchors()).problem is None
    assert project.lake.read_json(f"{NAME}/attempts/{NAMES[LAST]}")["trigger"] == "calibration"


def test_the_endpoint_and_the_lineage_hold_the_same_bytes_and_the_reference_stays_what_the_trees_were_fitted_on(
    project,
):
    launched(project, STRICT)
    record = project.endpoint.records()[NAME]
    champion = project.tracking.champion(NAME)
    assert Path(record.model_path).read_bytes() == project.tracking.load(champion)
    lineage = Lineage.read(project.tracking.artifact(champion, FILE), champion.tags["lineage"])
    told = lineage.result["recalibration"]
    assert (told["version"], told["curve"], told["slope"]) == (2, "shift", 1.0)
    profiles = [project.lake.read_json(f"{NAME}/profiles/{number:06d}") for number in (2, 4)]
    assert (
        profiles[0]["features"] == profiles[1]["features"] and profiles[0]["scores"] != profiles[1]["scores"]
    )


def test_repeated_it_is_the_same_version_and_a_plain_training_after_it_is_another(project):
    launched(project, STRICT)
    launched(project, STRICT)
    assert [v.number for v in project.tracking.versions(NAME)] == [1, 2, 3, 4] and project.champion == 4
    project.make(AUTOMATIC, "model")
    assert "recalibrates" not in project.tracking.challenger(NAME).tags


def test_it_learns_from_no_row_that_the_champion_has_seen_or_the_gate_judges_by(project):
    champion = project.tracking.champion(NAME)
    data = training_data(STRICT, project.lake, NAMES[LAST])
    start = hold_out_start(STRICT, data)
    rows = rows_since(STRICT, data, champion, hold_out=True)
    assert (
        rows["checked_at"].min() >= champion.trained_until and rows["known_at"].min() > champion.trained_until
    )
    assert rows["known_at"].max() <= start and rows["checked_at"].max() < start
    everything = rows_since(STRICT, data, champion, hold_out=False)
    assert everything["known_at"].max() > start and everything["known_at"].max() <= data.now


def test_labels_of_the_held_out_days_change_no_number_of_the_challenger(project, tmp_path):
    other = copied(project.home, tmp_path / "other")
    stop_more(other.lake, NAMES[LAST], -3.0)
    numbers = [
        recalibrate(STRICT, Systems.of(one.parts), {})[1].recalibration["intercept"]
        for one in (project, other)
    ]
    assert numbers[0] == numbers[1]


def test_one_that_the_held_out_days_do_not_confirm_is_rejected_and_the_champion_stays(project):
    stop_more(project.lake, NAMES[LAST], -1.5)
    launched(project, STRICT)
    assert project.champion == 2
    assert (
        project.log[-1] == ("evaluated", 3)
        and not project.audit.latest(NAME, ("evaluated",)).evidence["passed"]
    )


def test_calibrated_scores_a_changed_spec_and_a_champion_without_rows_since_are_refused_in_words(
    championed, project, tmp_path
):
    systems = Systems.of(project.parts)
    with pytest.raises(OtherRulesError, match="the spec changed since champion 2 was fitted"):
        recalibrate(spec(trainer={"rounds": 3}), systems, {})
    with pytest.raises(RecalibrationError, match="sees the order of scores alone"):
        recalibrate(spec(gate={"metric": "auc", "floors": {"auc": 0.6}}), systems, {})
    calm = copied(championed, tmp_path / "calm")
    with pytest.raises(NotReadyError, match="there is no row between them to recalibrate by"):
        recalibrate(STRICT, Systems.of(calm.parts), {})
    for week in range(FIRST, LAST + 1):
        stop_more(calm.lake, NAMES[week], 0.0)
    with pytest.raises(RecalibrationError, match="there is nothing to recalibrate"):
        recalibrate(STRICT, Systems.of(calm.parts), {})


def test_both_versions_are_rebuilt_byte_by_byte_by_the_rows_and_the_version_that_they_follow_from(
    project, tmp_path
):
    launched(project, STRICT)
    rebuild = Rebuild(tmp_path / "again", project.lake, [], lambda _: "tests.pumps.repo", tell=lambda _: None)
    for number in (3, 4):
        version = project.tracking.version(NAME, number)
        verdict = verify_version(version, project.tracking, project.audit, rebuild, STRICT)
        assert verdict.outcome == "IDENTICAL"
    lineage = Lineage.read(project.tracking.artifact(version, FILE))
    alone = verify(lineage, rebuild, STRICT)
    nodes = [one.node for one in alone.differences]
    assert alone.outcome == "DIFFERENT" and "version 2, which it recalibrates" in nodes


def test_the_command_runs_the_job_of_the_ui_and_prints_the_verdict_or_why_nothing_is_recalibrated(
    project, championed, tmp_path, monkeypatch, capsys
):
    assert recalibrated_by_hand(project, monkeypatch, "scores are too low") == 0
    printed = capsys.readouterr().out
    assert "recalibrated: +" in printed
    assert "Promoted: log_loss" in printed and "champion: version 4" in printed
    assert project.audit.latest(NAME, ("trained",)).why == "scores are too low"
    assert recalibrated_by_hand(copied(championed, tmp_path / "calm"), monkeypatch, "") == 1
    assert "there is no row between them to recalibrate by" in capsys.readouterr().err


def recalibrated_by_hand(project: Project, monkeypatch: pytest.MonkeyPatch, why: str) -> int:
    """The command over the pumps' own project."""
    declared = mlops_assets.project.Declared(definitions(project.parts), {NAME: SPEC}, [], {}, {})
    with dg.DagsterInstance.ephemeral() as instance:
        opened = mlops_assets.project.Project(instance, settings(), project.parts, declared)
        monkeypatch.setattr(mlops_assets.project.Project, "open", lambda _: opened)
        return main(["recalibrate", NAME, *(["--why", why] if why else [])])
