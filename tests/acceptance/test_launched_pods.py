"""The launcher of pods by itself, on a real Kubernetes API: what it reads of a lost pod, and what it writes into the run's tags."""

import json

import dagster as dg
import pytest
import yaml
from dagster import DagsterRunStatus
from dagster._core.launcher.base import WorkerStatus
from dagster._core.test_utils import create_run_for_test

from mlops_assets.pods.launcher import LOST, LOST_RUN, MAX_RETRIES, PodRunLauncher
from resources.pods.lost import MEMORY_UP_TO
from tests.acceptance.kube_api import NAMESPACE, client
from tests.acceptance.kube_control import admin_of

CONFIG = "dagster-k8s/config"
RESOURCES = {"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"memory": "1Gi"}}


@pytest.fixture(scope="module")
def launcher(kubeconfig):
    with dg.instance_for_test() as instance:
        one = PodRunLauncher(
            service_account_name="mlops-ray",
            instance_config_map="mlops-dagster",
            dagster_home="/mlops/dagster",
            load_incluster_config=False,
            kubeconfig_file=str(admin_of(kubeconfig)),
            job_namespace=NAMESPACE,
        )
        one.register_instance(instance)
        yield one


@pytest.fixture
def lost(launcher, kubeconfig):
    """A run under way whose Job has failed with its pod in a state; the run."""
    from kubernetes.client import BatchV1Api, CoreV1Api

    api = client(kubeconfig, "admin")
    jobs, pods = BatchV1Api(api), CoreV1Api(api)

    def make(state, failed=True, **status):
        run = create_run_for_test(
            launcher._instance, status=DagsterRunStatus.STARTED, tags={CONFIG: '{"pod_spec_config": {}}'}
        )
        name = f"dagster-run-{run.run_id}"
        container = {"name": "dagster", "image": "x", "resources": RESOURCES}
        spec = {
            "serviceAccountName": "mlops-ray",
            "automountServiceAccountToken": False,
            "containers": [container],
        }
        labels = {"job-name": name, "dagster/run-id": run.run_id}
        template = {"metadata": {"labels": labels}, "spec": spec | {"restartPolicy": "Never"}}
        jobs.create_namespaced_job(
            NAMESPACE, {"metadata": {"name": name, "labels": labels}, "spec": {"template": template}}
        )
        annotated = {"name": name, "labels": labels, "annotations": {MEMORY_UP_TO: "4Gi"}}
        pods.create_namespaced_pod(
            NAMESPACE, {"metadata": annotated, "spec": spec | {"restartPolicy": "Never"}}
        )
        told = {
            "name": "dagster",
            "image": "x",
            "imageID": "x",
            "ready": False,
            "restartCount": 0,
            "state": state,
        }
        pods.patch_namespaced_pod_status(
            name, NAMESPACE, {"status": {"phase": "Failed", "containerStatuses": [told], **status}}
        )
        if failed:
            jobs.patch_namespaced_job_status(name, NAMESPACE, {"status": {"failed": 1}})
        return run

    yield make
    pods.delete_collection_namespaced_pod(NAMESPACE, grace_period_seconds=0)
    jobs.delete_collection_namespaced_job(NAMESPACE, propagation_policy="Background")


def tags_of(launcher, run):
    return launcher._instance.get_run_by_id(run.run_id).tags


def ended(reason, code):
    return {"terminated": {"reason": reason, "exitCode": code}}


def test_out_of_memory_is_written_down_as_more_memory_for_the_next_try(launcher, lost):
    run = lost(ended("OOMKilled", 137))
    health = launcher.check_run_worker_health(run)
    assert health.status is WorkerStatus.FAILED and "it is tried again with 2048Mi" in health.msg
    tags = tags_of(launcher, run)
    assert (tags[LOST], tags[LOST_RUN], tags[MAX_RETRIES]) == (health.msg, run.run_id, "1")
    assert json.loads(tags[CONFIG]) == {
        "pod_spec_config": {},
        "container_config": {
            "resources": {"requests": {"cpu": "1", "memory": "2048Mi"}, "limits": {"memory": "2048Mi"}}
        },
    }


def test_what_was_taken_away_is_to_be_tried_as_it_was(launcher, lost):
    run = lost(ended("Error", 143), reason="NodeShutdown", message="Pod was terminated")
    assert "it is tried again as it was" in launcher.check_run_worker_health(run).msg
    assert (tags_of(launcher, run)[MAX_RETRIES], tags_of(launcher, run)[CONFIG]) == ("1", run.tags[CONFIG])


def test_an_error_is_not_to_be_tried_again(launcher, lost):
    run = lost(ended("Error", 3))
    assert "exit code 3" in launcher.check_run_worker_health(run).msg
    assert tags_of(launcher, run)[MAX_RETRIES] == "0"


def test_an_image_that_cannot_be_pulled_is_told_before_dagster_gives_the_run_up(launcher, lost):
    run = lost({"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}}, failed=False)
    assert launcher.check_run_worker_health(run).status is WorkerStatus.RUNNING
    assert "cannot be started (ImagePullBackOff: no such image)" in launcher.get_run_worker_debug_info(run)
    assert tags_of(launcher, run)[MAX_RETRIES] == "0"


def test_a_job_that_somebody_deleted_is_not_tried_again(launcher, lost, kubeconfig):
    from kubernetes.client import BatchV1Api

    run = lost(ended("Error", 143), failed=False)
    api = BatchV1Api(client(kubeconfig, "admin"))
    api.delete_namespaced_job(f"dagster-run-{run.run_id}", NAMESPACE, propagation_policy="Background")
    health = launcher.check_run_worker_health(run)
    assert health.status is WorkerStatus.FAILED and "was deleted by hand" in health.msg
    assert tags_of(launcher, run)[MAX_RETRIES] == "0"


def test_an_api_that_is_away_loses_no_run(launcher, lost, kubeconfig, tmp_path, free_port):
    run = lost(ended("OOMKilled", 137))
    away = yaml.safe_load(admin_of(kubeconfig).read_text())
    away["clusters"][0]["cluster"]["server"] = f"https://127.0.0.1:{free_port()}"
    (tmp_path / "away").write_text(yaml.safe_dump(away))
    from kubernetes import config

    here = launcher._api_client.batch_api.api_client
    launcher._api_client.batch_api.api_client = config.new_client_from_config(str(tmp_path / "away"))
    try:
        health = launcher.check_run_worker_health(run)
    finally:
        launcher._api_client.batch_api.api_client = here
    assert health.status is WorkerStatus.RUNNING and "does not answer" in health.msg
    assert LOST not in tags_of(launcher, run)
