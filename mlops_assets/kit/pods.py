"""A model's pods as Dagster reads them: tags of its steps and runs, and the executor of a job whose steps need some.

All of it is restated in the tag: Dagster lays it over what its launcher gives every run, field by field.
"""

import json
from collections.abc import Collection
from typing import Any

import dagster as dg

from mlops_assets.spec.model import ModelSpec
from mlops_assets.spec.pods import RUN, Pod, bytes_of
from resources.compute.rayjob import node_labels, read_template
from resources.pods.lost import MEMORY_UP_TO
from resources.settings import Settings, settings

CONFIG_TAG = "dagster-k8s/config"
MODEL_LABEL, STAGE_LABEL = "mlops-assets/model", "mlops-assets/stage"
GPU = "nvidia.com/gpu"


def pod_tags(spec: ModelSpec, stage: str = RUN) -> dict[str, str]:
    """The tag by which a stage, or a run, of a model gets its pod; none where runs are no pods, or the spec says nothing."""
    where, pod = settings(), spec.pods.of(stage) if spec.pods else None
    if pod is None or not where.run_namespace:
        return {}
    return {CONFIG_TAG: json.dumps(pod_config(pod, spec.name, stage, where), sort_keys=True)}


def pool_of(spec: ModelSpec, stage: str) -> str | None:
    """The pool whose limit a stage counts against."""
    own = spec.pods and spec.pods.of_stages.get(stage)
    return own.pool if own else None


def executor_of(specs: Collection[ModelSpec], stages: Collection[str] | None = None) -> Any:
    """In the run's own process, unless runs are pods and one of the stages has a pod to itself."""
    own = {stage for spec in specs if spec.pods for stage in spec.pods.of_stages}
    if not settings().run_namespace or not (own if stages is None else own & {*stages}):
        return dg.in_process_executor
    from mlops_assets.pods.steps import in_pods

    return in_pods()


def pod_config(pod: Pod, model: str, stage: str, where: Settings) -> dict[str, Any]:
    """What dagster-k8s lays over the pod of its launcher."""
    requests: dict[str, str] = {"cpu": f"{round(pod.cpu * 1000)}m", "memory": pod.memory}
    limits: dict[str, str] = {"memory": pod.memory}
    if pod.disk:
        requests["ephemeral-storage"] = limits["ephemeral-storage"] = pod.disk
    if pod.gpu:
        requests[GPU] = limits[GPU] = str(pod.gpu)
    return {
        "container_config": {"resources": {"requests": requests, "limits": limits}},
        "pod_spec_config": _placed(pod, where),
        "pod_template_spec_metadata": {
            "labels": {MODEL_LABEL: model, STAGE_LABEL: stage},
            "annotations": {MEMORY_UP_TO: str(max(pod.most_memory, bytes_of(pod.memory)))},
        },
        "job_metadata": {"labels": {MODEL_LABEL: model, STAGE_LABEL: stage}},
    }


def _placed(pod: Pod, where: Settings) -> dict[str, Any]:
    """Which nodes it may run on, and before whom."""
    nodes = dict(pod.nodes)
    if pod.accelerator_type:
        nodes |= node_labels(read_template(str(where.rayjob)), pod.accelerator_type, "accelerator_type")
    tolerations = [
        {
            "key": one.key,
            "operator": "Exists" if one.value is None else "Equal",
            **({} if one.value is None else {"value": one.value}),
            "effect": one.effect,
        }
        for one in pod.tolerations
    ]
    if pod.gpu:
        tolerations.append({"key": GPU, "operator": "Exists", "effect": "NoSchedule"})
    if pod.spot:
        key, _, value = where.spot_nodes.partition("=")
        nodes[key] = value
        tolerations.append({"key": key, "operator": "Equal", "value": value, "effect": "NoSchedule"})
    return {
        **({"node_selector": nodes} if nodes else {}),
        **({"tolerations": tolerations} if tolerations else {}),
        **({"priority_class_name": pod.priority} if pod.priority else {}),
    }
