"""A replay that is killed, again and again and at every stage, ends with what an unbroken one ends with.

The unbroken replay writes down every moment it passes (a durable write, a step into Feast or MLflow, an event of
Dagster). Twenty of them are drawn with a seed, from every stage; then a replay is killed in each, by SIGKILL.
"""

import json
import random
import re
import shutil
from pathlib import Path

import dagster as dg
import pytest

from mlops_assets.kit.run_tags import UNFINISHED
from tests.acceptance.commands import RUN, python
from tests.acceptance.state import champion, end_state, lake_of

UNTIL = ("--through", "2013-03-18")
THROUGH = (*RUN, *UNTIL)
STAGES = {
    "raw": (1, r"write lake/flights/(?!features)|event \w+ flights__(?!features)"),
    "feature tables": (
        2,
        r"write lake/flights/features/\w+/|event \w+ flights__features__(?!online|registry)",
    ),
    "online store": (
        2,
        r"online |write lake/flights/features/online|event \w+ flights__features__online|registry in",
    ),
    "training set": (2, r"write lake/flight_delay/training_set|event \w+ flight_delay__training_set"),
    "predictions": (1, r"write lake/flight_delay/predictions|event \w+ flight_delay__predictions"),
    "performance": (1, r"write lake/flight_delay/performance|event \w+ flight_delay__performance"),
    "drift": (1, r"write lake/flight_delay/drift|event \w+ flight_delay__drift"),
    "model": (2, r"of challenger in|log challenger|challenger.json|event \w+ flight_delay__model"),
    "evaluation": (1, r"write lake/flight_delay/attempts|event \w+ flight_delay__evaluation"),
    "deployment": (3, r"of refit in|log refit|write serving/|/reference/|/profiles/"),
    "audit log": (1, r"write audit/"),
    "between runs": (1, r"progress.json|after run |sensors of "),
    "a sensor's request": (1, r"before run flight_delay_|event PIPELINE_START in flight_delay_retrain"),
    "the table at the end": (1, r"write replay/"),
}


def draw(trace: list[str], seed: int) -> list[tuple[str, str]]:
    """Stage and name of the moments to kill in, in the order in which a replay comes to them."""
    dice = random.Random(seed)
    first = {moment: place for place, moment in reversed(list(enumerate(trace)))}
    drawn: dict[str, str] = {}
    for stage, (count, pattern) in STAGES.items():
        there = [moment for moment in first if re.search(pattern, moment) and moment not in drawn]
        drawn |= dict.fromkeys(dice.sample(sorted(there), count), stage)
    return [(drawn[moment], moment) for moment in sorted(drawn, key=lambda m: first[m])]


def live(folder: Path, data: Path, moments: list[str | None], arguments: tuple[str, ...] = THROUGH) -> Path:
    """A replay in as many lives as there are moments; returns its state folder."""
    folder.mkdir(exist_ok=True)
    (folder / "moments.json").write_text(json.dumps(moments))
    told = python(folder / "home", data, "tests.acceptance.lives", str(folder / "moments.json"), *arguments)
    ends = re.findall(r"^life \d+ ended with (-?\d+)", told, re.MULTILINE)
    assert ends == ["0" if moment is None else "-9" for moment in moments], told[-6000:]
    return folder / "home"


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory, winter):
    """State folder and trace of a replay that nothing disturbed."""
    folder = tmp_path_factory.mktemp("unbroken") / "replay"
    home = live(folder, winter, [None])
    return home, (folder / "trace-00.txt").read_text().splitlines()


def test_the_shortened_year_trains_twice_and_promotes(unbroken):
    attempts = [
        lake_of(unbroken[0]).read_json(f"flight_delay/attempts/{w}") for w in ("2013-02-18", "2013-03-18")
    ]
    assert [a["trigger"] for a in attempts if a] == ["first_model", "age"]
    assert any(a["final"] for a in attempts if a)


@pytest.mark.parametrize("from_the", [0, *(pytest.param(n, marks=pytest.mark.nightly) for n in (1, 2, 3))])
def test_a_replay_killed_again_and_again_ends_as_an_unbroken_one(unbroken, winter, tmp_path, from_the):
    home, trace = unbroken
    drawn = draw(trace, seed=2013)
    assert len(drawn) == 20
    assert {stage for stage, _ in drawn} == set(STAGES)
    killed = live(tmp_path / "killed", winter, [moment for _, moment in drawn[from_the::4]] + [None])
    assert end_state(killed) == end_state(home)
    assert unfinished(killed) == []
    assert materialized(killed) == materialized(home)


@pytest.mark.nightly
def test_a_replay_killed_while_it_recovers_still_finishes_what_a_sensor_had_asked_for(winter, tmp_path):
    run = "flight_delay_retrain 2013-02-18"
    deploying, asked_again, done_again = (
        f"before log refit in {run}",
        f"before run {run}",
        "after cancel flight_delay_retrain",
    )
    until = (*RUN, "--through", "2013-02-18")
    home = live(tmp_path / "killed", winter, [deploying, asked_again, done_again, None], until)
    attempt = lake_of(home).read_json("flight_delay/attempts/2013-02-18")
    record = json.loads((home / "serving" / "flight_delay.json").read_text())
    assert attempt is not None and attempt["final"] == {"version": int(record["version"])}
    assert (int(record["version"]), record["model_sha256"]) == champion(home, "flight_delay")
    assert unfinished(home) == []


@pytest.mark.nightly
def test_a_model_that_is_trained_once_is_deployed_though_the_replay_died_between_promotion_and_deployment(
    unbroken, winter, tmp_path
):
    home = shutil.copytree(unbroken[0], tmp_path / "killed" / "home")
    promoted = "after set_registered_model_alias champion of refit in arrival_minutes_retrain"
    live(tmp_path / "killed", winter, [promoted, None], ("run", "--no-compare", *UNTIL))
    record = json.loads((home / "serving" / "arrival_minutes.json").read_text())
    assert (int(record["version"]), record["model_sha256"]) == champion(home, "arrival_minutes")
    assert unfinished(home) == []


def test_a_second_run_says_that_it_is_done_and_starts_nothing(unbroken, winter):
    home, _ = unbroken
    before = end_state(home), run_ids(home)
    said = python(home, winter, "mlops_assets.cli", *THROUGH)
    assert "The replay is done" in said
    assert "retrained (first model), promoted as version" in said
    assert (end_state(home), run_ids(home)) == before


def unfinished(home: Path) -> list[str]:
    with dg.DagsterInstance.from_config(str(home / "dagster")) as instance:
        return [run.job_name for run in instance.get_runs(dg.RunsFilter(statuses=UNFINISHED))]


def run_ids(home: Path) -> set[str]:
    with dg.DagsterInstance.from_config(str(home / "dagster")) as instance:
        return {run.run_id for run in instance.get_runs()}


def materialized(home: Path) -> dict[str, set[str]]:
    with dg.DagsterInstance.from_config(str(home / "dagster")) as instance:
        return {
            key.to_user_string(): instance.get_materialized_partitions(key)
            for key in instance.all_asset_keys()
        }
