"""What a kustomization of deployments/kubernetes becomes, for machines without kubectl: the fields that ours have, no others."""

from copy import deepcopy
from pathlib import Path
from typing import Any

import yaml

Manifest = dict[str, Any]
FIELDS = {"apiVersion", "kind", "namespace", "resources", "generatorOptions", "configMapGenerator", "patches"}
OF_THE_CLUSTER = {"Namespace", "PriorityClass", "ClusterRole", "ClusterRoleBinding", "StorageClass"}


def built(folder: Path) -> list[Manifest]:
    """The objects of a folder's kustomization; raises AssertionError for a field that is not known here."""
    told = yaml.safe_load((folder / "kustomization.yaml").read_text())
    assert not (other := {*told} - FIELDS), f"{folder}: {other} of a kustomization cannot be built here"
    objects = [one for name in told.get("resources", ()) for one in _resources(folder / name)]
    objects += [_config_map(folder, one) for one in told.get("configMapGenerator", ())]
    for patch in told.get("patches", ()):
        _merge_into_its_object(objects, yaml.safe_load(patch["patch"]))
    return _placed(objects, told["namespace"]) if "namespace" in told else objects


def _resources(path: Path) -> list[Manifest]:
    return built(path) if path.is_dir() else [*yaml.safe_load_all(path.read_text())]


def _config_map(folder: Path, told: Manifest) -> Manifest:
    literals = dict(one.split("=", 1) for one in told.get("literals", ()))
    files = {name: (folder / name).read_text() for name in told.get("files", ())}
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": told["name"]},
        "data": literals | files,
    }


def _merge_into_its_object(objects: list[Manifest], patch: Manifest) -> None:
    (target,) = [one for one in objects if _name(one) == _name(patch)]
    target.update(_merged(target, patch))


def _name(one: Manifest) -> tuple[str, str]:
    return one["kind"], one["metadata"]["name"]


def _merged(one: Manifest, patch: Manifest) -> Manifest:
    lists = [name for name, value in patch.items() if isinstance(value, list)]
    assert not lists, f"lists in patches cannot be merged here: {lists}"
    both = {
        k: _merged(one[k], v)
        for k, v in patch.items()
        if isinstance(v, dict) and isinstance(one.get(k), dict)
    }
    return one | patch | both


def _placed(objects: list[Manifest], namespace: str) -> list[Manifest]:
    """The objects in a namespace, and what they say of accounts that move with them."""
    before = {(one["metadata"].get("namespace"), *_name(one)) for one in objects}
    placed = deepcopy(objects)
    for one in placed:
        if one["kind"] == "Namespace":
            one["metadata"]["name"] = namespace
        elif one["kind"] not in OF_THE_CLUSTER:
            one["metadata"]["namespace"] = namespace
        for subject in one.get("subjects", ()):
            if (subject.get("namespace"), subject["kind"], subject["name"]) in before:
                subject["namespace"] = namespace
    return placed
