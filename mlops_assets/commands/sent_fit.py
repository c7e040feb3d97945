"""What a KubeRay job runs: the fit whose job lies in a folder, on the Ray cluster that was made for it.

`python -m mlops_assets.commands.sent_fit FOLDER`; it can be run again, and goes on from the checkpoints in that folder.
"""

import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from mlops_assets.ml.training.distributed import on_ray
from mlops_assets.ml.training.kuberay_job import JOB, read_job, read_outcome, write_outcome
from mlops_assets.ml.training.ladder import ComputeError, Reach, refuse_more_than_there_is, resources
from mlops_assets.spec.files import declared_code
from mlops_assets.spec.model import ModelSpec
from mlops_assets.spec.trainers import AnyTrainer, trainer_code
from resources.compute.compute import Compute
from resources.settings import silence_usage_reports

GROWING_S = 300.0
"""How long workers may take to join the cluster after its head answers."""


def main(arguments: Sequence[str], declared: Callable[[], frozenset[str]] = declared_code) -> None:
    """Run the fit in the folder named first, and leave its outcome there.

    `declared` gives the import paths that the repository's specs vouch for: a job that names other code is refused.
    """
    silence_usage_reports(private=False)
    folder = Path(arguments[0])
    if not (folder / JOB).exists():
        raise SystemExit(
            f"{folder / JOB} is not on this machine: mount the volume that holds MLOPS_HOME under the same path as "
            f"where the fit was sent from"
        )
    job, rung, digest = read_job(folder)
    refuse_other_code(job.spec, declared())
    if read_outcome(folder, digest) is None:
        reach = Compute(folder=str(folder.parent), address="auto")
        grown(reach, job.spec.trainer, rung.workers)
        outcome, cost = on_ray(job, rung, reach, folder)
        write_outcome(folder, outcome, cost, digest)


def refuse_other_code(spec: ModelSpec, declared: frozenset[str]) -> None:
    """End the process unless every function and class that the job's trainer names is declared by the repository."""
    if other := [path for path in trainer_code(spec.trainer) if path not in declared]:
        raise SystemExit(
            f"the job's trainer names {' and '.join(map(repr, other))}, which no spec in this image's repository declares, "
            f"so nothing is imported: build the image from the repository that has the spec of {spec.name!r}"
        )


def grown(reach: Reach, trainer: AnyTrainer, workers: int, patience_s: float = GROWING_S) -> None:
    """Return when the cluster has what the fit asks for; raises ComputeError where it does not get there in time."""
    deadline = time.monotonic() + patience_s
    while True:
        try:
            return refuse_more_than_there_is(resources(trainer), workers, reach.connect("kuberay"))
        except ComputeError:
            if time.monotonic() > deadline:
                raise
            time.sleep(1)


if __name__ == "__main__":
    main(sys.argv[1:])
