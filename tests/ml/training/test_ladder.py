"""The ladder: the lowest step that data, spec and hardware allow, with its reason, or words on what is missing."""

import pytest

from mlops_assets.ml.training.ladder import (
    ComputeError,
    checkpoint_every,
    choose,
    refuse_more_than_there_is,
    resources,
)
from mlops_assets.ml.training.layout import laid_out, layout
from mlops_assets.ml.training.trainers.xgboost import XGBoost
from resources.storage.addresses import storage_at


class Ray:
    """A Ray that is never started."""

    storage = storage_at("/nowhere")

    def __init__(self, address=""):
        self.address = address

    def connect(self, where):
        raise AssertionError("Ray was asked for")


def step(cells, reach, gpu_here=False, **trainer):
    rung = choose(XGBoost(**trainer), cells, reach, lambda: gpu_here)
    return rung.step, rung.where


def test_small_data_trains_here_and_says_why():
    rung = choose(XGBoost(cells_in_process=100), 100, Ray("cluster:6379"))
    assert (rung.step, rung.where) == ("in process", "here")
    assert str(rung) == (
        "in this process: 100 cells (rows times features) are at most trainer.cells_in_process=100"
    )


@pytest.mark.parametrize(
    ("address", "workers", "found"),
    [
        ("", 1, ("task", "local")),
        ("", 3, ("workers", "local")),
        ("head:6379", 1, ("task", "cluster")),
        ("head:6379", 3, ("workers", "cluster")),
        ("kuberay://ml", 1, ("task", "kuberay")),
        ("kuberay://ml", 3, ("workers", "kuberay")),
    ],
)
def test_large_data_climbs_to_ray_and_to_the_cluster_where_there_is_one(address, workers, found):
    assert step(101, Ray(address), cells_in_process=100, workers=workers) == found


def test_a_kuberay_job_is_told_by_its_name_and_namespace():
    reach, identity = Ray("kuberay://ml"), "4f" * 32
    rung = choose(XGBoost(cells_in_process=100, workers=2), 101, reach, identity=identity)
    assert str(rung) == (
        f"2 workers on a KubeRay job mlops-{'4f' * 20} in namespace ml: 101 cells (rows times features) are more than "
        f"trainer.cells_in_process=100"
    )
    forced = choose(XGBoost(compute="cluster"), 7, reach, identity="a-fit")
    assert str(forced) == "a task on a KubeRay job mlops-a-fit in namespace ml: trainer.compute=cluster"
    assert step(10**12, reach, compute="local") == ("task", "local")


def test_large_data_without_any_ray_trains_here():
    assert step(101, None, cells_in_process=100) == ("in process", "here")


@pytest.mark.parametrize(
    ("compute", "found"),
    [("in_process", "in process"), ("local", "task"), ("cluster", "task")],
)
def test_a_step_can_be_forced(compute, found):
    assert step(7, Ray("head:6379"), compute=compute)[0] == found
    assert step(10**12, Ray("head:6379"), compute=compute)[0] == found


def test_the_reason_names_what_forced_it():
    rung = choose(XGBoost(compute="local", workers=2), 7, Ray())
    assert str(rung) == "2 workers on local Ray: trainer.compute=local"


@pytest.mark.parametrize(
    ("reach", "compute", "said"),
    [
        (Ray(), "cluster", "trainer.compute=cluster needs an address: set MLOPS_RAY_ADDRESS"),
        (None, "local", "trainer.compute=local needs a Ray"),
    ],
)
def test_a_step_that_cannot_be_had_is_refused(reach, compute, said):
    with pytest.raises(ComputeError, match=said):
        choose(XGBoost(compute=compute), 7, reach)


def test_a_gpu_is_looked_for_here_first_then_on_the_cluster():
    assert step(7, Ray("head:6379"), gpu_here=True, gpu=True) == ("in process", "here")
    assert step(7, Ray("head:6379"), gpu_here=False, gpu=True) == ("task", "cluster")
    with pytest.raises(
        ComputeError, match=r"nvidia-smi shows no GPU on this machine: set trainer\.gpu to false"
    ):
        step(7, Ray(), gpu_here=False, gpu=True)


def test_more_than_the_cluster_has_is_refused_with_both_numbers():
    trainer = XGBoost(threads=2, gpu=True, resources_per_worker={"fast_disk": 1})
    there = {"CPU": 8.0, "GPU": 1.0, "fast_disk": 4.0}
    refuse_more_than_there_is(resources(trainer), 1, there)
    with pytest.raises(
        ComputeError, match=r"2 workers with CPU 2, GPU 1, fast_disk 1 each need GPU 2; Ray has GPU 1: lower"
    ):
        refuse_more_than_there_is(resources(trainer), 2, there)


def test_workers_can_be_lost_so_their_fits_keep_checkpoints():
    workers = choose(XGBoost(compute="local", workers=2), 7, Ray())
    alone = choose(XGBoost(), 7, Ray())
    assert checkpoint_every(XGBoost(), workers) == 25
    assert checkpoint_every(XGBoost(), alone) is None
    assert checkpoint_every(XGBoost(checkpoint_every=5), alone) == 5


@pytest.mark.parametrize(("address", "compute"), [("kuberay://ml", "cluster"), ("", "local")])
def test_a_fit_that_was_a_kuberay_job_is_laid_out_again_as_one_or_on_a_local_ray(address, compute):
    rung = choose(XGBoost(compute="cluster", workers=2), 7, Ray("kuberay://ml"), identity="a-fit")
    kept = layout(XGBoost(workers=2), rung, 25)
    again = laid_out(XGBoost(), kept, address)
    assert (again.compute, again.workers, again.checkpoint_every) == (compute, 2, 25)
