"""A replay beside an earlier revision: what is compared, and that its checkout comes and goes."""

import json
import subprocess

import polars as pl
import pytest

from benchmarks.replay import last_of
from benchmarks.replay_against import STAGE, differences, outcome, revision_of
from mlops_assets.replay.job import stage_rows
from mlops_assets.replay.tables import text_table
from resources.lake.lake import Lake
from resources.settings import PROJECT_ROOT

NOW = ("replay/flights/partitions.csv", b"partition,auc\n2013-01-07,0.7\n")


def left_by(home, score: float, model: bytes = b"{trees", table: tuple[str, bytes] = NOW):
    """A state folder with one partition, one verdict, one model and a table."""
    lake = Lake(root=str(home / "lake"))
    lake.write("flight_delay/predictions", pl.DataFrame({"score": [score]}), "2013-01-07")
    lake.write_json("flight_delay/attempts/2013-01-07", {"verdict": "promoted"})
    for path, content in (("mlflow/artifacts/1/model.ubj", model), table):
        (home / path).parent.mkdir(parents=True)
        (home / path).write_bytes(content)
    return outcome(home)


def test_the_same_scores_models_and_verdicts_are_no_difference(tmp_path):
    found = differences(left_by(tmp_path / "one", 0.5), left_by(tmp_path / "other", 0.5))
    assert found == {"compared": 4, "different": 0, "first": []}


@pytest.mark.parametrize("before", ["replay/weeks.csv", "replay/flights/weeks.csv"])
def test_the_table_of_an_earlier_revision_is_found_by_its_name_of_then(tmp_path, before):
    now = left_by(tmp_path / "now", 0.5)
    same = left_by(tmp_path / "same", 0.5, table=(before, NOW[1].replace(b"partition", b"week")))
    assert differences(same, now) == {"compared": 4, "different": 0, "first": []}
    other = left_by(tmp_path / "other", 0.5, table=(before, NOW[1].replace(b"0.7", b"0.8")))
    assert differences(other, now)["first"] == ["table of the replay"]


def test_a_replay_that_left_no_table_is_refused(tmp_path):
    with pytest.raises(SystemExit, match="has 0 tables of a replay, expected is one"):
        left_by(tmp_path, 0.5, table=("replay/report.txt", b""))


def test_another_score_and_another_model_are_named(tmp_path):
    found = differences(left_by(tmp_path / "one", 0.5), left_by(tmp_path / "other", 0.25, b"{others"))
    assert found["different"] == 3
    assert "flight_delay/predictions@2013-01-07" in found["first"]
    assert sum(name.startswith("model ") for name in found["first"]) == 2


def test_a_revision_is_checked_out_for_as_long_as_it_is_measured():
    head = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=PROJECT_ROOT, capture_output=True, text=True, check=True
    )
    with pytest.raises(KeyError), revision_of("HEAD") as (name, tree):
        assert name == head.stdout.strip()
        assert (tree / "mlops_assets" / "cli.py").exists()
        raise KeyError
    assert not tree.exists()
    listed = subprocess.run(
        ["git", "worktree", "list"], cwd=PROJECT_ROOT, capture_output=True, text=True, check=True
    )
    assert str(tree) not in listed.stdout


def test_the_stages_are_read_from_the_table_that_a_replay_prints():
    seconds = {
        "flights__features__weather": 1.5,
        "flights__features__aircraft": 2.0,
        "flight_delay__model": 4.25,
        "start up": 2.0,
    }
    printed = text_table(stage_rows(seconds, 20.0))
    found = {one["stage"]: float(one["seconds"]) for one in STAGE.finditer(printed)}
    rest = {"runs, events and sensors": 10.2}
    assert found == {"feature tables": 3.5, "flight_delay/model": 4.2, "start up": 2.0} | rest


def test_so_many_weeks_end_with_the_week_of_that_number():
    assert (last_of(1), last_of(20)) == ("2012-12-31", "2013-05-13")


def test_a_results_file_of_the_comparison_says_what_was_different(tmp_path):
    path = PROJECT_ROOT / "benchmarks" / "results" / "replay_against.json"
    if path.exists():
        assert json.loads(path.read_text())["figures"]["differ"]["different"] == 0
