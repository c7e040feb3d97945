"""What a CustomResourceDefinition takes: an object held to its schema, in which a field that is not listed is a mistake."""

import os
from copy import deepcopy
from pathlib import Path
from typing import Any

import jsonschema
import yaml

HERE = Path(__file__).parent / "acceptance"
WHOLE = "MLOPS_TEST_CRDS"
"""Variable with a folder of definitions by the same names, to hold against those that KServe and KubeRay publish whole."""

Manifest = dict[str, Any]


def definition(kind: str) -> Path:
    """The file with the definition of a kind."""
    return Path(os.environ.get(WHOLE) or HERE) / f"{kind.lower()}-crd.yaml"


def mistakes(manifest: Manifest) -> list[str]:
    """Where an object is none of its kind; empty where it is one."""
    told = yaml.load(definition(manifest["kind"]).read_text(), getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    group, _, version = manifest["apiVersion"].partition("/")
    assert told["spec"]["group"] == group, f"{manifest['kind']} is of {told['spec']['group']}"
    [schema] = [one["schema"] for one in told["spec"]["versions"] if one["name"] == version]
    validator = jsonschema.Draft202012Validator(closed(schema["openAPIV3Schema"]))
    return [f"{'.'.join(map(str, one.path))}: {one.message}" for one in validator.iter_errors(manifest)]


def closed(schema: Manifest) -> Manifest:
    """The schema without room for what it does not list, but where a definition keeps the unknown."""
    one = deepcopy(schema)
    for name, part in one.get("properties", {}).items():
        one["properties"][name] = part if name == "metadata" else closed(part)
    if "items" in one:
        one["items"] = closed(one["items"])
    if one.pop("x-kubernetes-int-or-string", False):
        one["type"] = ["integer", "string"]
    keeps = one.pop("x-kubernetes-preserve-unknown-fields", False)
    if "properties" in one and not keeps:
        one.setdefault("additionalProperties", False)
    return one


def pods_of(manifest: Manifest) -> list[Manifest]:
    """The pods that an object of KServe or KubeRay makes, as pods."""
    spec = manifest["spec"]
    if "predictor" in spec:
        own = {"canaryTrafficPercent", "minReplicas", "maxReplicas", "timeout"}
        return [_pod({name: value for name, value in spec["predictor"].items() if name not in own})]
    cluster = spec["rayClusterConfig"]
    groups = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
    return [_pod(group["template"]["spec"]) for group in groups]


def _pod(spec: Manifest) -> Manifest:
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "tried"}, "spec": spec}


def within(sent, kept, path="spec"):
    """Where what was sent is not what is kept, which may have defaults beside and behind it."""
    if isinstance(sent, dict):
        return [found for key in sent for found in within(sent[key], kept.get(key), f"{path}.{key}")]
    if isinstance(sent, list) and len(sent) <= len(kept or []):
        return [found for i, item in enumerate(sent) for found in within(item, kept[i], f"{path}[{i}]")]
    return [] if sent == kept else [f"{path}: {sent!r} became {kept!r}"]
