"""A fit on its step of the ladder: in this process, as one task on a warm Ray, or on workers of Ray Train that recover.

All three run the trainer's loop inside Ray Train; with no workers that is its local mode, which starts no Ray.
A fit that is killed goes on from its last checkpoint, in the same run (a lost worker) or the next one (a lost run):
its checkpoints lie under its identity.
"""

import json
import logging
import os
import tempfile
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mlops_assets.ml.cost import Cost, measured
from mlops_assets.ml.training.checkpoints import Checkpoints, for_ray
from mlops_assets.ml.training.gpu import watched
from mlops_assets.ml.training.kinds import trainer_kind
from mlops_assets.ml.training.kuberay_job import fit_on_kuberay
from mlops_assets.ml.training.ladder import Reach, Rung, refuse_more_than_there_is, resources
from mlops_assets.ml.training.trainers.base import Job, Outcome, Worker

CHECKPOINT, COST = "checkpoint", "cost-{}.json"
LOST_WORKERS = 3
"""How many times the workers of one run are started again."""


def run(job: Job, rung: Rung, reach: Reach | None, identity: str) -> tuple[Outcome, Cost]:
    """Run a fit on its step; what it costs beside this process comes back with it.

    `identity` names the fit: a killed one that is run again under the same identity goes on from its checkpoint.
    """
    checkpoints = reach.storage.below(identity) if reach else None
    if rung.step == "in process" or reach is None or checkpoints is None:
        outcome, beside = in_process(job, Alone(checkpoints)), Cost()
    elif rung.where == "kuberay":
        outcome, beside = fit_on_kuberay(job, rung, reach, checkpoints)
    else:
        outcome, beside = on_ray(job, rung, reach, checkpoints)
    if checkpoints is not None:
        checkpoints.clear()
    return outcome, beside


def on_ray(job: Job, rung: Rung, reach: Reach, checkpoints: Checkpoints) -> tuple[Outcome, Cost]:
    """Run a fit on the Ray of its step. Raises ComputeError where that has too little."""
    there = reach.connect(rung.where)
    refuse_more_than_there_is(resources(job.spec.trainer), rung.workers, there)
    run_there = _as_task if rung.step == "task" else _on_workers
    return run_there(job, checkpoints, rung)


def in_process(job: Job, worker: Worker) -> Outcome:
    """The trainer's loop in Ray Train's local mode, on one worker."""
    os.environ.setdefault("RAY_TRAIN_V2_ENABLED", "1")
    from ray.train import RunConfig, ScalingConfig

    logging.getLogger("ray.train").setLevel(logging.WARNING)
    train = trainer_kind(job.spec.trainer.kind).ray_trainer(job.spec)
    scaling, name = ScalingConfig(num_workers=0), RunConfig(name="fit")
    result = train(lambda: _watched(job, worker), scaling_config=scaling, run_config=name).fit()
    return result.return_value


def _watched(job: Job, worker: Worker) -> Outcome:
    with watched(job.spec.trainer.gpu) as gpu:
        outcome = trainer_kind(job.spec.trainer.kind).train(job, worker)
    outcome.speed = {**outcome.speed, **gpu}
    return outcome


def _as_task(job: Job, checkpoints: Checkpoints, rung: Rung) -> tuple[Outcome, Cost]:
    import ray

    trainer, amounts = job.spec.trainer, resources(job.spec.trainer)
    task = ray.remote(_measured_task).options(
        num_cpus=amounts.pop("CPU"),
        num_gpus=amounts.pop("GPU", 0.0),
        memory=amounts.pop("memory", None),
        resources=amounts,
        accelerator_type=trainer.accelerator_type,
        max_retries=LOST_WORKERS,
    )
    return ray.get(task.remote(job, checkpoints))


def _measured_task(job: Job, checkpoints: Checkpoints) -> tuple[Outcome, Cost]:
    with measured(gpus=int(job.spec.trainer.gpu)) as cost:
        outcome = in_process(job, Alone(checkpoints))
    return outcome, cost


def _on_workers(job: Job, checkpoints: Checkpoints, rung: Rung) -> tuple[Outcome, Cost]:
    from ray.train import CheckpointConfig, FailureConfig, RunConfig, ScalingConfig

    trainer = job.spec.trainer
    train = lean(trainer_kind(trainer.kind).ray_trainer(job.spec), private=rung.where != "cluster")
    scaling = ScalingConfig(
        num_workers=rung.workers,
        use_gpu=trainer.gpu,
        resources_per_worker=resources(trainer),
        accelerator_type=trainer.accelerator_type,
    )
    run_config = RunConfig(
        **for_ray(checkpoints),
        failure_config=FailureConfig(max_failures=LOST_WORKERS),  # type: ignore[arg-type]
        checkpoint_config=CheckpointConfig(num_to_keep=2),  # type: ignore[arg-type]
    )
    result = train(lambda: _on_worker(job, checkpoints), scaling_config=scaling, run_config=run_config).fit()
    costs = [checkpoints.load_or_none(COST.format(rank)) for rank in range(rung.workers)]
    total = Cost()
    for cost in filter(None, costs):
        total = total.beside(Cost(**json.loads(cost.content)))
    return result.return_value, total


def lean(trainer: Any, private: bool) -> Any:
    """Ray Train's class without two helper processes that have nothing to do here, two CPU-seconds each.

    One manages Ray Data sets, which are not used. The other, in a `private` Ray (a local one, or a KubeRay job's), would
    clean up after a lost driver, which takes its whole Ray with it; asking the API server that is not there, it would
    end each fit 12 s late.
    """
    idle = {"DatasetsCallback"} | ({"PlacementGroupCleanerCallback"} if private else set())

    class Lean(trainer):
        def _create_default_callbacks(self) -> list[Any]:
            return [c for c in super()._create_default_callbacks() if type(c).__name__ not in idle]

    return Lean


def _on_worker(job: Job, checkpoints: Checkpoints) -> Outcome:
    with measured(gpus=int(job.spec.trainer.gpu)) as cost:
        worker = OnRay()
        outcome = _watched(job, worker)
    checkpoints.write(COST.format(worker.rank), json.dumps(asdict(cost)).encode())
    return outcome


class Alone:
    """The only worker of a fit; its checkpoints are one file, replaced whole."""

    rank, size = 0, 1

    def __init__(self, checkpoints: Checkpoints | None):
        self._checkpoints = checkpoints

    def resume(self) -> bytes | None:
        last = self._checkpoints.load_or_none(CHECKPOINT) if self._checkpoints else None
        return last.content if last else None

    def save(self, state: Callable[[], bytes]) -> None:
        if self._checkpoints is not None:
            self._checkpoints.write(CHECKPOINT, state())

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

        last = ray.train.get_checkpoint()
        if last is None:
            return None
        with last.as_directory() as folder:
            return Path(folder, CHECKPOINT).read_bytes()

    def save(self, state: Callable[[], bytes]) -> None:
        """A meeting of all workers: Ray Train goes on when each has reported."""
        import ray.train

        if self.rank:
            ray.train.report({})
            return
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, CHECKPOINT).write_bytes(state())
            ray.train.report({}, checkpoint=ray.train.Checkpoint.from_directory(folder))

    def reached(self, rounds: int, model: Callable[[], bytes]) -> None:
        """Nobody asks."""
