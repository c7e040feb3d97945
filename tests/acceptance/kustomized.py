"""What deployments/kubernetes becomes, and how a test gives it to an API server."""

from functools import cache
from typing import Any

from resources.settings import PROJECT_ROOT
from tests.kustomizations import built

FOLDER = PROJECT_ROOT / "deployments" / "kubernetes"
NEWER = {"HorizontalPodAutoscaler", "PodDisruptionBudget", "CronJob"}
"""Kinds in versions that a Kubernetes of 1.20 does not serve yet."""

Manifest = dict[str, Any]


@cache
def rendered(folder: str) -> tuple[Manifest, ...]:
    """The objects of a kustomization below deployments/kubernetes."""
    return tuple(built(FOLDER / folder))


def applied(client: Any, manifests: tuple[Manifest, ...]) -> list[str]:
    """Create what this API serves, namespaces first; the names of the others."""
    from kubernetes import utils

    order = {"Namespace": 0, "PriorityClass": 1, "ServiceAccount": 2, "Role": 3}
    left = [one for one in manifests if one["kind"] in NEWER]
    for one in sorted(manifests, key=lambda each: order.get(each["kind"], 9)):
        if one not in left:
            utils.create_from_dict(client, one)
    return [f"{one['kind']} {one['metadata']['name']}" for one in left]
