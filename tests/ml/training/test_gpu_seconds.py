"""Whoever trains on a GPU is charged for it: in this process while the trainer runs, as a task for all of its time."""

import json
import os

import pytest

from mlops_assets.ml.dataset import Encoding
from mlops_assets.ml.training import distributed
from mlops_assets.ml.training.fit import fit
from mlops_assets.ml.training.shards import Held
from mlops_assets.ml.training.trainers.base import Job
from resources.storage.addresses import storage_at

LOOP = {
    "kind": "function",
    "loop": "tests.ml.training.trainers.loops:depot_rates",
    "scorer": "tests.ml.training.trainers.loops:Rates",
    "categories": ["depot"],
    "rounds": 6,
}


@pytest.fixture
def gpu(tmp_path, monkeypatch) -> None:
    """A machine whose driver answers; the loop that is trained here needs nothing else of a GPU."""
    program = tmp_path / "bin" / "nvidia-smi"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\necho '40, 900'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")


@pytest.mark.parametrize("on_gpu", [True, False])
def test_a_fit_in_this_process_is_charged_the_gpu_while_it_trains(gpu, make_spec, known, features, on_gpu):
    fitted = fit(known, make_spec(trainer=LOOP | {"gpu": on_gpu}), features)
    assert fitted.phases["train"] > 0
    assert fitted.cost.gpu_seconds == (fitted.phases["train"] if on_gpu else 0)


@pytest.fixture(params=[True, False], ids=["on a GPU", "without"])
def job(request, gpu, make_spec, known, features) -> Job:
    spec = make_spec(trainer=LOOP | {"gpu": request.param})
    encoding = Encoding.fit(known, features, spec.trainer.categories)
    return Job(
        spec=spec, encoding=encoding, rows=Held.of(known, spec), cut=None, rounds=2, checkpoint_every=None
    )


def test_a_task_is_charged_the_gpu_for_all_of_its_time(job, tmp_path):
    _, cost = distributed._measured_task(job, storage_at(tmp_path / "fit"))
    assert cost.wall_seconds > 0
    assert cost.gpu_seconds == (cost.wall_seconds if job.spec.trainer.gpu else 0)


def test_a_worker_is_charged_its_gpu_for_all_of_its_time(job, tmp_path, monkeypatch):
    monkeypatch.setattr(distributed, "OnRay", lambda: distributed.Alone(None))
    distributed._on_worker(job, storage_at(tmp_path))
    cost = json.loads((tmp_path / "cost-0.json").read_text())
    assert cost["wall_seconds"] > 0
    assert cost["gpu_seconds"] == (cost["wall_seconds"] if job.spec.trainer.gpu else 0)
