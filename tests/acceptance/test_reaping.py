"""The reaper on a real Kubernetes API: what nobody waits for is gone, what somebody waits for is there, and the cost is written down."""

import time

import dagster as dg
import pytest
from dagster import DagsterRunStatus
from dagster._core.test_utils import create_run_for_test

from mlops_assets.automation.reaping import costs
from mlops_assets.pods.reaping import reap
from resources.compute.rayjob import RUN_VARIABLE, read_template, rendered
from resources.pods.api import Workloads
from resources.pods.reaper import Limits
from resources.settings import RAYJOB
from tests.acceptance.kube_api import NAMESPACE, client
from tests.acceptance.stand_in_operator import OWN

AT_ONCE = Limits(ended_s=0, orphan_s=0, leaked_s=0, stranger_s=3600)
CLUSTERS = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "rayclusters.ray.io"},
    "spec": {
        "group": "ray.io",
        "names": {
            "kind": "RayCluster",
            "listKind": "RayClusterList",
            "plural": "rayclusters",
            "singular": "raycluster",
        },
        "scope": "Namespaced",
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "schema": {
                    "openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
                },
            }
        ],
    },
}


@pytest.fixture(scope="module")
def api(kubeconfig):
    from kubernetes.client import ApiextensionsV1Api, CustomObjectsApi

    admin = client(kubeconfig, "admin")
    ApiextensionsV1Api(admin).create_custom_resource_definition(CLUSTERS)
    for _ in range(100):
        if Workloads(admin, NAMESPACE)._answer(
            CustomObjectsApi(admin).list_namespaced_custom_object, "ray.io", "v1", NAMESPACE, "rayclusters"
        ):
            break
        time.sleep(0.1)
    return admin


@pytest.fixture
def instance():
    with dg.instance_for_test() as one:
        yield one


@pytest.fixture
def there(api, instance, monkeypatch):
    """A run under way and one that is over, each with a Job, a RayJob and a Ray cluster; the two runs."""
    from kubernetes.client import BatchV1Api, CustomObjectsApi

    custom, jobs = CustomObjectsApi(api), BatchV1Api(api)
    runs = {
        name: create_run_for_test(instance, job_name=f"{name}_retrain", status=status)
        for name, status in (("busy", DagsterRunStatus.STARTED), ("over", DagsterRunStatus.CANCELED))
    }
    for name, run in runs.items():
        monkeypatch.setenv(RUN_VARIABLE, run.run_id)
        fit = rendered(
            read_template(str(RAYJOB)), name, NAMESPACE, job="j", command=["x"], workers=2, each={"CPU": 4.0}
        )
        custom.create_namespaced_custom_object(*OWN, fit)
        labels = {"app.kubernetes.io/part-of": "mlops-assets", "ray.io/originated-from-cr-name": name}
        cluster = {
            "apiVersion": "ray.io/v1",
            "kind": "RayCluster",
            "metadata": {"name": name, "labels": labels},
        }
        made = cluster | {"spec": fit["spec"]["rayClusterSpec"]}
        custom.create_namespaced_custom_object("ray.io", "v1", NAMESPACE, "rayclusters", made)
        container = {
            "name": "dagster",
            "image": "x",
            "resources": {"requests": {"cpu": "2", "memory": "1Gi"}},
        }
        template = {"spec": {"restartPolicy": "Never", "containers": [container]}}
        labels = {"dagster/run-id": run.run_id, "app.kubernetes.io/component": "run_worker"}
        jobs.create_namespaced_job(
            NAMESPACE, {"metadata": {"name": f"run-{name}", "labels": labels}, "spec": {"template": template}}
        )
        began = {"status": {"active": 1, "startTime": "2026-01-01T00:00:00Z"}}
        jobs.patch_namespaced_job_status(f"run-{name}", NAMESPACE, began)
    custom.patch_namespaced_custom_object_status(*OWN, "over", {"status": {"jobDeploymentStatus": "Running"}})
    time.sleep(1.1)
    yield runs
    custom.delete_collection_namespaced_custom_object(*OWN)
    custom.delete_collection_namespaced_custom_object("ray.io", "v1", NAMESPACE, "rayclusters")
    jobs.delete_collection_namespaced_job(NAMESPACE, propagation_policy="Background")


def names(api):
    workloads = Workloads(api, NAMESPACE)
    found = [*workloads.jobs("dagster/run-id"), *workloads.rays("rayjobs"), *workloads.rays("rayclusters")]
    return sorted(one["metadata"]["name"] for one in found)


def test_a_dry_look_deletes_nothing_and_names_what_would_go(api, instance, there):
    said = []
    reap(instance, Workloads(api, NAMESPACE), dry=True, tell=said.append, limits=AT_ONCE)
    assert names(api) == ["busy", "busy", "over", "over", "run-busy", "run-over"]
    assert (
        said[0].startswith(f"Job run-over: run {there['over'].run_id} is over")
        and "would be deleted" in said[0]
    )


def test_what_nobody_waits_for_is_gone_and_the_rest_is_there(api, instance, there):
    done = reap(instance, Workloads(api, NAMESPACE), tell=lambda _: None, limits=AT_ONCE)
    assert sorted((one.kind, one.name) for one in done.left) == [("Job", "run-over"), ("RayJob", "over")]
    assert names(api) == ["busy", "busy", "over", "run-busy"]
    again = reap(instance, Workloads(api, NAMESPACE), tell=lambda _: None, limits=AT_ONCE)
    assert [(one.kind, one.name) for one in again.left] == [("RayCluster", "over")]
    assert names(api) == ["busy", "busy", "run-busy"]
    shown = costs(done)
    job = next(one.held for one in done.left if one.kind == "Job")
    assert shown["deleted"].value == 2 and job.cpu_seconds == pytest.approx(2 * job.seconds)
    assert shown["cpu seconds"].value > job.cpu_seconds > 0
    assert "run-over" in str(shown["each"].value)
