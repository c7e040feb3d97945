"""Fits as KubeRay jobs, on a real Kubernetes API and a real Ray, with a stand-in for KubeRay's operator between them."""

import json
import logging
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from mlops_assets.ml.training.fit import fit
from mlops_assets.ml.training.shards import Files
from resources.compute.compute import Compute
from resources.compute.kuberay import KubeRayError
from resources.compute.rayjob import read_template
from resources.settings import PROJECT_ROOT, RAYJOB
from resources.storage.local import LOCKS
from tests.acceptance.kube_api import NAMESPACE, client
from tests.acceptance.stand_in_operator import NO_NODE, OWN, StandInOperator
from tests.ml.conftest import FEATURES, parcel_spec, parcels
from tests.resources.test_rayjob import mounting

INNER = {
    "kind": "xgboost",
    "categories": ["depot"],
    "threads": 1,
    "rounds": 12,
    "early_stopping_rounds": 12,
    "parameters": {"subsample": 0.8},
}


@pytest.fixture(scope="module")
def volume(tmp_path_factory):
    """A folder that stands for the shared volume: weeks of parcels, the fits' folder, and the template that mounts it."""
    return weeks_of_parcels(tmp_path_factory.mktemp("mlops"))


def weeks_of_parcels(folder):
    frame = parcels(1200)
    folder.mkdir(exist_ok=True)
    for week in range(4):
        frame[week * 300 : (week + 1) * 300].write_parquet(folder / f"{week}.parquet")
    (folder / "rayjob.yaml").write_text(yaml.safe_dump(mounting(read_template(str(RAYJOB)), folder)))
    return folder


@pytest.fixture(scope="module")
def local(volume):
    """A private Ray of four CPUs, which is also the one that the stand-in runs the jobs' commands on."""
    import ray

    reach = Compute(folder=str(volume / "local"), cpus=4)
    reach.connect("local")
    yield reach
    ray.shutdown()


@pytest.fixture
def operator(kubeconfig, local, tmp_path):
    import ray

    with StandInOperator(client(kubeconfig), ray.get_runtime_context().gcs_address, tmp_path) as running:
        yield running


@pytest.fixture
def reach(kubeconfig, volume, monkeypatch):
    """KubeRay for a user who has the shipped rights and no others."""
    monkeypatch.setattr("kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(kubeconfig))
    return kuberay(volume)


def kuberay(volume):
    return Compute(
        folder=str(volume / "training"), address=f"kuberay://{NAMESPACE}", rayjob=str(volume / "rayjob.yaml")
    )


def files_of(volume):
    return Files(tuple(str(volume / f"{week}.parquet") for week in range(4)), parcels(1200)["seen"].max())


def held_spec(folder, workers):
    trainer = {
        "kind": "function",
        "framework": "xgboost",
        "loop": "tests.ml.training.trainers.loops:held",
        "scorer": "tests.ml.training.trainers.loops:Bytes",
        "parameters": {"trainer": INNER, "folder": str(folder)},
        "rounds": INNER["rounds"],
    }
    return spec_of(trainer | {"workers": workers, "checkpoint_every": 6})


def spec_of(trainer, compute="cluster"):
    return parcel_spec(trainer={"categories": ["depot"], "threads": 1, "compute": compute} | trainer)


def on_local(spec):
    return spec.model_copy(update={"trainer": spec.trainer.model_copy(update={"compute": "local"})})


def rayjobs(operator):
    return [job["metadata"]["name"] for job in operator.jobs.list_namespaced_custom_object(*OWN)["items"]]


def appeared(file, process=None):
    deadline = time.monotonic() + 120
    while not file.exists():
        assert process is None or process.poll() is None, "the run ended before it could be killed"
        assert time.monotonic() < deadline, f"{file.name} did not appear"
        time.sleep(0.05)


def test_a_fit_sent_to_kuberay_gives_the_bytes_of_the_same_fit_as_a_task_here(
    operator, reach, local, volume, caplog
):
    spec, files = spec_of(INNER), files_of(volume)
    caplog.set_level(logging.INFO, "resources.compute.compute")
    there = fit(files, spec, FEATURES, reach=reach, identity="5e" * 32)
    name = f"mlops-{'5e' * 20}"
    assert there.compute == f"a task on a KubeRay job {name} in namespace ml: trainer.compute=cluster"
    assert there.layout["where"] == "kuberay"
    assert there.cost.cpu_seconds > 0
    assert list(operator.seen.values()) == [name]
    told = [record.getMessage() for record in caplog.records]
    assert told[0] == f"RayJob {name} in namespace ml is sent"
    assert f"RayJob {name} in namespace ml: Running, job RUNNING" in told
    assert rayjobs(operator) == []
    assert [file.name for file in (volume / "training").iterdir() if file.name != LOCKS] == []
    here = fit(files, on_local(spec), FEATURES, reach=local)
    assert (there.model, there.rounds, there.history) == (here.model, here.rounds, here.history)


RUN = """
import json, sys
from pathlib import Path
from resources.settings import silence_usage_reports
silence_usage_reports()
from mlops_assets.ml.training.fit import fit
from tests.acceptance.test_fit_on_kuberay import FEATURES, files_of, held_spec, kuberay
volume, folder = map(Path, json.loads(sys.argv[1]))
fit(files_of(volume), held_spec(folder, 2), FEATURES, reach=kuberay(volume), identity="the-run")
"""


def test_a_run_that_is_killed_while_it_waits_is_followed_by_one_that_waits_for_the_same_rayjob(
    operator, reach, kubeconfig, local, volume, tmp_path, monkeypatch
):
    run = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", RUN, json.dumps([str(volume), str(tmp_path)])],
        cwd=PROJECT_ROOT,
        env={**os.environ, "PYTHONPATH": str(PROJECT_ROOT), "KUBECONFIG": str(kubeconfig)},
    )
    appeared(tmp_path / "held", run)
    run.kill()
    run.wait()
    assert rayjobs(operator) == ["mlops-the-run"]

    def go_on(message):
        if "is there already: waiting for it" in message:
            (tmp_path / "go").touch()

    monkeypatch.setattr(logging.getLogger("resources.compute.compute"), "info", go_on)
    spec, files = held_spec(tmp_path, 2), files_of(volume)
    there = fit(files, spec, FEATURES, reach=reach, identity="the-run")
    assert there.compute.startswith("2 workers on a KubeRay job mlops-the-run in namespace ml: ")
    assert list(operator.seen.values()) == ["mlops-the-run"]
    assert starts(tmp_path) == ["new"]
    here = fit(files, on_local(spec), FEATURES, reach=local)
    assert (there.model, there.rounds, there.history) == (here.model, here.rounds, here.history)


def test_a_fit_whose_cluster_was_lost_is_named_and_sent_again_by_the_next_run_from_its_checkpoint(
    operator, reach, local, volume, tmp_path, monkeypatch
):
    def lose(message):
        if message.endswith("Running, job RUNNING"):
            appeared(tmp_path / "held")
            operator.lose_the_head()

    spec, files = held_spec(tmp_path, 1), files_of(volume)
    lost = (
        r"RayJob mlops-a-fit in namespace ml failed \(AppFailed: exit code -9, .*\)\. The next run deletes it"
    )
    with monkeypatch.context() as told, pytest.raises(KubeRayError, match=lost):
        told.setattr(logging.getLogger("resources.compute.compute"), "info", lose)
        fit(files, spec, FEATURES, reach=reach, identity="a-fit")
    (tmp_path / "go").touch()
    there = fit(files, spec, FEATURES, reach=reach, identity="a-fit")
    assert (list(operator.seen.values()), starts(tmp_path)) == (["mlops-a-fit"] * 2, ["new", "resumed"])
    here = fit(files, on_local(spec), FEATURES, reach=local)
    assert there.model == here.model


def test_a_fit_that_finds_no_nodes_says_so_and_a_later_run_waits_for_the_same_rayjob(
    operator, reach, volume, tmp_path, caplog
):
    caplog.set_level(logging.INFO, "resources.compute.compute")
    impatient = tmp_path / "rayjob.yaml"
    text = (volume / "rayjob.yaml").read_text()
    impatient.write_text(text.replace("pending-seconds: '1800'", "pending-seconds: '3'"))
    operator.nodes = False
    spec, files = spec_of(INNER), files_of(volume)
    pending = rf"after 3 s: Initializing; pod mlops-late-worker: {NO_NODE} It stays, and a run that is started again"
    with pytest.raises(KubeRayError, match=pending):
        fit(files, spec, FEATURES, reach=reach.model_copy(update={"rayjob": str(impatient)}), identity="late")
    assert rayjobs(operator) == ["mlops-late"]
    operator.nodes = True
    assert fit(files, spec, FEATURES, reach=reach, identity="late").model
    assert list(operator.seen.values()) == ["mlops-late"]
    assert "RayJob mlops-late in namespace ml is there already: waiting for it" in caplog.messages


def starts(folder: Path):
    return (folder / "starts").read_text().split()
