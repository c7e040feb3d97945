"""RayJobs on a real Kubernetes API: what is sent is kept whole, the shipped rights are enough, and refusals are told."""

import re

import pytest

from resources.compute.kuberay import AwayError, KubeRayError
from resources.compute.kubernetes_api import RayJobs
from resources.compute.rayjob import read_template, rendered
from resources.settings import RAYJOB
from tests.acceptance.kube_api import ADMIN, NAMESPACE, client
from tests.acceptance.stand_in_operator import OWN
from tests.crds import within

GPUS = {"CPU": 4.0, "GPU": 1.0, "memory": 2.0**33, "fast_disk": 1.0}


@pytest.fixture
def known(kubeconfig, monkeypatch):
    """This API as the one that is found; left empty."""
    from kubernetes.client import CustomObjectsApi

    monkeypatch.setattr("kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(kubeconfig))
    yield kubeconfig
    CustomObjectsApi(client(kubeconfig, ADMIN)).delete_collection_namespaced_custom_object(*OWN)


@pytest.fixture
def jobs(known):
    """As a user who has the rights of deployments/kubernetes and no others."""
    return RayJobs(NAMESPACE)


def manifest(name, namespace=NAMESPACE):
    return rendered(
        read_template(str(RAYJOB)),
        name,
        namespace,
        job="content",
        command=("python", "-m", "mlops_assets.commands.sent_fit", "s3://mlops/shared/training/fit"),
        workers=3,
        each=GPUS,
        accelerator="A10G",
    )


def test_a_rayjob_is_kept_as_it_was_sent_and_made_once(jobs):
    sent = manifest("mlops-kept")
    assert jobs.get("mlops-kept") is None
    assert (jobs.create(sent), jobs.create(sent)) == (True, False)
    kept = jobs.get("mlops-kept")
    assert kept["metadata"]["annotations"] == sent["metadata"]["annotations"]
    assert within(sent["spec"], kept["spec"]) == []


def test_the_pods_of_its_head_and_workers_are_pods_that_kubernetes_takes(known):
    from kubernetes.client import CoreV1Api

    cluster = manifest("mlops-pods")["spec"]["rayClusterSpec"]
    for part in (cluster["headGroupSpec"], cluster["workerGroupSpecs"][0]):
        sent = part["template"]["spec"]
        pod = {"metadata": {"name": "tried"}, "spec": sent}
        api = CoreV1Api(client(known, ADMIN))
        kept = api.create_namespaced_pod(NAMESPACE, pod, dry_run="All")
        assert within(sent, api.api_client.sanitize_for_serialization(kept.spec)) == []


def test_only_the_rayjob_that_was_looked_at_is_deleted(jobs):
    jobs.create(manifest("mlops-this"))
    uid = jobs.get("mlops-this")["metadata"]["uid"]
    jobs.delete("mlops-this", "another")
    assert jobs.get("mlops-this")["metadata"]["uid"] == uid
    jobs.delete("mlops-this", uid)
    assert jobs.get("mlops-this") is None
    jobs.delete("mlops-this", uid)


def test_what_pods_wait_for_is_read_from_their_status(jobs, known):
    from kubernetes.client import CoreV1Api

    core, told = CoreV1Api(client(known, ADMIN)), "0/3 nodes are available: 3 Insufficient nvidia.com/gpu."
    states = {
        "unplaced": {"conditions": [{"type": "PodScheduled", "status": "False", "message": told}]},
        "unpulled": {
            "containerStatuses": [
                {
                    "name": "c",
                    "image": "i",
                    "imageID": "",
                    "ready": False,
                    "restartCount": 0,
                    "state": {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}},
                }
            ]
        },
        "working": {"phase": "Running"},
    }
    pod = manifest("mlops-x")["spec"]["rayClusterSpec"]["workerGroupSpecs"][0]["template"]["spec"]
    for name, status in states.items():
        labels = {"ray.io/cluster": "mlops-x-abcde"}
        core.create_namespaced_pod(NAMESPACE, {"metadata": {"name": name, "labels": labels}, "spec": pod})
        core.patch_namespaced_pod_status(name, NAMESPACE, {"status": status})
    assert jobs.pending("mlops-x-abcde") == [
        f"pod unplaced: {told}",
        "pod unpulled: ImagePullBackOff no such image",
    ]
    assert jobs.pending("another") == []


def test_a_refusal_is_told_with_the_rights_that_are_missing(known):
    with pytest.raises(
        KubeRayError, match=r"\(403\): .*cannot create .*bind the role of deployments/kubernetes"
    ):
        RayJobs("elsewhere").create(manifest("mlops-fit", "elsewhere"))


def test_a_cluster_without_kuberay_or_without_the_namespace_is_told(known, monkeypatch):
    from kubernetes import config

    whole = config.load_kube_config
    monkeypatch.setattr(config, "load_kube_config", lambda **given: whole(context=ADMIN, **given))
    with pytest.raises(
        KubeRayError, match=r"no namespace elsewhere: install the KubeRay operator, create the namespace"
    ):
        RayJobs("elsewhere").create(manifest("mlops-fit", "elsewhere"))


def test_an_api_that_is_not_there_is_away(known, free_port, tmp_path, monkeypatch):
    nobody = re.sub(r"server: .*", f"server: https://127.0.0.1:{free_port()}", known.read_text())
    (tmp_path / "kubeconfig").write_text(nobody)
    monkeypatch.setattr(
        "kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(tmp_path / "kubeconfig")
    )
    with pytest.raises(AwayError, match="Connection refused"):
        RayJobs(NAMESPACE).get("mlops-fit")


def test_without_any_cluster_it_says_what_to_set(monkeypatch):
    monkeypatch.setattr("kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", "/nowhere")
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    with pytest.raises(
        KubeRayError, match="no Kubernetes cluster is known here: run inside one, or set KUBECONFIG"
    ):
        RayJobs(NAMESPACE)


def test_a_status_that_is_written_leaves_what_was_sent_alone(jobs, known):
    from kubernetes.client import CustomObjectsApi

    jobs.create(manifest("mlops-told"))
    admin = CustomObjectsApi(client(known, ADMIN))
    said = {"jobDeploymentStatus": "Failed", "message": "exit code 1"}
    admin.patch_namespaced_custom_object_status(
        *OWN, "mlops-told", {"status": said, "spec": {"entrypoint": "x"}}
    )
    there = jobs.get("mlops-told")
    assert there["status"] | said == there["status"]
    assert there["spec"]["entrypoint"].startswith("python -m")
