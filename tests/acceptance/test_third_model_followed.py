"""docs/third-model.md, followed: the page's YAML file in a copy of the project, its commands on a small state."""

import re
import shlex
import shutil
import subprocess

import pytest

from resources.lake.lake import Lake
from resources.settings import PROJECT_ROOT, settings
from tests import forked
from tests.small_year import THROUGH, environment
from tests.test_third_model import PAGE, YAML

NEXT = "2013-02-25"


@pytest.fixture(scope="module")
def followed(small_home, tmp_path_factory):
    """A copy of the project with the page's file, and a copy of a replayed state; a function that runs `mlops`."""
    root = tmp_path_factory.mktemp("project")
    ignore = shutil.ignore_patterns("__pycache__", "arrival_minutes")
    for folder in ("mlops_assets", "resources", "feature_repo", "deployments"):
        shutil.copytree(PROJECT_ROOT / folder, root / folder, ignore=ignore)
    shutil.copytree(small_home, root / ".mlops")
    added = root / "mlops_assets" / "use_cases" / "flights" / "models" / "long_delay"
    added.mkdir()
    (added / "defs.yaml").write_text(YAML)

    def mlops(*arguments: str) -> subprocess.CompletedProcess[str]:
        env = environment(root / ".mlops", PYTHONPATH=str(root))
        return forked.run(["-m", "mlops_assets.cli", *arguments], env, root)

    return root, mlops


def test_the_new_model_is_trained_by_the_next_run_and_varied_by_the_pages_command(followed):
    root, mlops = followed
    run = mlops("run", "--through", THROUGH, "--no-compare")
    assert run.returncode == 0, run.stdout + run.stderr
    home = settings({"MLOPS_HOME": str(root / ".mlops")})
    attempt = Lake(root=home.lake).read_json(f"long_delay/attempts/{THROUGH}")
    assert attempt
    assert attempt["hold_out"]["rows"] > 500
    assert (home.serving / "long_delay.json").exists() == attempt["promote"]
    assert attempt["promote"], attempt["verdict"]
    assert "long_delay: its first champion answers from " in run.stdout
    assert "no partition is scored, because no model scores a time it was trained on" in run.stdout

    (command,) = re.findall(r"^\.venv/bin/mlops (train .*)$", PAGE, re.MULTILINE)
    variant = mlops(*shlex.split(command))
    assert variant.returncode == 0, variant.stderr
    assert re.search(r"^metric +variant +champion 1$", variant.stdout, re.MULTILINE)
    assert re.search(r"^(Promoted|Rejected): log_loss ", variant.stdout, re.MULTILINE)
    assert "not registered" in variant.stdout


def test_a_model_whose_file_changed_is_trained_again_and_the_weeks_since_its_first_champion_are_scored(
    followed,
):
    root, mlops = followed
    file = root / "mlops_assets" / "use_cases" / "flights" / "models" / "long_delay" / "defs.yaml"
    lake = Lake(root=str(settings({"MLOPS_HOME": str(root / ".mlops")}).lake))
    mlops("run", "--through", THROUGH, "--no-compare")
    week, first = NEXT, lake.read_json(f"long_delay/attempts/{THROUGH}")
    file.write_text(YAML.replace("rounds: 200", "rounds: 20").replace("max_age_days: 28", "max_age_days: 35"))
    run = mlops("run", "--through", week, "--no-compare")
    assert run.returncode == 0, run.stdout + run.stderr
    changed = (
        "long_delay: retrain.max_age_days, trainer.rounds changed since the replay was finished; a training"
    )
    assert run.stdout.startswith(changed)
    again = lake.read_json(f"long_delay/attempts/{week}")
    assert first and again
    assert again["trigger"] == "spec_changed"
    said = f"the spec changed since version {first['challenger']['version']} was trained"
    assert again["reason"] == said
    assert f"long_delay: {said}: it was trained by the spec as it is now. Version " in run.stdout
    assert f"; scored and reported on since: 1 partition, {week} to {week}." in run.stdout
    assert lake.read("long_delay/predictions", [week]).height > 1000
    assert lake.partitions("long_delay/drift") == lake.partitions("long_delay/performance") == [week]
    assert lake.read_json("flight_delay/attempts/" + week) is None

    file.write_text(YAML.replace("rounds: 200", "rounds: 20").replace("max_age_days: 28", "max_age_days: 42"))
    calm = mlops("run", "--through", week, "--no-compare")
    assert (
        "that makes no other model: it counts from the next partition, training or deployment on"
        in calm.stdout
    )
    assert lake.read_json(f"long_delay/attempts/{week}") == again
    done = mlops("run", "--through", week, "--no-compare")
    assert done.stdout.startswith("The replay is done")
    file.write_text(YAML)


def test_a_mistake_stops_the_commands_with_the_place_in_the_file(followed):
    root, mlops = followed
    file = root / "mlops_assets" / "use_cases" / "flights" / "models" / "long_delay" / "defs.yaml"
    file.write_text(YAML.replace("hold_out_days", "holdout_days"))
    try:
        run = mlops("run")
    finally:
        file.write_text(YAML)
    assert (run.returncode, run.stdout) == (1, "")
    example = re.findall(r"```text\n(error: .*?)```", PAGE, re.DOTALL)[0]
    assert run.stderr.replace(str(root), "...").strip() == example.strip()
