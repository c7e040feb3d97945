"""What a KubeRay job runs: the fit whose job lies among its checkpoints, on the Ray cluster that was made for it.

`python -m mlops_assets.commands.sent_fit ADDRESS` of a folder or an object store; it can be run again, and goes on from the
checkpoints there.
"""

import sys
import time
from collections.abc import Callable, Sequence

from mlops_assets.ml.training.distributed import on_ray
from mlops_assets.ml.training.kuberay_job import JOB, read_job, read_outcome, write_outcome
from mlops_assets.ml.training.ladder import ComputeError, Reach, refuse_more_than_there_is, resources
from mlops_assets.spec.files import declared_code
from mlops_assets.spec.model import ModelSpec
from mlops_assets.spec.trainers import AnyTrainer, trainer_code
from resources.compute.compute import Compute
from resources.settings import silence_usage_reports
from resources.storage.addresses import storage_at

GROWING_S = 300.0
"""How long workers may take to join the cluster after its head answers."""


def main(arguments: Sequence[str], declared: Callable[[], frozenset[str]] = declared_code) -> None:
    """Run the fit at the address named first, and leave its outcome there.

    `declared` gives the import paths that the repository's specs vouch for: a job that names other code is refused.
    """
    silence_usage_reports(private=False)
    address = arguments[0]
    checkpoints = storage_at(address)
    text = checkpoints.load_or_none(JOB)
    if text is None:
        raise SystemExit(f"{checkpoints.at(JOB)} {_how_to_see(address)}")
    job, rung, digest = read_job(text.content.decode())
    refuse_other_code(job.spec, declared())
    if read_outcome(checkpoints, digest) is None:
        reach = Compute(folder=address, address="auto")
        grown(reach, job.spec.trainer, rung.workers)
        outcome, cost = on_ray(job, rung, reach, checkpoints)
        write_outcome(checkpoints, outcome, cost, digest)


def _how_to_see(address: str) -> str:
    if "://" in address:
        return "is not there: was the fit ended and its checkpoints removed meanwhile? Run it again"
    return (
        "is not on this machine: mount the volume that holds MLOPS_HOME under the same path as where the fit was "
        "sent from, or have checkpoints in an object store (MLOPS_ENV=cluster)"
    )


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
