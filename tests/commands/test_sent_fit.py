"""The command of a KubeRay job: what it needs before it can begin, and what it does when it is run again."""

import pytest

from mlops_assets.commands.sent_fit import grown, main
from mlops_assets.ml.cost import Cost
from mlops_assets.ml.training.kuberay_job import JOB, digest_of, job_text, write_outcome
from mlops_assets.ml.training.ladder import ComputeError
from mlops_assets.ml.training.trainers.base import Outcome
from mlops_assets.ml.training.trainers.xgboost import XGBoost
from resources.storage.addresses import storage_at
from tests.ml.conftest import parcel_spec
from tests.ml.training.test_sending import RUNG, job_of


class Growing:
    """A cluster that one worker of two CPUs joins each time it is looked at."""

    address, storage, cpus = "auto", storage_at("/nowhere"), 0.0

    def connect(self, where):
        self.cpus += 2
        return {"CPU": self.cpus}

    def send(self, *_, **__):
        raise AssertionError("a sent fit is not sent on")


def test_it_waits_for_workers_to_join():
    cluster = Growing()
    grown(cluster, XGBoost(threads=2), 2)
    assert cluster.cpus == 4


def test_a_cluster_that_stays_too_small_is_named_with_both_numbers():
    with pytest.raises(ComputeError, match="3 workers with CPU 2 each need CPU 6; Ray has CPU 2"):
        grown(Growing(), XGBoost(threads=2), 3, patience_s=0)


def test_a_folder_that_its_pod_does_not_see_is_told_with_what_to_mount(tmp_path):
    with pytest.raises(
        SystemExit, match=r"job\.json is not on this machine: mount the volume that holds MLOPS_HOME"
    ):
        main([str(tmp_path)])


@pytest.mark.parametrize("field", ["loop", "scorer"])
def test_a_job_that_names_code_which_no_spec_declares_is_refused_before_anything_is_imported(
    tmp_path, monkeypatch, field
):
    own = {
        "loop": "tests.ml.training.trainers.loops:depot_rates",
        "scorer": "tests.ml.training.trainers.loops:Rates",
    }
    spec = parcel_spec(trainer={"kind": "function", **own, field: "no_such_module:thing"})
    storage_at(tmp_path).write(JOB, job_text(job_of(spec=spec), RUNG).encode())
    for declared in (frozenset(), frozenset(own.values())):
        with pytest.raises(SystemExit, match=r"'no_such_module:thing'.* no spec in this image's repository"):
            main([str(tmp_path)], lambda declared=declared: declared)

    def reached(*_):
        raise AssertionError("the cluster was asked")

    monkeypatch.setattr("mlops_assets.commands.sent_fit.grown", reached)
    with pytest.raises(AssertionError, match="the cluster was asked"):
        main([str(tmp_path)], lambda: frozenset({*own.values(), "no_such_module:thing"}))


def test_a_command_that_is_run_again_after_its_outcome_leaves_that_alone(tmp_path, monkeypatch):
    def refused(*_):
        raise AssertionError("Ray was asked for")

    monkeypatch.setattr("mlops_assets.commands.sent_fit.grown", refused)
    text, checkpoints = job_text(job_of(), RUNG), storage_at(tmp_path)
    checkpoints.write(JOB, text.encode())
    with pytest.raises(AssertionError, match="Ray was asked for"):
        main([str(tmp_path)])
    write_outcome(checkpoints, Outcome(b"model", 7), Cost(), digest_of(text))
    before = (tmp_path / "outcome").stat()
    main([str(tmp_path)])
    assert (tmp_path / "outcome").stat() == before
