"""The ladder: this process, one task on a warm Ray, several workers of Ray Train; and which Ray that is.

The lowest step that the size of the data, the spec and the hardware allow is taken, and the reason is told.
"""

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from mlops_assets.ml.training.checkpoints import Checkpoints
from mlops_assets.ml.training.gpu import gpu_here
from mlops_assets.spec.trainers import AnyTrainer

CHECKPOINT_EVERY = 25
KUBERAY = "kuberay://"
"""How an address begins that names a Kubernetes namespace, in which each fit gets a Ray cluster of its own."""

Place = Literal["here", "local", "cluster", "kuberay"]


class ComputeError(Exception):
    """A fit asks for hardware that is not there."""


class Reach(Protocol):
    """How Ray is reached and where checkpoints lie; `resources.compute.compute` has the real one."""

    @property
    def address(self) -> str:
        """Of a cluster, or `kuberay://` and a namespace; empty for none."""
        ...

    @property
    def storage(self) -> Checkpoints:
        """Where this process and all workers find the checkpoints of fits."""
        ...

    def connect(self, where: str) -> Mapping[str, float]:
        """Connect to a `local` Ray or the one at the address, once a process; what it has in all, as Ray names it."""
        ...

    def send(
        self,
        name: str,
        job: str,
        *,
        command: Sequence[str],
        workers: int,
        each: Mapping[str, float],
        accelerator: str | None,
        paths: Sequence[str],
        done: Callable[[], bool],
    ) -> None:
        """Have a command run as the KubeRay job `name` on a cluster of `workers`, and wait until it is `done`.

        `job` tells one content of that name from another, `each` is what a worker has, and `paths` are the files and
        folders that it must see.
        """
        ...


@dataclass(frozen=True)
class Rung:
    """The step of the ladder that a fit stands on, and why; `job` is the KubeRay job's name and namespace."""

    step: Literal["in process", "task", "workers"]
    where: Place
    workers: int
    reason: str
    job: str = ""

    def __str__(self) -> str:
        places = {
            "here": "this process",
            "local": "local Ray",
            "cluster": "the Ray cluster",
            "kuberay": f"a KubeRay job {self.job}",
        }
        steps = {"in process": "in", "task": "a task on", "workers": f"{self.workers} workers on"}
        return f"{steps[self.step]} {places[self.where]}: {self.reason}"


def place(address: str) -> Place:
    """Which Ray an address means."""
    if address.startswith(KUBERAY):
        return "kuberay"
    return "cluster" if address else "local"


def job_name(identity: str) -> str:
    """The RayJob of a fit: a DNS label of at most 46 characters, of the 47 that KubeRay allows."""
    if re.fullmatch("[0-9a-f]{40,}", identity):
        return f"mlops-{identity[:40]}"
    fits = re.fullmatch("[a-z0-9](?:[a-z0-9-]{0,37}[a-z0-9])?", identity)
    return f"mlops-{identity if fits else hashlib.sha256(identity.encode()).hexdigest()[:40]}"


def choose(
    trainer: AnyTrainer,
    cells: int,
    reach: Reach | None,
    has_gpu: Callable[[], bool] = gpu_here,
    *,
    identity: str = "",
) -> Rung:
    """The lowest step that the size of the data, the spec and the hardware allow; `identity` names a KubeRay job.

    Raises ComputeError where the spec forces a step that cannot be had.
    """
    address, forced = reach.address if reach else "", f"trainer.compute={trainer.compute}"
    size, small = f"{cells:,} cells (rows times features)", cells <= trainer.cells_in_process
    limit = f"trainer.cells_in_process={trainer.cells_in_process:,}"
    if trainer.compute == "in_process" or (trainer.compute == "auto" and (small or reach is None)):
        if trainer.gpu and not has_gpu():
            return _to_a_gpu(trainer, address, identity)
        why = f"{size} are at most {limit}" if small else f"{size}, and no Ray was given"
        return Rung("in process", "here", 1, forced if trainer.compute == "in_process" else why)
    if reach is None or (trainer.compute == "cluster" and not address):
        raise ComputeError(
            f"{forced} needs {'an address' if reach else 'a Ray'}: set MLOPS_RAY_ADDRESS to the "
            f"cluster's address, or trainer.compute to auto"
        )
    why = forced if trainer.compute != "auto" else f"{size} are more than {limit}"
    return _on_ray(trainer, "" if trainer.compute == "local" else address, why, identity)


def _to_a_gpu(trainer: AnyTrainer, address: str, identity: str) -> Rung:
    why = "trainer.gpu=true, and nvidia-smi shows no GPU on this machine"
    if trainer.compute == "auto" and address:
        return _on_ray(trainer, address, why, identity)
    raise ComputeError(
        f"{why}: set trainer.gpu to false, or MLOPS_RAY_ADDRESS to a cluster that has one and trainer.compute to auto"
    )


def _on_ray(trainer: AnyTrainer, address: str, why: str, identity: str) -> Rung:
    step, where = "workers" if trainer.workers > 1 else "task", place(address)
    job = f"{job_name(identity)} in namespace {address.removeprefix(KUBERAY)}" if where == "kuberay" else ""
    return Rung(step, where, trainer.workers, why, job)


def checkpoint_every(trainer: AnyTrainer, rung: Rung) -> int | None:
    """Rounds between checkpoints: as the spec says, else only where workers can be lost."""
    return trainer.checkpoint_every or (CHECKPOINT_EVERY if rung.step == "workers" else None)


def resources(trainer: AnyTrainer) -> dict[str, float]:
    """What one worker asks Ray for."""
    gpu = {"GPU": 1.0} if trainer.gpu else {}
    return {"CPU": float(trainer.threads), **gpu, **trainer.resources_per_worker}


def refuse_more_than_there_is(each: Mapping[str, float], workers: int, there: Mapping[str, float]) -> None:
    """Raise ComputeError before Ray would wait for ever for resources that the cluster does not have."""
    short = {name: each[name] * workers for name in each if each[name] * workers > there.get(name, 0.0)}
    if short:
        needs = ", ".join(f"{name} {amount:g}" for name, amount in short.items())
        has = ", ".join(f"{name} {there.get(name, 0.0):g}" for name in short)
        raise ComputeError(
            f"{workers} workers with {', '.join(f'{n} {a:g}' for n, a in each.items())} each need {needs}; Ray has {has}: "
            f"lower trainer.workers, trainer.threads or trainer.resources_per_worker, or reach a larger cluster"
        )
