"""A search's runs in a real MLflow: one parent, each trial once below it, whatever was broken off."""

import shutil
from dataclasses import replace

import pytest

from resources.tracking.client import client_of
from resources.tracking.tracking import Tracking, TrialRecord
from tests.resources.test_tracking import NAME

TRIAL = TrialRecord(
    identity="search-1-4",
    name="trial 4",
    params={"eta": 0.1, "hidden": [64]},
    metrics={"auc": 0.72, "rounds": 40},
    tags={"state": "finished", "trial": "4"},
    curve=[(9, 0.68), (27, 0.71)],
    metric="auc",
    seconds=2.5,
)


@pytest.fixture
def tracking(tmp_path, empty_database) -> Tracking:
    shutil.copy(empty_database, tmp_path / "mlflow.db")
    return Tracking(uri=f"sqlite:///{tmp_path}/mlflow.db", artifacts=str(tmp_path / "artifacts"))


@pytest.fixture
def parent(tracking) -> str:
    return tracking.open_search(NAME, "search-1", {"eta": "{}"}, {"seed": "0"})


def nested(tracking):
    client = client_of(tracking.uri)
    found = client.search_runs(
        [client.get_experiment_by_name(NAME).experiment_id], "tags.kind = 'search_trial'"
    )
    return sorted(found, key=lambda run: run.info.run_name)


def test_a_trial_is_a_nested_run_with_its_curve_and_its_time(tracking, parent):
    run = client_of(tracking.uri).get_run(tracking.log_trial(NAME, parent, TRIAL))
    assert run.data.tags["mlflow.parentRunId"] == parent
    assert run.data.params == {"eta": "0.1", "hidden": "[64]"}
    assert run.data.metrics == {"auc": 0.72, "rounds": 40}
    assert (run.info.run_name, run.info.status) == ("trial 4", "FINISHED")
    assert run.info.end_time - run.info.start_time == 2500
    curve = client_of(tracking.uri).get_metric_history(run.info.run_id, "auc")
    assert [(m.step, m.value) for m in curve] == [(9, 0.68), (27, 0.71), (28, 0.72)]


def test_a_trial_that_failed_is_a_failed_run(tracking, parent):
    failed = replace(TRIAL, failed=True, metrics={"rounds": 0}, curve=(), tags={"problem": "eta is negative"})
    run = client_of(tracking.uri).get_run(tracking.log_trial(NAME, parent, failed))
    assert (run.info.status, run.data.tags["problem"]) == ("FAILED", "eta is negative")


def test_scores_of_a_trial_that_are_not_defined_are_not_logged(tracking, parent):
    nan = float("nan")
    undefined = replace(TRIAL, metrics={"auc": nan, "rounds": 4}, curve=[(1, nan), (2, 0.6)])
    run = client_of(tracking.uri).get_run(tracking.log_trial(NAME, parent, undefined))
    assert run.data.metrics == {"rounds": 4, TRIAL.metric: 0.6}


@pytest.mark.parametrize("step", ["log_batch", "set_terminated", "set_tag"])
def test_a_trial_that_was_half_logged_is_logged_anew_and_a_whole_one_is_found(
    tracking, parent, monkeypatch, step
):
    def broken(*args, **kwargs):
        raise ConnectionError

    with monkeypatch.context() as away:
        away.setattr(client_of(tracking.uri), step, broken)
        with pytest.raises(ConnectionError):
            tracking.log_trial(NAME, parent, TRIAL)
    assert len(nested(tracking)) == 1
    first = tracking.log_trial(NAME, parent, TRIAL)
    assert tracking.log_trial(NAME, parent, TRIAL) == first
    assert [run.info.run_id for run in nested(tracking)] == [first]
    assert nested(tracking)[0].data.metrics == {"auc": 0.72, "rounds": 40}


def test_a_search_has_one_parent_which_ends_as_often_as_the_search_does(tracking, parent, tmp_path):
    again = tracking.open_search(NAME, "search-1", {"eta": "other"}, {"seed": "0"})
    other = tracking.open_search(NAME, "search-2", {}, {})
    assert again == parent != other
    for best, png in ((0.7, b"one"), (0.8, b"two")):
        tracking.close_search(parent, {"best_auc": best}, {"best_trial": "3"}, {"search.png": png})
    run = client_of(tracking.uri).get_run(parent)
    assert (run.info.status, run.data.metrics["best_auc"], run.data.params) == (
        "FINISHED",
        0.8,
        {"eta": "{}"},
    )
    assert (tmp_path / "artifacts" / NAME / parent / "artifacts" / "search.png").read_bytes() == b"two"
