"""What a cluster is given of a roll-out: the manifests of the endpoints, and how KServe or KubeRay divides the requests in front.

The endpoints of a Deployment read splits themselves. Behind a router that draws instead, each endpoint is told by
MLOPS_SERVE_VERSIONS whose requests come to it: its pods differ in nothing else.
"""

import math
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from mlops_assets.promotion.rollout_states import newest, plan_of, split_of, steps_in
from mlops_assets.promotion.rollouts import RolloutError
from resources.records.rollout import Rollout
from resources.settings import PROJECT_ROOT
from resources.systems import Systems
from resources.yaml_files import read_all

FOLDER = PROJECT_ROOT / "deployments" / "kubernetes"
VARIABLE = "MLOPS_SERVE_VERSIONS"
WHOLE = 100
LONGEST_S = 2**31 - 1
"""Seconds that KubeRay's interval can hold."""

Manifest = dict[str, Any]


DEPLOYMENT, KSERVE, KUBERAY = "deployment", "kserve", "kuberay"
TEMPLATES: Mapping[str, tuple[str, Path]] = {
    DEPLOYMENT: ("Deployment", FOLDER / "base" / "endpoint.yaml"),
    KSERVE: ("InferenceService", FOLDER / "routers" / "inferenceservice.yaml"),
    KUBERAY: ("RayService", FOLDER / "routers" / "rayservice.yaml"),
}
"""By what serves on a cluster: the kind of its object, and the one that is shipped."""


@dataclass(frozen=True)
class Route:
    """The version that newly made pods have the requests of, and their percentage; None: all, with nobody beside them."""

    version: int
    percent: int | None = None


def manifest_now(target: str, model: str, systems: Systems, template: Path | None = None) -> Manifest:
    """The object to apply for a model as things stand; raises RolloutError where it is not deployed, or as `manifest_of` does."""
    published = systems.endpoint.published(model)
    if published is None:
        raise RolloutError(
            f"{model} is not deployed, so that there is nothing to divide: deploy a version first"
        )
    state = newest(systems.lake, model)
    return manifest_of(target, model, state, int(published.version), template)


def manifest_of(
    target: str, model: str, state: Rollout | None, champion: int, template: Path | None = None
) -> Manifest:
    """The object to apply where a model's newest roll-out stands so, and `champion` is published.

    Raises RolloutError where what is in front cannot divide requests as the plan says, or the template has no such object.
    """
    kind, shipped = TEMPLATES[target]
    manifest = read_template(template or shipped, kind)
    if target == DEPLOYMENT:
        return manifest
    route = route_of(state, champion)
    if target == KSERVE:
        return _inference_service(manifest, model, route)
    return _ray_service(manifest, model, route, state, champion)


def read_template(path: Path, kind: str) -> Manifest:
    """The one object of a kind in a file; raises RolloutError where there is none, or there are several."""
    try:
        documents = read_all(path.read_text(encoding="utf-8"), path)
    except FileNotFoundError as error:
        raise RolloutError(f"{path} does not exist: name a template of a {kind}") from error
    objects = [one for one in documents if isinstance(one, dict) and one.get("kind") == kind]
    if len(objects) != 1:
        raise RolloutError(f"{path} holds {len(objects)} objects of the kind {kind}: keep one")
    return objects[0]


def route_of(state: Rollout | None, champion: int) -> Route:
    """Which version has which share of the requests, as a router takes it; raises RolloutError where it cannot draw so."""
    if state is None or (state.ended and champion != state.champion):
        return Route(champion)
    if not steps_in(state)[state.step].answers:
        return Route(state.version if state.phase == "completing" else champion)
    if state.phase == "running":
        _refuse_entities(state)
        return Route(state.version, _whole_percent(split_of(state).share))
    return Route(state.version, None if state.phase in ("completing", "completed") else 0)


def _refuse_entities(state: Rollout) -> None:
    if state.origin != "ab_test" and plan_of(state).judge != "split":
        return
    raise RolloutError(
        f"{state.model}: the roll-out is judged on the entities that each version answered, and a router in front draws each "
        "request anew, so that one entity would meet both versions: leave the division to the endpoints (--render deployment)"
    )


def _whole_percent(share: float) -> int:
    percent = share * 100
    if not math.isclose(percent, round(percent), abs_tol=1e-9):
        raise RolloutError(
            f"a share of {share:g} is no whole percentage, and a router in front takes no other: give the plan's canary steps "
            "shares such as 0.05, or leave the division to the endpoints (--render deployment)"
        )
    return round(percent)


def _inference_service(manifest: Manifest, model: str, route: Route) -> Manifest:
    """KServe sends the percentage to the pods of this template, and the others to those that had all requests last."""
    named = _named(manifest, model)
    predictor = named["spec"]["predictor"]
    predictor.pop("canaryTrafficPercent", None)
    if route.percent is not None:
        predictor["canaryTrafficPercent"] = route.percent
    _tell(predictor, model, route.version)
    return named


def _ray_service(
    manifest: Manifest, model: str, route: Route, state: Rollout | None, champion: int
) -> Manifest:
    """KubeRay makes a second cluster where the pods differ and moves the requests over; where they are as before it moves them back."""
    named = _named(manifest, model)
    options = named["spec"]["upgradeStrategy"].setdefault("clusterUpgradeOptions", {})
    options |= {"stepSizePercent": WHOLE, "intervalSeconds": 1}
    if state is not None and state.phase == "running" and route.percent != WHOLE:
        options |= _pace(state)
    options["maxSurgePercent"] = max(options.get("maxSurgePercent", WHOLE), options["stepSizePercent"])
    cluster = named["spec"]["rayClusterConfig"]
    for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
        _tell(group["template"]["spec"], model, champion if route.percent == 0 else route.version)
    return named


def _pace(state: Rollout) -> dict[str, int]:
    """How much KubeRay moves and how often, so that it is never ahead of the plan: its smallest rise, after its longest bake."""
    steps = [step for step in steps_in(state) if step.answers]
    shares = [0, *(_whole_percent(step.share) for step in steps)]
    rises = [after - before for before, after in pairwise(shares) if after > before]
    longest = max(step.bake.total_seconds() for step in (steps[:-1] or steps))
    return {"stepSizePercent": min(rises), "intervalSeconds": max(1, min(math.ceil(longest), LONGEST_S))}


def _named(manifest: Manifest, model: str) -> Manifest:
    """A copy of a template with the model's name, as Kubernetes takes one."""
    named = deepcopy(manifest)
    named["metadata"]["name"] = model.replace("_", "-").rstrip("-")
    return named


def _tell(pod: Manifest, model: str, version: int) -> None:
    """Tell the endpoint in a pod whose requests come to it."""
    container = pod["containers"][0]
    others = [one for one in container.get("env", []) if one["name"] != VARIABLE]
    container["env"] = [*others, {"name": VARIABLE, "value": f"{model}={version}"}]
