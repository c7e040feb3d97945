"""The RayJob of one fit: the platform team's template with a name, a command, and workers of the size that was asked for.

One pod for each worker, and a head that runs none of them: what a worker asks for is what its pod has.
"""

import json
import math
import os
import re
import shlex
from collections.abc import Mapping, Sequence
from copy import deepcopy
from pathlib import Path, PurePosixPath
from typing import Any

from resources.settings import PROJECT_ROOT
from resources.yaml_files import YamlError, lines, read_yaml

GROUP, VERSION, PLURAL = "ray.io", "v1", "rayjobs"
ACCELERATORS, PENDING, JOB = (f"mlops-assets/{name}" for name in ("accelerators", "pending-seconds", "job"))
"""Annotations: what the template says of accelerators and patience; which job a RayJob has, told by its hash."""

SENDER, RUN_VARIABLE = "mlops-assets/run", "MLOPS_DAGSTER_RUN"
"""Annotation with the run of Dagster that sent a RayJob, and the variable by which its pod knows it."""

MEBIBYTE = 2**20
BESIDE_RAY = 1.3
"""Memory of a pod over the memory that its Ray worker gives away: Ray's own processes and its object store."""

Manifest = dict[str, Any]


class TemplateError(Exception):
    """A RayJob template that a fit cannot be sent with."""


def read_template(path: str) -> Manifest:
    """The template in a file; raises TemplateError where it is none of a RayJob with one group of workers."""
    try:
        text = Path(path).read_text(encoding="utf-8")
        template = read_yaml(text, path)
    except FileNotFoundError as error:
        raise TemplateError(f"MLOPS_RAYJOB={path} does not exist: name a RayJob template") from error
    except YamlError as error:
        raise TemplateError(str(error)) from error
    try:
        groups = template["spec"]["rayClusterSpec"]["workerGroupSpecs"]
        pods = [
            group["template"]["spec"]
            for group in (*groups, template["spec"]["rayClusterSpec"]["headGroupSpec"])
        ]
        whole = template["kind"] == "RayJob" and len(groups) == 1 and all(pod["containers"] for pod in pods)
    except (KeyError, TypeError) as error:
        raise TemplateError(f"{path} lacks {error}: it must be a {_example()}") from error
    if not whole:
        raise TemplateError(f"{path} must be a {_example()}")
    if not (
        template["spec"]["rayClusterSpec"].get("authOptions", {}).get("mode") == "token"
        or all(map(_asks_for_token, pods))
    ):
        raise TemplateError(
            f"{path} makes a Ray that anybody who reaches its pods can command: set rayClusterSpec.authOptions.mode to "
            f"token (KubeRay 1.5.1), or RAY_AUTH_MODE=token and RAY_AUTH_TOKEN from a secret in each container"
        )
    _check_annotations(template, text, path)
    return template


def _asks_for_token(pod: Manifest) -> bool:
    given = {one["name"]: one for container in pod["containers"] for one in container.get("env", [])}
    return given.get("RAY_AUTH_MODE", {}).get("value") == "token" and "valueFrom" in given.get(
        "RAY_AUTH_TOKEN", {}
    )


def rendered(
    template: Manifest,
    name: str,
    namespace: str,
    *,
    job: str,
    command: Sequence[str],
    workers: int,
    each: Mapping[str, float],
    accelerator: str | None = None,
    paths: Sequence[str] = (),
) -> Manifest:
    """The RayJob that runs a command on `workers` pods which have `each` (CPU, GPU, memory in bytes, Ray resources).

    Raises TemplateError where the template knows no nodes with the accelerator, or mounts nothing that has `paths`.
    """
    manifest = deepcopy(template)
    metadata, spec = manifest.setdefault("metadata", {}), manifest["spec"]
    metadata |= {"name": name, "namespace": namespace}
    metadata.setdefault("annotations", {})[JOB] = job
    if run := os.environ.get(RUN_VARIABLE):
        metadata["annotations"][SENDER] = run
    spec["entrypoint"] = shlex.join(command)
    spec.setdefault("shutdownAfterJobFinishes", True)
    head, group = spec["rayClusterSpec"]["headGroupSpec"], spec["rayClusterSpec"]["workerGroupSpecs"][0]
    head.setdefault("rayStartParams", {})["num-cpus"] = "0"
    group |= {"replicas": workers, "minReplicas": workers, "maxReplicas": workers}
    _size(group, each)
    if accelerator:
        pod = group["template"]["spec"]
        pod["nodeSelector"] = {**pod.get("nodeSelector", {}), **node_labels(template, accelerator)}
    for pod in (head["template"]["spec"], group["template"]["spec"]):
        _refuse_unseen(pod["containers"][0], paths)
    return manifest


def _check_annotations(template: Manifest, text: str, path: str) -> None:
    """Annotations are texts to Kubernetes: what they must hold is checked here, where file and line are known."""
    for name, rule, reads in (
        (PENDING, "give seconds as a number above 0 in quotes", _is_wait),
        (ACCELERATORS, "give JSON, accelerator to labels of nodes", _is_labels),
    ):
        given = ((template.get("metadata") or {}).get("annotations") or {}).get(name)
        if given is not None and not reads(given):
            line = lines(text).get(("metadata", "annotations", name), 1)
            raise TemplateError(f"{path}:{line}: metadata.annotations.{name} is {given!r}: {rule}")


def _is_wait(given: Any) -> bool:
    return isinstance(given, str) and bool(re.fullmatch(r"[0-9]+(\.[0-9]+)?", given)) and float(given) > 0


def _is_labels(given: Any) -> bool:
    try:
        known = json.loads(given) if isinstance(given, str) else None
    except ValueError:
        return False
    return isinstance(known, dict) and all(isinstance(labels, dict) for labels in known.values())


def pending_seconds(manifest: Manifest) -> float:
    """How long its cluster may be pending."""
    return float(manifest["metadata"]["annotations"].get(PENDING, 1800))


def _size(group: Manifest, each: Mapping[str, float]) -> None:
    container = group["template"]["spec"]["containers"][0]
    own = {name: amount for name, amount in each.items() if name not in ("CPU", "GPU", "memory")}
    requests, limits = ({**container.get("resources", {}).get(part, {})} for part in ("requests", "limits"))
    requests["cpu"] = _cpus(each["CPU"])
    limits.pop("cpu", None)
    started = {**group.get("rayStartParams", {}), "num-cpus": f"{math.ceil(each['CPU'])}"}
    if gpus := math.ceil(each.get("GPU", 0)):
        requests["nvidia.com/gpu"] = limits["nvidia.com/gpu"] = started["num-gpus"] = str(gpus)
    if memory := each.get("memory"):
        requests["memory"] = limits["memory"] = f"{math.ceil(memory * BESIDE_RAY / MEBIBYTE)}Mi"
        started["memory"] = str(math.ceil(memory))
    if own:
        started["resources"] = shlex.quote(json.dumps(own))
    container["resources"] = {"requests": requests, "limits": limits}
    group["rayStartParams"] = started


def _cpus(amount: float) -> str:
    """As Kubernetes writes it: whole ones, else thousandths, rounded up."""
    thousandths = math.ceil(amount * 1000)
    return f"{thousandths}m" if thousandths % 1000 else str(thousandths // 1000)


def node_labels(
    template: Manifest, accelerator: str, field: str = "trainer.accelerator_type"
) -> dict[str, str]:
    """Labels of the nodes that have an accelerator; raises TemplateError where the template knows none."""
    known = json.loads(template.get("metadata", {}).get("annotations", {}).get(ACCELERATORS, "{}"))
    if accelerator not in known:
        raise TemplateError(
            f"{field}={accelerator!r}: the RayJob template knows {', '.join(known) or 'none'}; add the "
            f"labels of its nodes to the annotation {ACCELERATORS}"
        )
    return known[accelerator]


def _refuse_unseen(container: Manifest, paths: Sequence[str]) -> None:
    mounts = [PurePosixPath(mount["mountPath"]) for mount in container.get("volumeMounts", [])]
    for path in paths:
        if not any(PurePosixPath(path).is_relative_to(mount) for mount in mounts):
            raise TemplateError(
                f"container {container['name']!r} of the RayJob template mounts {', '.join(map(str, mounts)) or 'nothing'}, "
                f"where {path} is not: mount the volume that holds MLOPS_HOME under the same path as here, or keep all of it "
                f"in an object store (MLOPS_ENV=cluster)"
            )


def _example() -> str:
    example = PROJECT_ROOT / "deployments" / "kubernetes" / "rayjob.yaml"
    return f"RayJob with a head, one group of workers and a container in each, as {example}"
