"""Where a fit runs: in this process, as one task on a warm Ray, or on several workers of Ray Train that recover.

All three run the trainer's loop inside Ray Train; with no workers that is its local mode, which starts no Ray.
A fit that is killed goes on from its last checkpoint, in the same run (a lost worker) or the next one (a lost run):
its checkpoints lie under its identity.
"""

import json
import logging
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, Literal, Protocol, cast

from mlops_assets.ml.cost import Cost, measured
from mlops_assets.ml.gpu import gpu_here, watched
from mlops_assets.ml.trainers.base import Job, Outcome, TrainerModule, Worker
from mlops_assets.spec_trainers import Trainer

CHECKPOINT_EVERY = 25
LOST_WORKERS = 3
"""How many times the workers of one run are started again."""


class ComputeError(Exception):
    """A fit asks for hardware that is not there."""


class Reach(Protocol):
    """How Ray is reached and where checkpoints lie; `resources.compute` has the real one."""

    @property
    def address(self) -> str:
        """Of a cluster; empty for none."""
        ...

    @property
    def storage(self) -> str:
        """A folder that this process and all workers see."""
        ...

    def connect(self, where: str) -> Mapping[str, float]:
        """Connect to a `local` Ray or the `cluster`, once a process; what it has in all, as Ray names it."""
        ...


@dataclass(frozen=True)
class Rung:
    """The step of the ladder that a fit stands on, and why."""

    step: Literal["in process", "task", "workers"]
    where: Literal["here", "local", "cluster"]
    workers: int
    reason: str

    def __str__(self) -> str:
        places = {"here": "this process", "local": "local Ray", "cluster": "the Ray cluster"}
        steps = {"in process": "in", "task": "a task on", "workers": f"{self.workers} workers on"}
        return f"{steps[self.step]} {places[self.where]}: {self.reason}"


def choose(trainer: Trainer, cells: int, reach: Reach | None, has_gpu: Callable[[], bool] = gpu_here) -> Rung:
    """The lowest step that the size of the data, the spec and the hardware allow.

    Raises ComputeError where the spec forces a step that cannot be had.
    """
    address = reach.address if reach else ""
    size = f"{cells:,} cells (rows times features)"
    small = cells <= trainer.cells_in_process
    if trainer.compute == "in_process" or (trainer.compute == "auto" and (small or reach is None)):
        if trainer.gpu and not has_gpu():
            return _to_a_gpu(trainer, address)
        told = f"{size} are at most trainer.cells_in_process={trainer.cells_in_process:,}"
        why = told if small else f"{size}, and no Ray was given"
        return Rung(
            "in process", "here", 1, "trainer.compute=in_process" if trainer.compute == "in_process" else why
        )
    if reach is None or (trainer.compute == "cluster" and not address):
        raise ComputeError(
            f"trainer.compute={trainer.compute} needs {'an address' if reach else 'a Ray'}: set MLOPS_RAY_ADDRESS to the "
            f"cluster's address, or trainer.compute to auto"
        )
    why = (
        f"trainer.compute={trainer.compute}"
        if trainer.compute != "auto"
        else f"{size} are more than trainer.cells_in_process={trainer.cells_in_process:,}"
    )
    on_cluster = trainer.compute == "cluster" or (trainer.compute == "auto" and bool(address))
    return _on_ray(trainer, on_cluster, why)


def _to_a_gpu(trainer: Trainer, address: str) -> Rung:
    why = "trainer.gpu=true, and nvidia-smi shows no GPU on this machine"
    if trainer.compute == "auto" and address:
        return _on_ray(trainer, True, why)
    raise ComputeError(
        f"{why}: set trainer.gpu to false, or MLOPS_RAY_ADDRESS to a cluster that has one and trainer.compute to auto"
    )


def _on_ray(trainer: Trainer, on_cluster: bool, why: str) -> Rung:
    step = "workers" if trainer.workers > 1 else "task"
    return Rung(step, "cluster" if on_cluster else "local", trainer.workers, why)


def checkpoint_every(trainer: Trainer, rung: Rung) -> int | None:
    """Rounds between checkpoints: as the spec says, else only where workers can be lost."""
    return trainer.checkpoint_every or (CHECKPOINT_EVERY if rung.step == "workers" else None)


def run(job: Job, rung: Rung, reach: Reach | None, identity: str) -> tuple[Outcome, Cost]:
    """Run a fit on its step; what it costs beside this process comes back with it.

    `identity` names the fit: a killed one that is run again under the same identity goes on from its checkpoint.
    """
    folder = Path(reach.storage, identity) if reach else None
    if rung.step == "in process" or reach is None:
        outcome, beside = in_process(job, Alone(folder)), Cost()
    else:
        there = reach.connect(rung.where)
        refuse_more_than_there_is(resources(job.spec.trainer), rung.workers, there)
        run_there = _as_task if rung.step == "task" else _on_workers
        outcome, beside = run_there(job, cast(Path, folder), rung)
    if folder is not None:
        shutil.rmtree(folder, ignore_errors=True)
    return outcome, beside


def resources(trainer: Trainer) -> dict[str, float]:
    """What one worker asks Ray for."""
    gpu = {"GPU": 1.0} if trainer.gpu else {}
    return {"CPU": float(trainer.threads), **gpu, **trainer.resources_per_worker}


def refuse_more_than_there_is(each: Mapping[str, float], workers: int, there: Mapping[str, float]) -> None:
    """Raise ComputeError before Ray would wait for ever for resources that the cluster does not have."""
    short = {name: each[name] * workers for name in each if each[name] * workers > there.get(name, 0.0)}
    if short:
        asked = ", ".join(f"{name} {amount:g}" for name, amount in short.items())
        has = ", ".join(f"{name} {there.get(name, 0.0):g}" for name in short)
        raise ComputeError(
            f"{workers} workers with {', '.join(f'{n} {a:g}' for n, a in each.items())} each need {asked}; Ray has {has}: "
            f"lower trainer.workers, trainer.threads or trainer.resources_per_worker, or reach a larger cluster"
        )


@cache
def trainer_module(kind: str) -> TrainerModule:
    """The file of `trainers/` for a kind of trainer."""
    return cast(TrainerModule, import_module(f"mlops_assets.ml.trainers.{kind}"))


def in_process(job: Job, worker: Worker) -> Outcome:
    """The trainer's loop in Ray Train's local mode, on one worker."""
    os.environ.setdefault("RAY_TRAIN_V2_ENABLED", "1")
    from ray.train import RunConfig, ScalingConfig

    logging.getLogger("ray.train").setLevel(logging.WARNING)
    train = trainer_module(job.spec.trainer.kind).ray_trainer(job.spec)
    scaling, name = ScalingConfig(num_workers=0), RunConfig(name="fit")
    result = train(lambda: _watched(job, worker), scaling_config=scaling, run_config=name).fit()
    return result.return_value


def _watched(job: Job, worker: Worker) -> Outcome:
    with watched(job.spec.trainer.gpu) as gpu:
        outcome = trainer_module(job.spec.trainer.kind).train(job, worker)
    outcome.speed = {**outcome.speed, **gpu}
    return outcome


def _as_task(job: Job, folder: Path, rung: Rung) -> tuple[Outcome, Cost]:
    import ray

    trainer, asked = job.spec.trainer, resources(job.spec.trainer)
    task = ray.remote(_measured_task).options(
        num_cpus=asked.pop("CPU"),
        num_gpus=asked.pop("GPU", 0.0),
        memory=asked.pop("memory", None),
        resources=asked,
        accelerator_type=trainer.accelerator_type,
        max_retries=LOST_WORKERS,
    )
    return ray.get(task.remote(job, folder))


def _measured_task(job: Job, folder: Path) -> tuple[Outcome, Cost]:
    with measured(gpus=int(job.spec.trainer.gpu)) as cost:
        outcome = in_process(job, Alone(folder))
    return outcome, cost


def _on_workers(job: Job, folder: Path, rung: Rung) -> tuple[Outcome, Cost]:
    from ray.train import CheckpointConfig, FailureConfig, RunConfig, ScalingConfig

    trainer = job.spec.trainer
    folder.mkdir(parents=True, exist_ok=True)
    train = lean(trainer_module(trainer.kind).ray_trainer(job.spec), private=rung.where == "local")
    scaling = ScalingConfig(
        num_workers=rung.workers,
        use_gpu=trainer.gpu,
        resources_per_worker=resources(trainer),
        accelerator_type=trainer.accelerator_type,
    )
    kept = RunConfig(
        name=folder.name,
        storage_path=str(folder.parent),
        failure_config=FailureConfig(max_failures=LOST_WORKERS),
        checkpoint_config=CheckpointConfig(num_to_keep=2),
    )
    result = train(lambda: _on_worker(job, folder), scaling_config=scaling, run_config=kept).fit()
    total = Cost()
    for file in sorted(folder.glob("cost-*.json")):
        total = total.beside(Cost(**json.loads(file.read_text())))
    return result.return_value, total


def lean(trainer: Any, private: bool) -> Any:
    """Ray Train's class without two helper processes that have nothing to do here, two CPU-seconds each.

    One manages Ray Data sets, which are not used. The other, in a `private` Ray, would clean up after a lost driver,
    which takes its whole Ray with it; asking the API server that is not there, it would end each fit 12 s late.
    """
    idle = {"DatasetsCallback"} | ({"PlacementGroupCleanerCallback"} if private else set())

    class Lean(trainer):
        def _create_default_callbacks(self) -> list[Any]:
            return [c for c in super()._create_default_callbacks() if type(c).__name__ not in idle]

    return Lean


def _on_worker(job: Job, folder: Path) -> Outcome:
    with measured(gpus=int(job.spec.trainer.gpu)) as cost:
        worker = OnRay()
        outcome = _watched(job, worker)
    (folder / f"cost-{worker.rank}.json").write_text(json.dumps(asdict(cost)))
    return outcome


class Alone:
    """The only worker of a fit; its checkpoints are one file, replaced whole."""

    rank, size = 0, 1

    def __init__(self, folder: Path | None):
        self._file = folder / "checkpoint" if folder else None

    def resume(self) -> bytes | None:
        return self._file.read_bytes() if self._file and self._file.exists() else None

    def save(self, state: Callable[[], bytes]) -> None:
        if self._file is None:
            return
        self._file.parent.mkdir(parents=True, exist_ok=True)
        temporary = self._file.with_suffix(".tmp")
        with temporary.open("wb") as handle:
            handle.write(state())
            handle.flush()
            os.fsync(handle.fileno())
        temporary.replace(self._file)

    def reached(self, rounds: int, model: Callable[[], bytes]) -> None:
        """Nobody asks."""


class OnRay:
    """One of the workers of a Ray Train run, whose checkpoints Ray Train keeps."""

    def __init__(self) -> None:
        import ray.train

        context = ray.train.get_context()
        self.rank, self.size = context.get_world_rank(), context.get_world_size()

    def resume(self) -> bytes | None:
        import ray.train

        kept = ray.train.get_checkpoint()
        if kept is None:
            return None
        with kept.as_directory() as folder:
            return Path(folder, "checkpoint").read_bytes()

    def save(self, state: Callable[[], bytes]) -> None:
        """A meeting of all workers: Ray Train goes on when each has reported."""
        import ray.train

        if self.rank:
            ray.train.report({})
            return
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, "checkpoint").write_bytes(state())
            ray.train.report({}, checkpoint=ray.train.Checkpoint.from_directory(folder))

    def reached(self, rounds: int, model: Callable[[], bytes]) -> None:
        """Nobody asks."""
