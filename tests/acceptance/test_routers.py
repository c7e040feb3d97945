"""Roll-outs where KServe or KubeRay divides the requests: a real Kubernetes API keeps what is rendered, and endpoints answer as they are told."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest
import yaml
from pydantic import ValidationError

from mlops_assets.stages.rollout_manifests import manifest_of
from resources.settings import PROJECT_ROOT
from tests.acceptance.dagster_server import wait
from tests.acceptance.kube_api import NAMESPACE, client
from tests.acceptance.versioned import offer, started, until
from tests.crds import definition, pods_of, within
from tests.rollout_stands import stands

SERVED_S = 60
ON_RAY = """
from resources.serving import ray_serve
from {module} import {name}
ray_serve._deployment = lambda home, build: {name}({{}})
raise SystemExit(ray_serve.main())
"""
PLURALS = {"kserve": ("InferenceService", "inferenceservices"), "kuberay": ("RayService", "rayservices")}
PLACES = [stands("running", 0), stands("running", 1), stands("running", 2), stands("running", 3), stands("rolled_back", 2)]  # fmt: skip


@pytest.fixture(scope="module")
def admin(kubeconfig):
    """An API that knows both kinds."""
    from kubernetes import utils

    api = client(kubeconfig, "admin")
    for kind, _ in PLURALS.values():
        utils.create_from_dict(api, taken_by_an_api_of_1_20(yaml.safe_load(definition(kind).read_text())))
    return api


def taken_by_an_api_of_1_20(told):
    """A definition without the status, rules in CEL, which came with 1.25, and empty texts as defaults and keys of lists, which 1.20 refuses."""
    if isinstance(told, list):
        return [taken_by_an_api_of_1_20(one) for one in told]
    if not isinstance(told, dict):
        return told
    left = {"status", *(f"x-kubernetes-{name}" for name in ("validations", "list-type", "list-map-keys"))}
    left |= {"default"} if told.get("default") == "" else set()
    return {name: taken_by_an_api_of_1_20(value) for name, value in told.items() if name not in left}


@pytest.fixture
def objects(admin):
    """Creates, replaces and reads an object of one of the kinds, waiting until the API serves it."""
    from kubernetes.client import CustomObjectsApi
    from kubernetes.client.exceptions import ApiException

    api = CustomObjectsApi(admin)

    class Objects:
        def put(self, target, state):
            manifest = manifest_of(target, "trips", state, 7)
            manifest["metadata"]["namespace"] = NAMESPACE
            where = (*manifest["apiVersion"].split("/"), NAMESPACE, PLURALS[target][1])
            deadline = time.monotonic() + SERVED_S
            while True:
                try:
                    there = api.list_namespaced_custom_object(*where)["items"]
                    break
                except ApiException as error:
                    assert error.status == 404 and time.monotonic() < deadline, error
                    time.sleep(0.2)
            if there:
                manifest["metadata"]["resourceVersion"] = there[0]["metadata"]["resourceVersion"]
                return manifest, api.replace_namespaced_custom_object(*where, "trips", manifest)
            return manifest, api.create_namespaced_custom_object(*where, manifest)

    return Objects()


@pytest.mark.parametrize("target", PLURALS)
def test_a_real_api_keeps_every_field_of_what_is_rendered_from_step_to_step(objects, target):
    for state in PLACES:
        sent, kept = objects.put(target, state)
        assert within(sent["spec"], kept["spec"]) == []


@pytest.mark.parametrize("target", PLURALS)
def test_its_pods_are_pods_that_kubernetes_takes(admin, target):
    from kubernetes.client import CoreV1Api

    """But for the account and the class of priority, which this API does not have."""
    for pod in pods_of(manifest_of(target, "trips", stands("running", 1), 7)):
        pod["spec"] |= {"serviceAccountName": "mlops-ray", "automountServiceAccountToken": False}
        pod["spec"].pop("priorityClassName", None)
        kept = CoreV1Api(admin).create_namespaced_pod(NAMESPACE, pod, dry_run="All")
        assert within(pod["spec"], admin.sanitize_for_serialization(kept.spec)) == []


def serve_config():
    return yaml.safe_load(manifest_of("kuberay", "trips", None, 7)["spec"]["serveConfigV2"])


def test_ray_takes_what_the_ray_service_says_of_the_application():
    from ray.serve.schema import ServeDeploySchema

    schema = ServeDeploySchema.model_validate(serve_config())
    [given] = schema.applications
    assert schema.http_options.port == 8000 and [one.name for one in given.deployments] == ["models"]
    with pytest.raises(ValidationError):
        ServeDeploySchema.model_validate(serve_config() | {"applications": [{"name": "models"}]})


def test_the_application_that_the_ray_service_names_answers_on_ray(tmp_path: Path, free_port):
    """A Ray of its own on the loopback address runs it, by variables alone; a deployment of the config's name is in it."""
    names = {"MLOPS_HOME": str(tmp_path), "MLOPS_SERVE_PORT": str(free_port()), "MLOPS_SERVE_VERSIONS": "trips=8"}  # fmt: skip
    [given] = serve_config()["applications"]
    code = ON_RAY.format(module=given["import_path"].split(":")[0], name=given["import_path"].split(":")[1])
    process = subprocess.Popen(
        [sys.executable, "-c", code], env={**os.environ, **names}, cwd=PROJECT_ROOT, start_new_session=True
    )
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{names['MLOPS_SERVE_PORT']}", timeout=5) as http:
            wait(lambda: process.poll() is not None or answers(http), "it answers", 180)
            assert http.get("/v2/health/live").status_code == 200
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0


def answers(http: httpx.Client) -> bool:
    try:
        return http.get("/healthz").status_code == 200
    except httpx.TransportError:
        return False


def test_endpoints_that_a_router_stands_before_answer_by_the_version_whose_requests_they_get(
    tmp_path: Path, free_port, monkeypatch
):
    for name in ("old", "new"):
        offer(tmp_path / name, {"2": "well"})
    monkeypatch.setenv("MLOPS_SERVE_VERSIONS", "trips=1")
    with started(tmp_path / "old", free_port()) as old:
        monkeypatch.setenv("MLOPS_SERVE_VERSIONS", "trips=2")
        with started(tmp_path / "new", free_port()) as new:
            for one in (old, new):
                one.divide("2", 0.05)
            until(lambda: new.ask(1.0)["version"] == "2", "the pods of the version answer by it")
            answers = [(old.ask(float(n))["version"], new.ask(float(n))["version"]) for n in range(40)]
            assert set(answers) == {("1", "2")}
            until(lambda: new.counts().get("2") and new.counts()["2"].requests >= 40, "its requests count")
            for one in (old, new):
                one.endpoint.undivide("trips")
            until(lambda: new.ask(1.0)["version"] == "1", "without a split the champion answers")
