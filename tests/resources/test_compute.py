"""A cluster that is not there is named at once; a private Ray is the only one that is started."""

import os

import dagster as dg
import pytest

from mlops_assets.kit.systems import injected
from resources.compute.compute import Compute, join
from resources.local import local_resources
from resources.settings import RAYJOB, private_ray, settings, silence_usage_reports


def test_a_cluster_that_does_not_answer_is_named_with_the_way_out(free_port):
    address = f"127.0.0.1:{free_port()}"
    with pytest.raises(
        ConnectionError, match=f"no Ray answers at MLOPS_RAY_ADDRESS='{address}'.*or empty the"
    ):
        join(address)


def test_the_environment_names_the_cluster_and_checkpoints_lie_below_the_state(tmp_path):
    home = settings({"MLOPS_HOME": str(tmp_path), "MLOPS_RAY_ADDRESS": "head:6379"})
    compute = local_resources(home)["compute"]
    assert isinstance(compute, Compute)
    assert (compute.address, compute.storage.address) == ("head:6379", str(tmp_path / "training"))
    assert settings({"MLOPS_HOME": str(tmp_path)}).ray_address == ""


def test_kuberay_is_an_address_with_a_namespace_and_its_template_is_one_of_the_platform_team(tmp_path):
    given = settings({"MLOPS_HOME": str(tmp_path), "MLOPS_RAY_ADDRESS": "kuberay://ml-team"})
    assert (given.ray_address, given.rayjob) == ("kuberay://ml-team", RAYJOB)
    other = settings({"MLOPS_RAYJOB": str(tmp_path / "ours.yaml")})
    assert local_resources(other)["compute"].rayjob == str(tmp_path / "ours.yaml")


@pytest.mark.parametrize("wrong", ["kuberay://", "kuberay://ML", "kuberay://a/b", "kuberay://-a"])
def test_a_namespace_that_kubernetes_cannot_have_is_refused(wrong):
    with pytest.raises(ValueError, match=r"MLOPS_RAY_ADDRESS='kuberay://.*' names no Kubernetes namespace"):
        settings({"MLOPS_RAY_ADDRESS": wrong})


@pytest.mark.parametrize(
    ("address", "given", "kept"),
    [("", None, True), ("kuberay://ml", None, True), ("head:6379", None, False), ("", False, False)],
)
def test_a_ray_of_this_machine_is_private_unless_a_cluster_is_joined(address, given, kept, monkeypatch):
    monkeypatch.setenv("MLOPS_RAY_ADDRESS", address)
    for name in private_ray():
        monkeypatch.delenv(name, raising=False)
    silence_usage_reports(private=given)
    assert ("RAY_AUTH_TOKEN" in os.environ) is kept


def test_what_a_kuberay_job_does_is_told_in_the_log_of_the_step_that_waits_for_it(tmp_path, monkeypatch):
    monkeypatch.setattr("resources.compute.compute.RayJobs", lambda namespace: namespace)
    monkeypatch.setattr(
        "resources.compute.compute.Errand.run", lambda errand: errand.say(f"{errand.name} was run")
    )

    @dg.asset
    def fitted(compute: dg.ResourceParam[Compute]) -> None:
        asked = {"command": ("python",), "workers": 1, "each": {"CPU": 1.0}, "accelerator": None}
        compute.send("mlops-fit", "content", **asked, paths=(), done=lambda: True)

    given = injected({"compute": Compute(folder=str(tmp_path), address="kuberay://ml")})
    with dg.instance_for_test() as instance:
        run = dg.materialize([fitted], instance=instance, resources=given)
        told = [log.user_message for log in instance.all_logs(run.run_id) if log.step_key == "fitted"]
    assert "mlops-fit was run" in told
