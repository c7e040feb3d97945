"""deployments/kubernetes on a real Kubernetes API: taken as it is, held to its quotas, and each account may do its own."""

import pytest
import yaml

from resources.pods.lost import MEMORY_UP_TO
from tests.acceptance.dagster_server import wait
from tests.acceptance.kube_api import client
from tests.acceptance.kube_control import controllers
from tests.acceptance.kustomized import FOLDER, applied, rendered
from tests.acceptance.pod_cluster import PLATFORM, TEAM


@pytest.fixture(scope="module")
def admin(kubeconfig, free_port):
    """An API that has the platform and a team; what it is too old for is told by the fixture below."""
    with controllers(kubeconfig, free_port):
        api = client(kubeconfig, "admin")
        for name in ("base", "team"):
            if not exists(api, PLATFORM if name == "base" else TEAM):
                applied(api, rendered(name))
        yield api


def exists(api, namespace):
    from kubernetes.client import CoreV1Api

    return namespace in [one.metadata.name for one in CoreV1Api(api).list_namespace().items]


def may(api, account, verb, resource, namespace):
    """`kubectl auth can-i`, by a review of the account's access."""
    from kubernetes.client import AuthorizationV1Api

    plural, _, sub = resource.partition("/")
    name, _, group = plural.partition(".")
    asked = {"verb": verb, "resource": name, "group": group, "subresource": sub, "namespace": namespace}
    review = {"spec": {"user": f"system:serviceaccount:{account}", "resourceAttributes": asked}}
    return AuthorizationV1Api(api).create_subject_access_review(review).status.allowed


DAEMON, WEBSERVER, ENDPOINT, JOBS = (
    f"{PLATFORM}:mlops-{n}" for n in ("daemon", "webserver", "endpoint", "jobs")
)
RUNS, CODE, RAY = (f"{TEAM}:mlops-{n}" for n in ("runs", "code", "ray"))
ENDS = [(verb, resource) for resource in ("jobs.batch", "pods") for verb in ("get", "list", "delete")]
SEES = [("get", "pods/log"), ("get", "pods/status"), ("get", "jobs.batch/status"), ("list", "events")]
FITS = [(verb, "rayjobs.ray.io") for verb in ("create", "get", "list", "delete")]
REAPS = [("list", "rayclusters.ray.io"), ("delete", "rayclusters.ray.io")]
ALLOWED = {
    DAEMON: [("create", "jobs.batch"), *ENDS, *SEES],
    WEBSERVER: [*ENDS, *SEES],
    RUNS: [("create", "jobs.batch"), *ENDS, *SEES, *FITS, *REAPS],
    CODE: [],
    ENDPOINT: [],
    JOBS: [],
    RAY: [],
}
ASKED = sorted({asked for given in ALLOWED.values() for asked in given})
NOBODY = [
    *(
        ("get", "secrets"),
        ("list", "secrets"),
        ("create", "pods"),
        ("create", "pods/exec"),
        ("patch", "jobs.batch"),
    ),
    *(
        ("create", "rolebindings.rbac.authorization.k8s.io"),
        ("update", "resourcequotas"),
        ("delete", "namespaces"),
    ),
    *(("create", "serviceaccounts/token"), ("impersonate", "serviceaccounts"), ("deletecollection", "pods")),
]


@pytest.mark.parametrize("account", ALLOWED)
def test_an_account_may_do_its_own_in_the_team_s_namespace_and_nothing_else(admin, account):
    found = [
        (verb, resource) for verb, resource in [*ASKED, *NOBODY] if may(admin, account, verb, resource, TEAM)
    ]
    assert sorted(found) == sorted(ALLOWED[account])


@pytest.mark.parametrize("account", ALLOWED)
@pytest.mark.parametrize("namespace", [PLATFORM, "default", "kube-system"])
def test_no_account_may_do_anything_elsewhere(admin, account, namespace):
    found = [
        (v, r)
        for v, r in [*ENDS, ("create", "jobs.batch"), ("get", "secrets"), *FITS]
        if may(admin, account, v, r, namespace)
    ]
    assert found == []


def pod(name, **changes):
    resources = {"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"memory": "1Gi"}}
    container = {"name": "c", "image": "x", "resources": resources | changes.pop("resources", {})}
    spec = {
        "serviceAccountName": "mlops-ray",
        "automountServiceAccountToken": False,
        "containers": [container],
    }
    return {"metadata": {"name": name}, "spec": spec | {"priorityClassName": "mlops-runs"} | changes}


@pytest.fixture
def refused(admin):
    """What the API says of a pod that it refuses; empty for one that it takes."""
    from kubernetes.client import CoreV1Api
    from kubernetes.client.exceptions import ApiException

    core, made = CoreV1Api(admin), []
    wait(
        lambda: all(one.status.hard for one in core.list_namespaced_resource_quota(TEAM).items),
        "quotas are counted",
        60,
    )

    def ask(manifest):
        try:
            made.append(core.create_namespaced_pod(TEAM, manifest).metadata.name)
        except ApiException as error:
            assert error.status == 403
            return yaml.safe_load(error.body)["message"]
        return ""

    yield ask
    for name in made:
        core.delete_namespaced_pod(name, TEAM, grace_period_seconds=0)


def gpus(count):
    return {
        "requests": {"cpu": "1", "memory": "1Gi", "nvidia.com/gpu": count},
        "limits": {"memory": "1Gi", "nvidia.com/gpu": count},
    }


def test_a_team_that_takes_more_gpus_than_its_own_is_refused_and_told_how_many_it_has(refused):
    assert refused(pod("first", resources=gpus("3"))) == ""
    told = refused(pod("second", resources=gpus("2")))
    assert (
        "exceeded quota: team, requested: requests.nvidia.com/gpu=2, used: requests.nvidia.com/gpu=3, limited: requests.nvidia.com/gpu=4"
        in told
    )


def test_urgent_runs_are_few(refused):
    assert [refused(pod(f"urgent-{n}", priorityClassName="mlops-urgent")) for n in range(4)] == [""] * 4
    assert "exceeded quota: urgent" in refused(pod("urgent-4", priorityClassName="mlops-urgent"))


def test_a_container_larger_than_the_largest_is_refused_and_a_priority_must_be_there(refused):
    much = {"requests": {"cpu": "1", "memory": "200Gi"}, "limits": {"memory": "200Gi"}}
    assert "maximum memory usage per Container is 128Gi" in refused(pod("large", resources=much))
    assert "no PriorityClass with name unknown was found" in refused(
        pod("unknown", priorityClassName="unknown")
    )


def test_nothing_of_it_can_be_reached_from_outside(admin):
    from kubernetes.client import CoreV1Api

    services = CoreV1Api(admin).list_service_for_all_namespaces().items
    own = [one for one in services if one.metadata.namespace in (PLATFORM, TEAM)]
    assert len(own) >= 1 and {one.spec.type for one in own} == {"ClusterIP"}
    assert not any(port.node_port for one in own for port in one.spec.ports)


def test_a_second_team_is_another_namespace_with_its_own_quota_and_the_same_rights(admin, tmp_path):
    made = rendered("example/risk")
    applied(admin, made)
    assert {one["metadata"].get("namespace", one["metadata"]["name"]) for one in made} == {"team-risk"}
    [quota] = [one for one in made if one["kind"] == "ResourceQuota" and one["metadata"]["name"] == "team"]
    assert quota["spec"]["hard"]["requests.nvidia.com/gpu"] == "1"
    assert may(admin, DAEMON, "create", "jobs.batch", "team-risk")
    assert not may(admin, RUNS, "list", "pods", "team-risk")
    assert may(admin, "team-risk:mlops-runs", "list", "pods", "team-risk")
    assert not may(admin, "team-risk:mlops-runs", "list", "pods", TEAM)
    settings = next(one["data"] for one in made if one["metadata"]["name"] == "mlops-settings")
    assert settings["MLOPS_RUN_NAMESPACE"] == "team-risk"


def test_the_annotation_that_limits_memory_is_that_of_the_launcher():
    config = yaml.safe_load((FOLDER / "base" / "dagster.yaml").read_text())["run_launcher"]["config"]
    assert config["run_k8s_config"]["pod_template_spec_metadata"]["annotations"] == {MEMORY_UP_TO: "16Gi"}
