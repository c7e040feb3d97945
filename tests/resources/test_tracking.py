"""Runs, versions and promotions end the same whatever was interrupted, on a real MLflow with SQLite."""

import os
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from resources.settings import PROJECT_ROOT
from resources.tracking.client import client_of
from resources.tracking.tracking import Tracking, TrackingError
from tests import forked

NAME = "late_parcel"
EXAMPLE = pl.DataFrame({"depot": ["south", None, "moon"], "queue": [1.0, None, 2.0], "other": [1, 2, 3]})
WRITES = (
    "create_run",
    "create_logged_model",
    "log_model_artifacts",
    "log_outputs",
    "set_tag",
    "finalize_logged_model",
    "log_batch",
    "log_artifacts",
    "set_terminated",
    "create_registered_model",
    "create_model_version",
    "set_logged_model_tags",
    "set_registered_model_alias",
    "set_model_version_tag",
)
ELSEWHERE = """
import sys
from datetime import UTC, datetime
from tests.resources.test_tracking import EXAMPLE, NAME, Tracking, log
folder, number = sys.argv[1], int(sys.argv[2])
tracking = Tracking(uri=f"sqlite:///{folder}/new.db", artifacts=f"{folder}/artifacts")
run = log(tracking, open(f"{folder}/model.ubj", "rb").read(), f"fit-{number}")
version = tracking.register(NAME, run, f"fit-{number}")
tracking.promote(NAME, version.number, datetime(2020, 1, number, tzinfo=UTC), None)
"""


class Killed(BaseException):
    """Stands for SIGKILL: nothing in the code under test may catch it."""


def month(number: int) -> datetime:
    return datetime(2020, number, 1, tzinfo=UTC)


def log(tracking: Tracking, model: bytes, identity: str = "fit-1", **changes):
    record = {
        "kind": "refit",
        "params": {"max_depth": 3, "training_set": "abc"},
        "history": {"validation_logloss": [0.5, 0.4, 0.45]},
        "metrics": {"auc": 0.71},
        "tags": {"trained_until": month(1).isoformat()},
        "example": EXAMPLE,
        "artifacts": {"plots/roc.png": b"png", "gate.json": b"{}"},
        "file": "model.ubj",
    }
    return tracking.log_fit(NAME, model, identity=identity, **{**record, **changes})


def register(tracking: Tracking, model: bytes, identity: str):
    tags = {"trained_until": month(1).isoformat(), "team": "parcels"}
    return tracking.register(NAME, log(tracking, model, identity), identity, tags)


def test_a_run_holds_everything_that_was_logged(tracking, model, tmp_path):
    run = client_of(tracking.uri).get_run(log(tracking, model))
    assert run.data.params == {"max_depth": "3", "training_set": "abc"}
    assert run.data.metrics == {"validation_logloss": 0.45, "auc": 0.71}
    curve = client_of(tracking.uri).get_metric_history(run.info.run_id, "validation_logloss")
    assert [(m.step, m.value) for m in curve] == [(0, 0.5), (1, 0.4), (2, 0.45)]
    assert (run.info.status, run.info.run_name, run.data.tags["kind"]) == ("FINISHED", "refit fit-1", "refit")
    artifacts = tmp_path / "artifacts" / NAME / run.info.run_id / "artifacts"
    assert (artifacts / "plots" / "roc.png").read_bytes() == b"png"


def test_the_logged_model_loads_in_mlflow_with_signature_example_and_requirements(tracking, model, tmp_path):
    import mlflow.pyfunc

    run = client_of(tracking.uri).get_run(log(tracking, model))
    folder = tmp_path / "artifacts" / NAME / "models" / run.data.tags["model_id"] / "artifacts"
    loaded = mlflow.pyfunc.load_model(str(folder))
    assert loaded.metadata.signature.inputs.input_names() == ["queue", "depot"]
    example = loaded.metadata.load_input_example(str(folder))
    np.testing.assert_array_equal(example.to_numpy(float), [[1.0, 1.0], [np.nan, np.nan], [2.0, np.nan]])
    assert loaded.predict(example).shape == (3,)
    assert (folder / "model.ubj").read_bytes() == model
    assert "xgboost" in (folder / "requirements.txt").read_text()
    assert [o.model_id for o in run.outputs.model_outputs] == [run.data.tags["model_id"]]


def test_numbers_that_are_not_defined_are_not_logged(tracking, model):
    nan, inf = float("nan"), float("inf")
    metrics = {"auc": None, "rmse": inf, "mae": nan, "brier": 0.2}
    run_id = log(tracking, model, metrics=metrics, history={"loss": [0.5, nan, inf, 0.4]})
    assert client_of(tracking.uri).get_run(run_id).data.metrics == {"brier": 0.2, "loss": 0.4}
    curve = client_of(tracking.uri).get_metric_history(run_id, "loss")
    assert [(m.step, m.value) for m in curve] == [(0, 0.5), (3, 0.4)]


def test_many_parameters_and_rounds_are_all_logged(tracking, model):
    rounds = [float(i) for i in range(2000)]
    run_id = log(tracking, model, params={f"p{i}": i for i in range(250)}, history={"loss": rounds})
    assert len(client_of(tracking.uri).get_run(run_id).data.params) == 250
    assert len(client_of(tracking.uri).get_metric_history(run_id, "loss")) == 2000


def test_a_fit_is_logged_once_and_registered_once(tracking, model):
    first, again = log(tracking, model), log(tracking, model)
    assert first == again == tracking.find_run(NAME, "refit", "fit-1")
    assert log(tracking, model, kind="challenger") != first
    version = tracking.register(NAME, first, "fit-1", {"team": "parcels"})
    assert tracking.register(NAME, first, "fit-1") == version
    assert (version.number, version.identity, version.run_id, version.tags["team"]) == (
        1,
        "fit-1",
        first,
        "parcels",
    )


def test_versions_are_numbered_in_order_and_read_back(tracking, model):
    made = [register(tracking, model, f"fit-{i}") for i in (1, 2, 3)]
    assert tracking.versions(NAME) == made
    assert [v.number for v in made] == [1, 2, 3]
    assert made[0].trained_until == month(1) and made[0].promoted_at is None
    assert (tracking.versions("nobody"), tracking.champion("nobody")) == ([], None)


def test_promotion_moves_champion_and_previous(tracking, model):
    for number in (1, 2, 3):
        register(tracking, model, f"fit-{number}")
    tracking.promote(NAME, 1, month(2), None)
    assert (tracking.champion(NAME).number, tracking.previous(NAME)) == (1, None)
    tracking.set_alias(NAME, "challenger", 3)
    promoted = tracking.promote(NAME, 3, month(4), 1)
    assert (promoted.number, promoted.promoted_at) == (3, month(4))
    assert tracking.champion(NAME) == tracking.challenger(NAME) == promoted
    assert tracking.previous(NAME).number == 1


def test_a_version_knows_every_moment_at_which_it_became_champion(tracking, model):
    for number in (1, 2):
        register(tracking, model, f"fit-{number}")
    for number, at, replaces in ((1, month(2), None), (2, month(4), 1), (1, month(6), 2)):
        tracking.promote(NAME, number, at, replaces)
    found = {version.number: version.promotions for version in tracking.versions(NAME)}
    assert found == {1: [month(2), month(6)], 2: [month(4)]}
    assert tracking.previous(NAME).number == 2


def test_promoting_the_champion_again_changes_nothing(tracking, model):
    for number in (1, 2):
        register(tracking, model, f"fit-{number}")
        tracking.promote(NAME, number, month(number + 1), number - 1 or None)
    again = tracking.promote(NAME, 2, month(9), 1)
    assert (again.promoted_at, tracking.previous(NAME).number) == (month(3), 1)


def life(tracking: Tracking, model: bytes) -> list:
    """Two fits through to promotion, and all that can be seen of them afterwards, without ids."""
    for number in (1, 2):
        version = register(tracking, model, f"fit-{number}")
        tracking.set_alias(NAME, "challenger", version.number)
        tracking.promote(NAME, version.number, month(number + 1), number - 1 or None)
    seen = [tracking.champion(NAME), tracking.previous(NAME), tracking.challenger(NAME)]
    rows = [(v.number, v.identity, v.sha256, v.promotions) for v in [*seen, *tracking.versions(NAME)]]
    experiment = client_of(tracking.uri).get_experiment_by_name(NAME).experiment_id
    runs = [r for r in client_of(tracking.uri).search_runs([experiment]) if r.data.tags.get("complete")]
    models = client_of(tracking.uri).search_logged_models([experiment])
    return [*rows, sorted(r.data.tags["identity"] for r in runs), len(models)]


def test_a_life_killed_at_any_write_and_started_again_ends_like_an_unbroken_one(
    tracking, model, empty_database, tmp_path, monkeypatch
):
    client = client_of(tracking.uri)
    calls: list[str] = []
    kill_at: list[int] = []

    def counted(name, method):
        def call(*args, **kwargs):
            calls.append(name)
            if len(calls) in kill_at:
                raise Killed(name)
            return method(*args, **kwargs)

        return call

    for name in WRITES:
        monkeypatch.setattr(client, name, counted(name, getattr(client, name)))
    unbroken = life(tracking, model)
    total = len(calls)
    assert total > 30
    for start in (0, 4, 8):
        _clear(tracking, empty_database, tmp_path)
        calls.clear()
        kill_at[:] = range(start + 1, 3 * total, 11)
        kills = 0
        while True:
            try:
                again = life(tracking, model)
                break
            except Killed:
                kills += 1
        assert again == unbroken
        assert kills >= 3


def _clear(tracking: Tracking, empty_database: Path, tmp_path: Path) -> None:
    """Put the empty database back under the client that is open on it."""
    import sqlite3

    with sqlite3.connect(empty_database) as old, sqlite3.connect(tmp_path / "mlflow.db") as new:
        old.backup(new)
    old.close()
    new.close()
    shutil.rmtree(tracking.artifacts)


def test_a_run_that_was_not_logged_to_its_end_is_not_registered(tracking, model):
    client = client_of(tracking.uri)
    run = client.create_run(client.create_experiment(NAME), tags={"identity": "fit-1", "kind": "refit"})
    assert tracking.find_run(NAME, "refit", "fit-1") is None
    with pytest.raises(TrackingError, match="is not completely logged"):
        tracking.register(NAME, run.info.run_id, "fit-1")


def test_the_models_bytes_come_back_and_a_changed_file_is_refused(tracking, model, tmp_path):
    version = register(tracking, model, "fit-1")
    assert tracking.load(version) == model
    (file,) = (tmp_path / "artifacts").rglob("model.ubj")
    file.write_bytes(model[:-1])
    with pytest.raises(TrackingError, match=r"version 1: the model file's SHA-256 is .* registered was"):
        tracking.load(version)
    file.unlink()
    with pytest.raises(TrackingError, match=r"no model\.ubj at .*restore the artifacts folder"):
        tracking.load(version)


def test_a_state_folder_that_was_moved_still_loads(tracking, model, tmp_path):
    version = register(tracking, model, "fit-1")
    shutil.copytree(tmp_path, tmp_path.parent / "moved")
    shutil.rmtree(tmp_path / "artifacts")
    moved = Tracking(
        uri=f"sqlite:///{tmp_path.parent}/moved/mlflow.db", artifacts=f"{tmp_path.parent}/moved/artifacts"
    )
    assert moved.load(version) == model


def test_an_identity_with_a_quotation_mark_is_refused(tracking, model):
    with pytest.raises(TrackingError, match="quotation mark"):
        log(tracking, model, "it's")


def test_the_environment_is_left_as_it_was(tracking, model, monkeypatch):
    for before in (None, "http://elsewhere"):
        monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
        if before:
            monkeypatch.setenv("MLFLOW_TRACKING_URI", before)
        register(tracking, model, f"fit-{before}".replace("/", "-"))
        assert os.environ.get("MLFLOW_TRACKING_URI") == before


def test_processes_that_open_a_new_database_at_once_lose_nothing(model, tmp_path):
    (tmp_path / "model.ubj").write_bytes(model)

    def elsewhere(number: str) -> subprocess.CompletedProcess[str]:
        return forked.run(["-c", ELSEWHERE, str(tmp_path), number], os.environ, PROJECT_ROOT)

    with ThreadPoolExecutor(2) as pool:
        for done in pool.map(elsewhere, ("1", "2")):
            assert done.returncode == 0, done.stdout + done.stderr
    tracking = Tracking(uri=f"sqlite:///{tmp_path}/new.db", artifacts=f"{tmp_path}/artifacts")
    assert sorted(v.identity for v in tracking.versions(NAME)) == ["fit-1", "fit-2"]
    assert [v.number for v in tracking.versions(NAME)] == [1, 2]
    assert all(v.promoted_at for v in tracking.versions(NAME))
    assert tracking.champion(NAME) != tracking.previous(NAME)
