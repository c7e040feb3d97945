"""The RayJob that is sent: the size that was asked for, under a name and with a command, on the template's terms."""

import json
import math
import shlex
from copy import deepcopy

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from resources.compute.rayjob import JOB, TemplateError, read_template, rendered
from resources.settings import RAYJOB

TEMPLATE = read_template(str(RAYJOB))
COMMAND = ("python", "-m", "module", "/mlops/a folder/it's")


def made(template=TEMPLATE, **given):
    asked = {"job": "content", "command": COMMAND, "workers": 1, "each": {"CPU": 1.0}} | given
    return rendered(template, "mlops-fit", "ml", **asked)


def group(manifest):
    [workers] = manifest["spec"]["rayClusterSpec"]["workerGroupSpecs"]
    return workers


def pods(manifest):
    cluster = manifest["spec"]["rayClusterSpec"]
    return [part["template"]["spec"] for part in (cluster["headGroupSpec"], group(manifest))]


def mounting(template, path):
    """The template with a volume in all of its pods."""
    changed = deepcopy(template)
    for pod in pods(changed):
        pod["volumes"] = [{"name": "home", "persistentVolumeClaim": {"claimName": "home"}}]
        for container in pod["containers"]:
            container["volumeMounts"] = [{"name": "home", "mountPath": str(path)}]
    return changed


def cpus(quantity):
    return int(quantity[:-1]) / 1000 if quantity.endswith("m") else int(quantity)


resources = st.fixed_dictionaries(
    {"CPU": st.floats(0.1, 96)},
    optional={
        "GPU": st.integers(1, 8).map(float),
        "memory": st.floats(2**20, 2**40),
        "fast disk's": st.floats(0.5, 4),
    },
)


@given(workers=st.integers(1, 64), each=resources)
def test_every_worker_is_a_pod_that_has_what_it_asks_ray_for(workers, each):
    sized = group(made(workers=workers, each=each))
    assert {sized[count] for count in ("replicas", "minReplicas", "maxReplicas")} == {workers}
    container, started = sized["template"]["spec"]["containers"][0], sized["rayStartParams"]
    requests, limits = container["resources"]["requests"], container["resources"]["limits"]
    assert each["CPU"] <= cpus(requests["cpu"]) < each["CPU"] + 0.0011
    assert int(started["num-cpus"]) >= each["CPU"]
    assert requests.get("nvidia.com/gpu") == limits.get("nvidia.com/gpu") == started.get("num-gpus")
    assert int(started.get("num-gpus", 0)) == each.get("GPU", 0)
    assert requests["memory"] == limits["memory"]
    if "memory" in each:
        assert int(started["memory"]) == math.ceil(each["memory"])
        assert int(limits["memory"].removesuffix("Mi")) * 2**20 > each["memory"] * 1.29
    if "fast disk's" in each:
        [told] = shlex.split(started["resources"])
        assert json.loads(told) == {"fast disk's": each["fast disk's"]}
    assert all(isinstance(value, str) for value in started.values())


@given(workers=st.integers(1, 9), each=resources, job=st.text("abcdef0123456789", min_size=40, max_size=40))
def test_rendering_leaves_the_template_as_it_was_and_what_a_fit_does_not_decide_as_in_the_template(
    workers, each, job
):
    before = deepcopy(TEMPLATE)
    manifest = made(workers=workers, each=each, job=job)
    assert before == TEMPLATE
    assert yaml.safe_load(yaml.safe_dump(manifest)) == manifest
    assert (manifest["metadata"]["name"], manifest["metadata"]["namespace"]) == ("mlops-fit", "ml")
    assert manifest["metadata"]["annotations"][JOB] == job
    assert shlex.split(manifest["spec"]["entrypoint"]) == list(COMMAND)
    for name in ("shutdownAfterJobFinishes", "ttlSecondsAfterFinished", "backoffLimit"):
        assert manifest["spec"][name] == TEMPLATE["spec"][name]
    head, _ = pods(manifest)
    assert head == pods(TEMPLATE)[0]


def test_the_head_runs_no_part_of_a_fit():
    assert made()["spec"]["rayClusterSpec"]["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"


def test_an_accelerator_is_a_label_of_nodes_that_the_template_knows():
    head, worker = pods(made(accelerator="A10G"))
    assert worker["nodeSelector"] == {"nvidia.com/gpu.product": "NVIDIA-A10G"}
    assert "nodeSelector" not in head
    with pytest.raises(
        TemplateError,
        match=r"accelerator_type='B200': the RayJob template knows T4, .*annotation mlops-assets/acc",
    ):
        made(accelerator="B200")


def test_a_cluster_that_could_not_see_the_fits_files_is_not_started():
    mounted = mounting(TEMPLATE, "/mlops")
    made(mounted, paths=["/mlops/training/a", "/mlops/lake/b.parquet"])
    for template, mounts in ((mounted, "/mlops"), (TEMPLATE, "nothing")):
        said = rf"'ray-head' of the RayJob template mounts {mounts}, where /home/m/training is not: .* an object store"
        with pytest.raises(TemplateError, match=said):
            made(template, paths=["/home/m/training"])


def test_the_pods_of_the_shipped_template_know_the_object_store_and_mount_nothing():
    for pod in pods(TEMPLATE):
        [container] = pod["containers"]
        [source] = container["envFrom"]
        assert source["configMapRef"]["name"] == "mlops-settings"
        assert "volumes" not in pod and "volumeMounts" not in container


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("kind: RayJob\nspec: {}", "lacks 'rayClusterSpec': it must be a RayJob with a head"),
        ("[]", "lacks .*: it must be a RayJob"),
        (
            yaml.safe_dump(TEMPLATE | {"kind": "RayCluster"}),
            "must be a RayJob with a head, one group of workers",
        ),
    ],
)
def test_a_file_that_is_no_template_is_refused_with_an_example(text, said, tmp_path):
    (tmp_path / "rayjob.yaml").write_text(text)
    with pytest.raises(TemplateError, match=said):
        read_template(str(tmp_path / "rayjob.yaml"))
    with pytest.raises(TemplateError, match=r"MLOPS_RAYJOB=.*gone\.yaml does not exist"):
        read_template(str(tmp_path / "gone.yaml"))


def with_cluster(tmp_path, change):
    template = deepcopy(TEMPLATE)
    change(template["spec"]["rayClusterSpec"])
    file = tmp_path / "rayjob.yaml"
    file.write_text(yaml.safe_dump(template))
    return str(file)


def token_by_hand(cluster):
    del cluster["authOptions"]
    secret = {"secretKeyRef": {"name": "ray", "key": "auth_token"}}
    env = [{"name": "RAY_AUTH_MODE", "value": "token"}, {"name": "RAY_AUTH_TOKEN", "valueFrom": secret}]
    for part in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
        part["template"]["spec"]["containers"][0]["env"] = env


def test_a_ray_that_asks_for_a_token_is_taken_whoever_makes_it(tmp_path):
    assert read_template(with_cluster(tmp_path, lambda cluster: None)) == TEMPLATE
    assert read_template(with_cluster(tmp_path, token_by_hand))["kind"] == "RayJob"


def token_on_the_head_alone(cluster):
    token_by_hand(cluster)
    del cluster["workerGroupSpecs"][0]["template"]["spec"]["containers"][0]["env"]


def token_in_the_open(cluster):
    token_by_hand(cluster)
    for part in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
        env = part["template"]["spec"]["containers"][0]["env"]
        env[1] = {"name": "RAY_AUTH_TOKEN", "value": "secret"}


@pytest.mark.parametrize(
    "change",
    [
        lambda cluster: cluster.pop("authOptions"),
        lambda cluster: cluster.update(authOptions={"mode": "disabled"}),
        token_on_the_head_alone,
        token_in_the_open,
    ],
)
def test_a_ray_that_anybody_could_command_is_refused(change, tmp_path):
    with pytest.raises(TemplateError, match="anybody who reaches its pods can command"):
        read_template(with_cluster(tmp_path, change))


def test_the_network_policy_covers_every_pod_of_a_fit_and_lets_them_in_only_by_label():
    policy = yaml.safe_load((RAYJOB.parent / "fits/network.yaml").read_text())["spec"]
    cluster = TEMPLATE["spec"]["rayClusterSpec"]
    labels = [
        part["template"]["metadata"]["labels"]
        for part in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"])
    ]
    covered = policy["podSelector"]["matchLabels"].items()
    assert all(covered <= of_pod.items() for of_pod in labels)
    assert policy["policyTypes"] == ["Ingress"]
    sources = [source for rule in policy["ingress"] for source in rule["from"]]
    assert all(source["podSelector"]["matchLabels"] for source in sources)
    assert "ipBlock" not in yaml.safe_dump(policy)
