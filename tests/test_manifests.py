"""deployments/kubernetes, rendered: what no object of it may be, and that each is one that Kubernetes knows."""

import json

import kubernetes_validate
import pytest
import yaml
from dagster._core.instance.config import dagster_instance_config
from dagster_k8s.container_context import K8sContainerContext
from dagster_k8s.job import DagsterK8sJobConfig, UserDefinedDagsterK8sConfig, construct_dagster_k8s_job

from mlops_assets.kit.pods import pod_config
from mlops_assets.local.servers import CLUSTER_YAML
from mlops_assets.pods.launcher import PodRunLauncher
from mlops_assets.spec.pods import Pod
from resources.cluster_settings import NEEDED
from resources.settings import PROJECT_ROOT, settings
from tests.acceptance.image import instructions
from tests.acceptance.kustomized import FOLDER, rendered

KUBERNETES = "1.31"
ALL = (*rendered("base"), *rendered("team"))
NAMES = [f"{one['kind']} {one['metadata'].get('namespace', '')}/{one['metadata']['name']}" for one in ALL]


def pods_of(manifests):
    for one in manifests:
        spec = one["spec"]["jobTemplate"]["spec"] if one["kind"] == "CronJob" else one.get("spec", {})
        if "template" in spec:
            yield one["metadata"]["name"], spec["template"]


PODS = dict(pods_of(ALL))


@pytest.mark.parametrize("manifest", ALL, ids=NAMES)
def test_each_object_is_one_that_kubernetes_knows(manifest):
    kubernetes_validate.validate(manifest, KUBERNETES, strict=True)


def test_all_that_is_asked_for_is_there():
    kinds = {(one["kind"], one["metadata"]["name"]) for one in ALL}
    assert kinds >= {
        *(("Deployment", name) for name in ("daemon", "webserver", "endpoint", "code", "exporter")),
        *(("PodDisruptionBudget", name) for name in ("webserver", "endpoint")),
        ("HorizontalPodAutoscaler", "endpoint"),
        ("Job", "migration"),
        ("CronJob", "retention"),
    }


def test_every_service_is_reached_from_inside_of_the_cluster_alone():
    services = [one["spec"] for one in ALL if one["kind"] == "Service"]
    assert len(services) == 4
    assert {one["type"] for one in services} == {"ClusterIP"}
    assert not any("nodePort" in port for one in services for port in one["ports"])
    assert not any(one.get("externalIPs") for one in services)
    assert [one for one in ALL if one["kind"] in ("Ingress", "Gateway", "HTTPRoute")] == []
    assert not any(
        "hostPort" in port
        for template in PODS.values()
        for container in template["spec"]["containers"]
        for port in container.get("ports", [])
    )


def restricted(spec):
    """What of a pod does not fit Kubernetes' restricted profile, or may write to its root."""
    pod = spec.get("securityContext", {})
    told = [name for name in ("hostNetwork", "hostPID", "hostIPC") if spec.get(name)]
    if not (pod.get("runAsNonRoot") and pod.get("runAsUser", 0) > 0):
        told.append("root")
    if pod.get("seccompProfile", {}).get("type") != "RuntimeDefault":
        told.append("seccomp")
    told += [v["name"] for v in spec.get("volumes", []) if not {*v} <= {"name", "emptyDir", "configMap"}]
    for container in spec["containers"]:
        own = container.get("securityContext", {})
        if own.get("allowPrivilegeEscalation") is not False or own.get("capabilities") != {"drop": ["ALL"]}:
            told.append(f"rights of {container['name']}")
        if not own.get("readOnlyRootFilesystem"):
            told.append(f"root of {container['name']}")
        limits, requests = (container.get("resources", {}).get(part, {}) for part in ("limits", "requests"))
        if limits.get("memory") is None or limits["memory"] != requests.get("memory"):
            told.append(f"memory of {container['name']}")
    return told


@pytest.mark.parametrize("name", PODS)
def test_every_pod_is_nobody_and_may_write_to_its_own_volumes_alone(name):
    assert restricted(PODS[name]["spec"]) == []


def test_only_daemon_and_webserver_have_a_token_of_the_api():
    with_token = {
        name for name, pod in PODS.items() if pod["spec"].get("automountServiceAccountToken") is not False
    }
    assert with_token == {"daemon", "webserver"}
    accounts = {one["metadata"]["name"] for one in ALL if one["kind"] == "ServiceAccount"}
    assert {pod["spec"]["serviceAccountName"] for pod in PODS.values()} <= accounts - {"default"}


def test_no_right_is_a_cluster_s_or_a_star():
    assert [one["metadata"]["name"] for one in ALL if one["kind"].startswith("Cluster")] == []
    rules = [rule for one in ALL if one["kind"] == "Role" for rule in one["rules"]]
    assert len(rules) > 5 and "*" not in json.dumps(rules)
    assert not any({"secrets", "pods/exec"} & {*rule["resources"]} for rule in rules)


def test_no_secret_is_in_a_manifest():
    assert [one["metadata"]["name"] for one in ALL if one["kind"] == "Secret"] == []
    shared = [one["data"] for one in ALL if one["metadata"]["name"] == "mlops-settings"]
    secret = {"MLOPS_DAGSTER_DB", "MLOPS_FEAST_REGISTRY", "MLOPS_ONLINE_STORE", "MLFLOW_TRACKING_URI"}
    assert len(shared) == 2 and shared[0] == shared[1] and not secret & {*shared[0]}


def test_the_settings_are_those_of_a_cluster_whose_runs_are_pods(tmp_path):
    [given] = [one["data"] for one in rendered("team") if one["metadata"]["name"] == "mlops-settings"]
    where = settings(NEEDED | given | {"MLOPS_HOME": str(tmp_path)})
    assert where.is_cluster and where.run_namespace == "mlops-runs"
    assert f"s3://{given['MLOPS_OUTPUT_BUCKET']}/{given['MLOPS_OUTPUT_PREFIX']}" == where.shared(
        "dagster/output"
    )


@pytest.mark.parametrize("folder", ["base", "team"])
def test_every_namespace_refuses_all_traffic_that_it_does_not_name(folder):
    [nobody] = [one["spec"] for one in rendered(folder) if one["metadata"]["name"] == "nobody"]
    assert nobody == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}


def test_a_budget_and_an_autoscaler_are_of_deployments_that_are_there():
    labels = {name: pod["metadata"]["labels"] for name, pod in PODS.items()}
    for one in ALL:
        if one["kind"] == "PodDisruptionBudget":
            chosen = one["spec"]["selector"]["matchLabels"].items()
            assert [name for name, own in labels.items() if chosen <= own.items()] == [
                one["metadata"]["name"]
            ]
        if one["kind"] == "HorizontalPodAutoscaler":
            assert one["spec"]["scaleTargetRef"]["name"] in labels


INSTANCE = yaml.safe_load((FOLDER / "base" / "dagster.yaml").read_text())


def test_the_instance_is_that_of_a_cluster_but_for_who_launches_and_how_runs_are_looked_after():
    shared = {"telemetry", "nux", "storage", "retention"}
    cluster = yaml.safe_load(CLUSTER_YAML.read_text())
    assert {name: INSTANCE[name] for name in shared} == {name: cluster[name] for name in shared}
    config, _ = dagster_instance_config(str(FOLDER / "base"))
    assert config["run_retries"] == {"enabled": True, "max_retries": 0, "retry_on_asset_or_op_failure": False}
    assert config["concurrency"]["pools"]["granularity"] == "run"


def job_of(config):
    """The Job of a run under the shipped launcher, with what a spec's pod lays over it."""
    from kubernetes.client import ApiClient

    shipped = INSTANCE["run_launcher"]["config"]
    context = K8sContainerContext(
        service_account_name=shipped["service_account_name"],
        env_config_maps=shipped["env_config_maps"],
        run_k8s_config=UserDefinedDagsterK8sConfig.from_dict(shipped["run_k8s_config"]),
    ).merge(K8sContainerContext(run_k8s_config=UserDefinedDagsterK8sConfig.from_dict(config)))
    job = construct_dagster_k8s_job(
        DagsterK8sJobConfig(job_image="mlops-assets:0.1.0"),
        ["dagster", "api"],
        "dagster-run-1",
        user_defined_k8s_config=context.run_k8s_config,
    )
    return ApiClient().sanitize_for_serialization(job)


GPU = Pod(cpu=2, memory="8Gi", gpu=1, spot=True, priority="mlops-urgent")


@pytest.mark.parametrize("pod", [None, GPU], ids=["as the platform has it", "as a model asks"])
def test_the_job_of_a_run_is_one_that_kubernetes_knows_and_its_pod_is_nobody(pod, tmp_path):
    config = pod_config(pod, "late", "model", settings({"MLOPS_HOME": str(tmp_path)})) if pod else {}
    job = job_of(config)
    kubernetes_validate.validate(job, KUBERNETES, strict=True)
    spec = job["spec"]["template"]["spec"]
    assert restricted(spec) == []
    assert job["spec"]["backoffLimit"] == 0 and job["spec"]["activeDeadlineSeconds"] > 0
    if pod:
        had = {"memory": "8Gi", "nvidia.com/gpu": "1"}
        assert spec["containers"][0]["resources"] == {"requests": {"cpu": "2000m", **had}, "limits": had}
        assert spec["priorityClassName"] == "mlops-urgent"
        assert spec["nodeSelector"] == {"karpenter.sh/capacity-type": "spot"}


def test_priorities_that_are_named_are_there():
    there = {one["metadata"]["name"] for one in ALL if one["kind"] == "PriorityClass"}
    named = {pod["spec"]["priorityClassName"] for pod in PODS.values()} | {"mlops-runs"}
    scoped = {
        value
        for one in ALL
        if one["kind"] == "ResourceQuota"
        for rule in one["spec"].get("scopeSelector", {}).get("matchExpressions", [])
        for value in rule["values"]
    }
    assert named | scoped <= there


def test_the_launcher_is_ours():
    assert (INSTANCE["run_launcher"]["module"], INSTANCE["run_launcher"]["class"]) == (
        PodRunLauncher.__module__,
        PodRunLauncher.__name__,
    )


def test_a_team_s_runs_are_launched_into_its_own_namespace():
    [container] = PODS["code"]["spec"]["containers"]
    words = container["args"]
    given = json.loads(
        words[words.index("--container-context") + 1].replace("$(MLOPS_RUN_NAMESPACE)", "team-risk")
    )
    assert given == {"k8s": {"namespace": "team-risk"}}


DOCKERFILE = instructions((PROJECT_ROOT / "deployments" / "docker" / "Dockerfile").read_text())


def test_the_image_is_made_of_the_locks_and_is_nobody():
    assert [line for line in DOCKERFILE if line.startswith("USER")] == ["USER 10001:10001"]
    assert {pod["spec"]["securityContext"]["runAsUser"] for pod in PODS.values()} == {10001}
    installs = [line for line in DOCKERFILE if " install " in line and "apt-get" not in line]
    assert len(installs) == 3
    assert [
        line
        for line in installs
        if "--require-hashes" not in line and "--constraint requirements" not in line
    ] == []


def test_the_last_stage_takes_nothing_of_the_build_but_the_packages_and_the_code():
    last = DOCKERFILE[max(n for n, line in enumerate(DOCKERFILE) if line.startswith("FROM")) :]
    copied = [line.split()[1:] for line in last if line.startswith("COPY")]
    assert copied == [
        ["--from=build", "/opt/venv", "/opt/venv"],
        ["--from=build", "/app", "/app"],
        ["deployments", "/app/deployments"],
    ]
    assert not any("apt-get" in line for line in last)


def test_the_image_has_the_programs_of_its_database_that_a_backup_calls():
    [system] = [line for line in DOCKERFILE if line.startswith("RUN apt-get") and "ca-certificates" in line]
    assert {"postgresql-client", "libgomp1"} <= set(system.split())


def test_the_image_of_the_manifests_is_the_one_of_the_settings():
    images = {c["image"] for pod in PODS.values() for c in pod["spec"]["containers"]}
    [given] = [one["data"] for one in rendered("team") if one["metadata"]["name"] == "mlops-settings"]
    assert images == {given["MLOPS_IMAGE"]}
