"""What deployments/kubernetes becomes, by kubectl's own kustomize."""

import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from resources.settings import PROJECT_ROOT

FOLDER = PROJECT_ROOT / "deployments" / "kubernetes"
NEWER = {"HorizontalPodAutoscaler", "PodDisruptionBudget", "CronJob"}
"""Kinds in versions that a Kubernetes of 1.20 does not serve yet."""

Manifest = dict[str, Any]


@cache
def rendered(folder: str) -> tuple[Manifest, ...]:
    """The objects of a kustomization below deployments/kubernetes."""
    if shutil.which("kubectl") is None:
        pytest.skip(
            "kubectl is not installed: take 1.21 or newer, Debian has an older one", allow_module_level=True
        )
    return kustomize(FOLDER / folder)


def kustomize(folder: Path) -> tuple[Manifest, ...]:
    """The objects of the kustomization in a folder."""
    done = subprocess.run(["kubectl", "kustomize", str(folder)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return tuple(yaml.safe_load_all(done.stdout))


def applied(client: Any, manifests: tuple[Manifest, ...]) -> list[str]:
    """Create what this API serves, namespaces first; the names of the others."""
    from kubernetes import utils

    order = {"Namespace": 0, "PriorityClass": 1, "ServiceAccount": 2, "Role": 3}
    left = [one for one in manifests if one["kind"] in NEWER]
    for one in sorted(manifests, key=lambda each: order.get(each["kind"], 9)):
        if one not in left:
            utils.create_from_dict(client, one)
    return [f"{one['kind']} {one['metadata']['name']}" for one in left]
