"""A search over a lake, a real Ray Tune and a real MLflow: its winner is data that the next training reads."""

import json
import os
import signal
import subprocess
import sys
import time

import dagster as dg
import polars as pl
import pytest

from mlops_assets.assets.search import search, search_metadata
from mlops_assets.ml.tuning.trials import parameters_hash, with_found
from mlops_assets.spec.decides import spec_digest
from mlops_assets.stages.searching import run_search
from mlops_assets.stages.training import train_challenger
from resources.compute.compute import Compute
from resources.settings import PROJECT_ROOT
from resources.systems import Systems
from resources.tracking.client import client_of
from resources.tracking.tracking import Tracking
from tests.acceptance.test_training_on_ray import kill_with_children
from tests.ml.conftest import parcels
from tests.parcel_weeks import ROWS, parcel_lake, search_spec

SPEC = search_spec()
NAME, WEEK = SPEC.name, "2020-02-10"


pytestmark = pytest.mark.usefixtures("flights_features")


@pytest.fixture(scope="module")
def compute(tmp_path_factory):
    """A private Ray of two CPUs, whatever the machine has; one for all tests of this file."""
    import ray

    reach = Compute(folder=str(tmp_path_factory.mktemp("training")), cpus=2)
    yield reach
    ray.shutdown()


def tracking_in(folder) -> Tracking:
    return Tracking(uri=f"sqlite:///{folder}/mlflow.db", artifacts=str(folder / "artifacts"))


@pytest.fixture(scope="module")
def ended(compute, tmp_path_factory):
    """A search that ran through: lake, tracking, what was found, what was said."""
    folder, said = tmp_path_factory.mktemp("ended"), []
    lake, tracking = parcel_lake(folder / "lake", SPEC), tracking_in(folder)
    systems = Systems(lake, tracking=tracking, compute=compute)
    return lake, tracking, run_search(SPEC, systems, {"reason": "by hand"}, said.append), said


def runs(tracking, kind, identity=None):
    client = client_of(tracking.uri)
    experiment = client.get_experiment_by_name(NAME).experiment_id
    return client.search_runs([experiment], f"tags.kind = '{kind}'", order_by=["attributes.start_time"])


def lasting(lake, folder=f"{NAME}/search"):
    """All records of trials without what was timed."""
    timed = ("seconds", "cpu_seconds", "ended")
    files = lake.folder(folder).names(ending=".json", deep=True)
    (identity,) = {name.split("/")[0] for name in files if "/" in name}
    records = [lake.read_json(f"{folder}/{identity}/{n}") for n in lake.records(f"{folder}/{identity}")]
    return [{k: v for k, v in record.items() if k not in timed} for record in records]


def test_the_winner_is_a_record_in_the_lake_with_its_hash_and_all_it_came_from(ended):
    lake, _, found, _ = ended
    record = lake.read_json(f"{NAME}/search/{WEEK}")
    assert record == {"record_version": 1} | json.loads(json.dumps(found.record))
    assert record["sha256"] == parameters_hash(record["parameters"])
    assert set(record["parameters"]) == {
        *("eta", "max_depth", "min_child_weight", "subsample", "colsample_bytree", "lambda")
    }
    assert record["score"] > record["spec_score"] and record["metric"] == "auc"
    assert (record["trials"], record["seed"], record["spec"]) == (6, 0, spec_digest(SPEC))
    assert record["finished"] + record["stopped"] == 6
    assert record["known_by"] == "2020-02-03T00:00:00+00:00"


def test_trials_are_nested_runs_with_parameters_and_curve_under_one_parent(ended):
    _, tracking, found, _ = ended
    (parent,) = runs(tracking, "search")
    trials = runs(tracking, "search_trial")
    assert parent.info.run_id == found.record["mlflow_run"] and parent.info.status == "FINISHED"
    assert parent.data.tags["best_trial"] == str(found.record["trial"])
    assert json.loads(parent.data.params["max_depth"]) == {"low": 3, "high": 10, "integer": True}
    assert {run.data.tags["mlflow.parentRunId"] for run in trials} == {parent.info.run_id}
    assert sorted(int(run.data.tags["trial"]) for run in trials) == list(range(6))
    winner = next(run for run in trials if run.data.tags["trial"] == str(found.record["trial"]))
    assert winner.data.metrics["auc"] == found.record["score"]
    assert winner.data.params == {name: str(value) for name, value in found.record["parameters"].items()}
    curve = client_of(tracking.uri).get_metric_history(winner.info.run_id, "auc")
    assert [m.step for m in curve][:2] == [3, 9]
    files = {file.path for file in client_of(tracking.uri).list_artifacts(parent.info.run_id)}
    assert files == {"search.png", "parameters.json"}


def test_the_log_says_how_far_it_is_and_what_is_best(ended):
    _, _, found, said = ended
    assert [line.split(" (")[0] for line in said] == [f"trial {n} of 6" for n in range(1, 7)]
    assert said[-1].endswith(f"best {found.record['score']:.4f} by number {found.record['trial']}")


def test_the_page_shows_a_picture_the_winner_beside_the_spec_and_where_it_was_scored(ended):
    _, _, found, _ = ended
    page = search_metadata(SPEC, found)
    assert page["search"].value.startswith("![search](data:image/png;base64,")
    assert "| eta |" in page["winner"].value and "0.0500" in page["winner"].value
    assert page["gain"] == pytest.approx(found.record["score"] - found.record["spec_score"])
    assert page["scored on"] == "the newest 15% of the rows known by 2020-02-03T00:00:00+00:00"


def test_the_next_training_takes_the_winner_and_its_version_says_so(ended):
    lake, tracking, found, _ = ended
    version, fitted, _ = train_challenger(SPEC, Systems(lake, tracking=tracking), {})
    record = found.record
    assert version.sha256 == record["model_sha256"] and fitted.rounds == record["rounds"]
    assert version.tags["parameters_from"] == f"the search of {WEEK}: trial {record['trial']} of 6"
    assert json.loads(version.tags["parameters"])["parameters"] == record["parameters"]
    assert version.tags["search"] == record["sha256"]
    assert version.tags["spec"] == spec_digest(with_found(SPEC, record["parameters"])) != spec_digest(SPEC)
    assert lake.read_json(f"{NAME}/challenger")["parameters"] == record["parameters"]


def test_the_held_out_fortnight_has_no_say_in_a_search(compute, tmp_path):
    """Rows that became known inside of it are turned upside down, and every trial scores as before."""
    frame = parcels(ROWS)
    late = pl.col("seen") > pl.datetime(2020, 2, 3, time_zone="UTC")
    upside_down = frame.with_columns(
        pl.when(late).then(-pl.col("delay")).otherwise("delay").alias("delay"),
        pl.when(late).then(7 - pl.col("queue")).otherwise("queue").alias("queue"),
    )
    assert frame.filter(late).height > 500
    found = {}
    for name, rows in (("as it is", frame), ("upside down", upside_down)):
        folder = tmp_path / name
        lake = parcel_lake(folder / "lake", SPEC, rows)
        run_search(SPEC, Systems(lake, tracking=tracking_in(folder), compute=compute), {}, lambda line: None)
        found[name] = lasting(lake)
    assert found["as it is"] == found["upside down"]


def test_a_search_made_again_runs_no_trial_and_one_with_more_budget_only_the_rest(compute, tmp_path):
    lake, tracking, said = parcel_lake(tmp_path / "lake", SPEC), tracking_in(tmp_path), []
    systems = Systems(lake, tracking=tracking, compute=compute)
    first = run_search(search_spec(trials=3), systems, {}, said.append)
    again = run_search(search_spec(trials=3), systems, {}, said.append)
    assert again.record == first.record
    assert said[3:] == ["3 trials are done already: the search goes on behind them"]
    more = run_search(SPEC, systems, {}, said.append)
    assert len(said) == 3 + 1 + 1 + 3 and more.record["trials"] == 6
    assert len(runs(tracking, "search")) == 1 and len(runs(tracking, "search_trial")) == 6


KILLED = """
import sys, time
from pathlib import Path
from resources.settings import silence_usage_reports
silence_usage_reports()
import resources.tracking.searches
from mlops_assets.assets.search import run_search
from resources.compute.compute import Compute
from resources.lake.lake import Lake
from resources.systems import Systems
from tests.acceptance.test_search import SPEC, tracking_in
folder = Path(sys.argv[1])
log_numbers = resources.tracking.searches._log_numbers
def half_logged(client, run_id, record, now):
    if record.tags["trial"] == "3":
        (folder / "now").touch()
        time.sleep(600)
    log_numbers(client, run_id, record, now)
resources.tracking.searches._log_numbers = half_logged
lake, compute = Lake(root=str(folder / "lake")), Compute(folder=str(folder / "t"), cpus=2)
run_search(SPEC, Systems(lake, tracking=tracking_in(folder), compute=compute), {}, print)
"""


def test_a_search_that_is_killed_goes_on_and_ends_as_an_unbroken_one(ended, compute, tmp_path):
    """Killed while its fourth trial is half logged: three are logged, the fourth is in the lake alone."""
    lake, tracking = parcel_lake(tmp_path / "lake", SPEC), tracking_in(tmp_path)
    run = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", KILLED, str(tmp_path)],
        cwd=PROJECT_ROOT,
        env={**os.environ, "PYTHONPATH": str(PROJECT_ROOT)},
    )
    deadline = time.monotonic() + 300
    while not (tmp_path / "now").exists():
        assert run.poll() is None, "the search ended before it could be killed"
        assert time.monotonic() < deadline, "the search made no fourth trial"
        time.sleep(0.05)
    kill_with_children(run)
    assert run.returncode == -signal.SIGKILL
    before = {r.info.run_id for r in runs(tracking, "search_trial") if r.info.status == "FINISHED"}
    assert len(lasting(lake)) == 4 and len(before) == 3

    said = []
    systems = Systems(lake, tracking=tracking, compute=compute)
    found = run_search(SPEC, systems, {}, said.append)
    assert len(said) == 1 + 2, "finished trials were run again"
    whole, _, unbroken, _ = ended
    assert lasting(lake) == lasting(whole)
    assert found.record | {"mlflow_run": ""} == unbroken.record | {"mlflow_run": ""}
    trials = runs(tracking, "search_trial")
    assert sorted(int(r.data.tags["trial"]) for r in trials) == list(range(6))
    assert before < {r.info.run_id for r in trials} and {r.info.status for r in trials} == {"FINISHED"}
    assert len(runs(tracking, "search")) == 1


def test_the_asset_is_there_where_the_spec_has_a_search_and_carries_the_hash(compute, tmp_path):
    spec = search_spec(trials=2)
    resources = {
        "lake": parcel_lake(tmp_path / "lake", spec),
        "tracking": tracking_in(tmp_path),
        "compute": compute,
    }
    done = dg.materialize([search(spec)], resources=resources, instance=dg.DagsterInstance.ephemeral())
    (event,) = done.asset_materializations_for_node(f"{NAME}__search")
    record = resources["lake"].read_json(f"{NAME}/search/{WEEK}")
    assert event.tags["dagster/data_version"] == record["sha256"]
    assert done.success and event.metadata["best auc"].value == record["score"]
