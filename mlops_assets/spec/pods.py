"""Which pods a model's work needs where runs are pods of Kubernetes; elsewhere it says nothing."""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

import pydantic
from pydantic import AfterValidator, Field

from mlops_assets.spec.base import Part

RUN = "run"
"""The name, among those of stages, of the pod in which a run itself works."""

STAGES = (
    *("training_set", "search", "model", "evaluation", "deployment", "predictions"),
    *("performance", "drift", "skew", "card", "batch_predictions"),
)
UNITS = {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}
QUANTITY = re.compile(r"([0-9]+(?:\.[0-9]+)?)(Ki|Mi|Gi|Ti)", re.ASCII)
NAME = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"
LABEL = re.compile(r"(?:[a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")


def bytes_of(quantity: str) -> int:
    """The bytes of a quantity of memory, as Kubernetes writes them with a binary unit."""
    match = QUANTITY.fullmatch(quantity)
    if match is None or not float(match[1]):
        raise ValueError(
            f"{quantity!r} is no amount of memory: give a number above 0 with its unit ({', '.join(UNITS)}), for example 8Gi"
        )
    return int(float(match[1]) * UNITS[match[2]])


def _an_amount(value: str) -> str:
    bytes_of(value)
    return value


def _labels(value: dict[str, str]) -> dict[str, str]:
    for name in value:
        if not LABEL.fullmatch(name):
            raise ValueError(
                f"{name!r} is no name of a label: give for instance node.kubernetes.io/instance-type"
            )
    return value


Amount = Annotated[str, AfterValidator(_an_amount), Field(examples=["8Gi"])]


class Toleration(Part):
    """A taint of nodes that does not keep the pod away."""

    key: str = Field(pattern=LABEL.pattern, description="Key of the taint.")
    value: str | None = Field(default=None, description="Its value; any by default.")
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] = "NoSchedule"


class Pod(Part):
    """What a pod asks for, all of it: nothing of the platform's own pod stays where a model names one."""

    cpu: float = Field(
        gt=0, le=1024, description="CPUs that are kept for it; it may use more where nobody else does."
    )
    memory: Amount = Field(description="Memory that it gets and may not exceed.")
    memory_up_to: Amount | None = Field(
        default=None,
        validate_default=True,
        description="A pod that ran out of memory is tried again with twice as much, up to this; by default four times `memory`.",
    )
    disk: Amount | None = Field(default=None, description="Disk of its node that is kept for it.")
    gpu: int = Field(default=0, ge=0, le=64, description="GPUs, all of one node.")
    accelerator_type: str | None = Field(
        default=None,
        validate_default=True,
        description="Kind of the GPU, by a name of the RayJob template, for instance A10G.",
    )
    nodes: Annotated[dict[str, str], AfterValidator(_labels)] = Field(
        default_factory=dict, description="Labels of the nodes that it may run on."
    )
    tolerations: list[Toleration] = Field(
        default_factory=list, description="Taints of nodes that do not keep it away."
    )
    priority: str | None = Field(
        default=None, pattern=NAME, description="Priority class, by its name in the cluster."
    )
    spot: bool = Field(
        default=False,
        description="Run on nodes that may be taken back, those of `MLOPS_SPOT_NODES`; a run whose node is taken is tried again.",
    )
    pool: str | None = Field(
        default=None,
        pattern=r"^[A-Za-z0-9_]+$",
        description="Pool of Dagster whose limit it counts against, over all models that name it.",
    )

    @property
    def most_memory(self) -> int:
        """Bytes up to which a pod that ran out of memory is given more."""
        return bytes_of(self.memory_up_to) if self.memory_up_to else 4 * bytes_of(self.memory)

    @pydantic.field_validator("memory_up_to")
    @classmethod
    def _no_less_than_it_begins_with(cls, value: str | None, info: pydantic.ValidationInfo) -> str | None:
        memory = info.data.get("memory")
        if value and memory and bytes_of(value) < bytes_of(memory):
            raise ValueError(
                f"memory_up_to={value} is less than memory={memory}: set it to at least {memory}, which tries no more"
            )
        return value

    @pydantic.field_validator("accelerator_type")
    @classmethod
    def _is_of_a_gpu(cls, value: str | None, info: pydantic.ValidationInfo) -> str | None:
        if value and info.data.get("gpu") == 0:
            raise ValueError(
                f"accelerator_type={value} and gpu=0: the pod would get none; set gpu to 1 or more"
            )
        return value


class Pods(Part):
    """Pods by what works in them: `run` for a run as a whole, the name of a stage where that needs a pod of its own."""

    run: Pod | None = Field(default=None, description="The pod of a run of the model.")
    training_set: Pod | None = None
    search: Pod | None = None
    model: Pod | None = Field(default=None, description="The pod of a fit.")
    evaluation: Pod | None = None
    deployment: Pod | None = None
    predictions: Pod | None = None
    performance: Pod | None = None
    drift: Pod | None = None
    skew: Pod | None = None
    card: Pod | None = None
    batch_predictions: Pod | None = None

    @pydantic.model_validator(mode="before")
    @classmethod
    def _are_stages(cls, content: Any) -> Any:
        known = (RUN, *STAGES)
        if isinstance(content, Mapping) and (other := sorted({*map(str, content)} - {*known})):
            raise ValueError(
                f"pods.{other[0]} is no stage of a model: name one of {', '.join(STAGES)}, or {RUN} for the pod of a run"
            )
        return content

    @pydantic.model_validator(mode="after")
    def _pools_are_of_stages(self) -> Self:
        if self.run and self.run.pool:
            raise ValueError(
                f"pods.run.pool={self.run.pool}: a pool counts stages; name it in the pod of one, for instance pods.model"
            )
        return self

    @property
    def of_stages(self) -> dict[str, Pod]:
        """The stages that have a pod to themselves."""
        there = {name: getattr(self, name) for name in STAGES}
        return {name: pod for name, pod in there.items() if pod}

    def of(self, stage: str) -> Pod | None:
        """The pod of a stage: its own, else that of runs."""
        return self.of_stages.get(stage, self.run)


def pods_fit(pods: Pods, trainer: Any) -> str | None:
    """What is wrong with a model's pods beside its trainer; None where all is well."""
    pod, given = pods.of("model"), "pods.model" if pods.model else "pods.run"
    if pod is None:
        return None
    if pod.gpu and not trainer.gpu:
        return f"{given}.gpu={pod.gpu} and trainer.gpu=false: nothing would use it; set trainer.gpu to true, or leave gpu out"
    if trainer.gpu and trainer.compute == "in_process" and not pod.gpu:
        return (
            f"trainer.gpu=true and trainer.compute=in_process, and {given} has no GPU: set its gpu to 1, or trainer.compute to "
            "cluster"
        )
    return None
