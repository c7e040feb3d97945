"""The pods of a model: what may be said of them, and what Dagster and Kubernetes are told of it."""

import json

import dagster as dg
import pytest
from dagster_k8s.job import get_user_defined_k8s_config

from mlops_assets.automation.jobs import model_jobs
from mlops_assets.kit.pods import CONFIG_TAG, executor_of, pod_tags, pool_of
from mlops_assets.spec.decides import spec_digest
from mlops_assets.spec.pods import Pod, bytes_of
from tests.ml.conftest import parcel_spec
from tests.pod_settings import runs_are_pods

SMALL = {"cpu": 1, "memory": "2Gi"}
LARGE = {
    "cpu": 2.5,
    "memory": "16Gi",
    "memory_up_to": "64Gi",
    "disk": "20Gi",
    "gpu": 1,
    "accelerator_type": "A10G",
    "nodes": {"topology.kubernetes.io/zone": "a"},
    "tolerations": [{"key": "team", "value": "risk"}, {"key": "slow", "effect": "NoExecute"}],
    "priority": "mlops-urgent",
    "spot": True,
    "pool": "gpu",
}
ON_GPU = {"kind": "xgboost", "categories": ["depot"], "threads": 1, "gpu": True, "compute": "in_process"}


@pytest.fixture
def kubernetes(monkeypatch, tmp_path):
    """A process of a cluster whose runs are pods."""
    runs_are_pods(monkeypatch, tmp_path)


def config_of(tags):
    return json.loads(tags[CONFIG_TAG])


@pytest.mark.parametrize(
    ("pods", "said"),
    [
        (
            {"fit": SMALL},
            r"pods\.fit is no stage of a model: name one of training_set, .* or run for the pod of a run",
        ),
        (
            {"run": {"cpu": 1, "memory": "2GB"}},
            r"'2GB' is no amount of memory: give a number above 0 with its unit",
        ),
        ({"run": {"cpu": 1, "memory": "0Gi"}}, r"'0Gi' is no amount of memory"),
        ({"run": {"cpu": 0, "memory": "1Gi"}}, r"greater than 0"),
        ({"run": {"cpu": 1}}, r"(?s)memory.*Field required"),
        (
            {"run": SMALL | {"memory_up_to": "1Gi"}},
            r"memory_up_to=1Gi is less than memory=2Gi: set it to at least 2Gi",
        ),
        ({"run": SMALL | {"accelerator_type": "A10G"}}, r"accelerator_type=A10G and gpu=0: .* set gpu to 1"),
        ({"run": SMALL | {"pool": "gpu"}}, r"pods\.run\.pool=gpu: a pool counts stages"),
        ({"run": SMALL | {"nodes": {"a b": "c"}}}, r"'a b' is no name of a label"),
        ({"model": SMALL | {"gpu": 1}}, r"pods\.model\.gpu=1 and trainer\.gpu=false: nothing would use it"),
    ],
)
def test_a_mistake_is_told_with_its_value_rule_and_fix(pods, said):
    with pytest.raises(ValueError, match=said):
        parcel_spec(pods=pods)


def test_a_fit_in_the_pod_on_a_gpu_needs_one_there():
    with pytest.raises(ValueError, match=r"compute=in_process, and pods\.run has no GPU: set its gpu to 1"):
        parcel_spec(trainer=ON_GPU, pods={"run": SMALL})


def test_amounts_are_read_as_kubernetes_reads_them():
    assert [bytes_of(text) for text in ("1Ki", "1.5Gi", "2Ti")] == [1024, 3 * 2**29, 2**41]
    assert Pod(cpu=1, memory="2Gi").most_memory == bytes_of("8Gi")


def test_pods_change_neither_the_identity_of_a_version_nor_what_a_spec_without_them_says():
    plain, placed = parcel_spec(), parcel_spec(pods={"run": SMALL})
    assert spec_digest(plain) == spec_digest(placed)
    assert "pods" not in plain.model_dump(mode="json")


def test_where_runs_are_no_pods_nothing_is_said_and_all_is_in_one_process():
    spec = parcel_spec(pods={"run": SMALL, "model": SMALL})
    assert pod_tags(spec) == pod_tags(spec, "model") == {}
    assert executor_of([spec]) is dg.in_process_executor


def test_all_that_a_pod_asks_for_is_restated_in_the_tag(kubernetes):
    config = config_of(pod_tags(parcel_spec(trainer=ON_GPU, pods={"model": LARGE}), "model"))
    had = {"memory": "16Gi", "ephemeral-storage": "20Gi", "nvidia.com/gpu": "1"}
    assert config["container_config"]["resources"] == {"requests": {"cpu": "2500m", **had}, "limits": had}
    assert config["pod_spec_config"] == {
        "node_selector": {
            "topology.kubernetes.io/zone": "a",
            "nvidia.com/gpu.product": "NVIDIA-A10G",
            "karpenter.sh/capacity-type": "spot",
        },
        "tolerations": [
            {"key": "team", "operator": "Equal", "value": "risk", "effect": "NoSchedule"},
            {"key": "slow", "operator": "Exists", "effect": "NoExecute"},
            {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"},
            {
                "key": "karpenter.sh/capacity-type",
                "operator": "Equal",
                "value": "spot",
                "effect": "NoSchedule",
            },
        ],
        "priority_class_name": "mlops-urgent",
    }
    assert config["pod_template_spec_metadata"]["annotations"] == {
        "mlops-assets/memory-up-to": str(64 * 2**30)
    }


def test_dagster_takes_the_tag(kubernetes):
    taken = get_user_defined_k8s_config(pod_tags(parcel_spec(trainer=ON_GPU, pods={"model": LARGE}), "model"))
    assert taken.container_config["resources"]["limits"]["nvidia.com/gpu"] == "1"
    assert taken.pod_spec_config["priority_class_name"] == "mlops-urgent"


def test_spot_nodes_are_those_of_the_platform(kubernetes, monkeypatch):
    monkeypatch.setenv("MLOPS_SPOT_NODES", "cloud.google.com/gke-spot=true")
    config = config_of(pod_tags(parcel_spec(pods={"run": SMALL | {"spot": True}})))
    assert config["pod_spec_config"]["node_selector"] == {"cloud.google.com/gke-spot": "true"}


def test_a_stage_without_a_pod_of_its_own_has_that_of_runs(kubernetes):
    spec = parcel_spec(pods={"run": SMALL, "model": SMALL | {"cpu": 4, "pool": "fits"}})
    assert config_of(pod_tags(spec, "card"))["container_config"]["resources"]["requests"]["cpu"] == "1000m"
    assert config_of(pod_tags(spec, "model"))["container_config"]["resources"]["requests"]["cpu"] == "4000m"
    assert (pool_of(spec, "model"), pool_of(spec, "card")) == ("fits", None)


def test_a_job_has_pods_of_steps_only_where_one_of_its_stages_needs_one(kubernetes):
    jobs = {job.name: job for job in model_jobs(parcel_spec(pods={"run": SMALL, "model": SMALL}))}
    partition, retrain = (jobs[f"late_parcel_{kind}"] for kind in ("partition", "retrain"))
    assert partition.executor_def is dg.in_process_executor
    assert retrain.executor_def.name == "pods"
    assert (
        config_of(partition.tags)
        == config_of(retrain.tags)
        == config_of(pod_tags(parcel_spec(pods={"run": SMALL})))
    )
