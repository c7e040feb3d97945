"""On a real Ray: the same bytes as here, shares of files, a worker killed, a whole run killed."""

import json
import os
import subprocess
import sys
import time

import psutil
import pytest

from mlops_assets.ml.dataset import labelled
from mlops_assets.ml.judging.metrics import auc
from mlops_assets.ml.training.fit import Scorer, fit
from mlops_assets.ml.training.ladder import ComputeError
from mlops_assets.ml.training.shards import Files
from resources.compute.compute import Compute
from resources.settings import PROJECT_ROOT
from tests.ml.conftest import FEATURES, parcel_spec, parcels
from tests.ml.training.trainers.test_every_trainer import without_torch

XGBOOST = {
    "rounds": 30,
    "early_stopping_rounds": 8,
    "parameters": {"subsample": 0.8, "colsample_bytree": 0.6},
}
LOOPS = {
    "xgboost": {"kind": "xgboost", **XGBOOST},
    "torch": {"kind": "torch_tabular", "rounds": 6, "batch_size": 128, "hidden": [16]},
}
TORCH_LOOP = pytest.param(
    "torch", marks=pytest.mark.skipif(without_torch, reason="pip install 'mlops-assets[torch]'")
)
FIXED = {"categories": ["depot"], "threads": 1, "compute": "local"}


@pytest.fixture(scope="module")
def compute(tmp_path_factory):
    """A private Ray of four CPUs, whatever the machine has; one for all tests of this file."""
    import ray

    reach = Compute(folder=str(tmp_path_factory.mktemp("training")), cpus=4)
    yield reach
    ray.shutdown()


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Twelve files of parcels."""
    folder, frame = tmp_path_factory.mktemp("weeks"), parcels(3000)
    paths = [folder / f"{i:02}.parquet" for i in range(12)]
    for i, path in enumerate(paths):
        frame[i * 250 : (i + 1) * 250].write_parquet(path)
    return Files(tuple(map(str, paths)), frame["seen"].max())


def spec_of(**trainer):
    return parcel_spec(trainer=FIXED | trainer)


def killed_spec(name, folder):
    """A spec whose two workers lose the first one in the middle, unless `folder` says that it happened."""
    inner = {**LOOPS[name], "categories": ["depot"], "threads": 1}
    return spec_of(
        kind="function",
        framework=name,
        loop="tests.ml.training.trainers.loops:killed_once",
        scorer="tests.ml.training.trainers.loops:Bytes",
        parameters={"trainer": inner, "folder": str(folder)},
        rounds=inner["rounds"],
        workers=2,
        checkpoint_every=2,
    )


def starts(folder):
    return (folder / "starts").read_text().split()


def test_a_task_on_a_warm_ray_gives_the_bytes_of_a_fit_in_this_process(compute, files):
    here = fit(files, spec_of(**XGBOOST, compute="in_process"), FEATURES)
    there = fit(files, spec_of(**XGBOOST), FEATURES, reach=compute)
    assert there.compute == "a task on local Ray: trainer.compute=local"
    assert there.model == here.model
    assert there.cost.cpu_seconds > 0


def test_two_workers_on_shares_of_the_files_learn_as_well_and_repeat_themselves(compute, files):
    spec = spec_of(**XGBOOST, workers=2)
    one, again = (fit(files, spec, FEATURES, reach=compute) for _ in range(2))
    assert one.model == again.model
    assert one.compute == "2 workers on local Ray: trainer.compute=local"
    rows = labelled(parcels(3000), spec, files.known_by)
    alone = fit(files, spec_of(**XGBOOST, compute="in_process"), FEATURES)
    labels = rows["_label"].to_numpy()
    both = [auc(labels, Scorer(fitted.model).predict(rows)) for fitted in (one, alone)]
    assert both[0] == pytest.approx(both[1], abs=0.02)
    assert compute.storage.names(deep=True) == []


@pytest.mark.nightly
@pytest.mark.parametrize("loop", ["xgboost", TORCH_LOOP])
def test_a_killed_worker_is_replaced_and_the_fit_ends_as_if_it_had_not_been(loop, compute, files, tmp_path):
    lossless, lossy = tmp_path / "lossless", tmp_path / "lossy"
    for folder in (lossless, lossy):
        folder.mkdir()
    (lossless / "lost").touch()
    unbroken = fit(files, killed_spec(loop, lossless), FEATURES, reach=compute)
    broken = fit(files, killed_spec(loop, lossy), FEATURES, reach=compute)
    assert (starts(lossless), starts(lossy)) == (["new"], ["new", "resumed"])
    assert (broken.rounds, broken.history) == (unbroken.rounds, unbroken.history)
    assert broken.model == unbroken.model


RUN = """
import json, sys
from resources.settings import silence_usage_reports
silence_usage_reports()
from datetime import datetime
from mlops_assets.ml.training.shards import Files
from mlops_assets.ml.training.fit import fit
from resources.compute.compute import Compute
from tests.ml.conftest import FEATURES
from tests.acceptance.test_training_on_ray import killed_spec
from pathlib import Path
folder, storage, paths, known_by = json.loads(sys.argv[1])
files = Files(tuple(paths), datetime.fromisoformat(known_by))
fit(files, killed_spec("xgboost", Path(folder)), FEATURES, reach=Compute(folder=storage, cpus=4), identity="the-run")
"""


def test_a_run_that_is_killed_whole_goes_on_from_storage_in_the_next_one(compute, files, tmp_path):
    (tmp_path / "wait").touch()
    given = json.dumps([str(tmp_path), compute.folder, files.paths, files.known_by.isoformat()])
    run = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", RUN, given],
        cwd=PROJECT_ROOT,
        env={**os.environ, "PYTHONPATH": str(PROJECT_ROOT)},
    )
    deadline = time.monotonic() + 300
    while not (tmp_path / "lost").exists():
        assert run.poll() is None, "the run ended before it could be killed"
        assert time.monotonic() < deadline, "the run made no second checkpoint"
        time.sleep(0.1)
    kill_with_children(run)

    spec = killed_spec("xgboost", tmp_path)
    resumed = fit(files, spec, FEATURES, reach=compute, identity="the-run")
    assert starts(tmp_path) == ["new", "resumed"]
    unbroken = fit(files, spec, FEATURES, reach=compute, identity="another-run")
    assert starts(tmp_path) == ["new", "resumed", "new"]
    assert (resumed.model, resumed.history) == (unbroken.model, unbroken.history)


def kill_with_children(run):
    """As a node that is switched off: the driver, its Ray and its workers, all at once."""
    gone = [psutil.Process(run.pid), *psutil.Process(run.pid).children(recursive=True)]
    for process in gone:
        process.kill()
    run.wait()
    psutil.wait_procs(gone, timeout=10)


def test_asking_for_more_than_there_is_ends_at_once_with_both_numbers(compute, files):
    with pytest.raises(ComputeError, match=r"9 workers with CPU 1 each need CPU 9; Ray has CPU 4"):
        fit(files, spec_of(**XGBOOST, workers=9), FEATURES, reach=compute)
