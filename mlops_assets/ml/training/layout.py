"""The layout of a fit on processes and threads, as far as it can change a model's bytes, and how to get it again."""

from collections.abc import Mapping
from typing import Any

from mlops_assets.ml.training.ladder import Rung
from mlops_assets.spec.trainers import AnyTrainer


def layout(trainer: AnyTrainer, rung: Rung, every: int | None) -> dict[str, Any]:
    """Step, place, workers, threads and rounds between checkpoints (`every`) of a fit, as JSON values."""
    return {
        "step": rung.step,
        "where": rung.where,
        "workers": rung.workers,
        "threads": trainer.threads,
        "gpu": trainer.gpu,
        "checkpoint_every": every,
    }


def laid_out(trainer: AnyTrainer, given: Mapping[str, Any], address: str) -> AnyTrainer:
    """The trainer forced onto a layout; without a cluster's address a local Ray stands in for the cluster."""
    on_ray = "cluster" if given["where"] in ("cluster", "kuberay") and address else "local"
    forced = {
        "compute": "in_process" if given["step"] == "in process" else on_ray,
        "checkpoint_every": given["checkpoint_every"],
        "workers": given["workers"],
    }
    return trainer.model_copy(update=forced)
