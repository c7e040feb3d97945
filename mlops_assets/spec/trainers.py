"""The trainers of a spec, one class a kind: how a model is fitted, and where the fit may run."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from mlops_assets.spec.base import ForALibrary, FreeForm, ImportPath, Part

CELLS_IN_PROCESS = 100_000_000
"""Rows times features: about two and a half million flights, a fit of a few minutes on two cores."""


class AnyTrainer(Part):
    """What all trainers share; the same seed, data, threads and number of workers give the same bytes."""

    categories: list[str] = Field(
        default_factory=list, description="Feature or join-key columns treated as categories."
    )
    rounds: int = Field(default=400, ge=1, description="Boosting rounds, or epochs, at most.")
    early_stopping_rounds: int = Field(
        default=25, ge=1, description="Rounds or epochs without gain after which a fit stops."
    )
    validation_share: float = Field(
        default=0.15, gt=0, lt=0.5, description="Newest share of the training rows that decides when to stop."
    )
    seed: int = 0
    threads: int = Field(
        default=2, ge=1, description="Threads of a fit, and CPUs that a worker asks Ray for."
    )
    compute: Literal["auto", "in_process", "local", "cluster"] = Field(
        default="auto", description="auto climbs by the size of the data; anything else is forced."
    )
    cells_in_process: int = Field(
        default=CELLS_IN_PROCESS,
        ge=0,
        description="Rows times features up to which auto trains in this process, without Ray.",
    )
    workers: int = Field(default=1, ge=1, description="Processes that share one fit where it runs on Ray.")
    gpu: bool = Field(default=False, description="Train on a GPU; on Ray every worker gets one.")
    accelerator_type: str | None = Field(
        default=None, description="Ray's name of the accelerator, for instance A10G."
    )
    resources_per_worker: dict[str, float] = Field(
        default_factory=dict, description="Ray resources of a worker; CPU is `threads` unless given."
    )
    checkpoint_every: int | None = Field(
        default=None,
        ge=1,
        description="Rounds or epochs between checkpoints; by default 25 on several workers, else none.",
    )

    def hyperparameters(self) -> dict[str, Any]:
        """What is logged of the trainer beside rounds and seed."""
        return dict(getattr(self, "parameters", {}))


class XGBoost(AnyTrainer):
    """Gradient boosting by XGBoost; stored in its own format (ubj)."""

    kind: Literal["xgboost"] = "xgboost"
    parameters: ForALibrary = Field(default_factory=dict, description="Passed to XGBoost as they are.")


class LightGBM(AnyTrainer):
    """Gradient boosting by LightGBM; stored as its text."""

    kind: Literal["lightgbm"]
    parameters: ForALibrary = Field(default_factory=dict, description="Passed to LightGBM as they are.")


class TorchTabular(AnyTrainer):
    """A network over embedded categories and normalised numbers; stored as safetensors."""

    kind: Literal["torch_tabular"]
    rounds: int = Field(default=30, ge=1, description="Epochs at most.")
    early_stopping_rounds: int = Field(default=4, ge=1, description="Epochs without gain, then it stops.")
    hidden: list[int] = Field(default=[128, 64], min_length=1, description="Width of each hidden layer.")
    dropout: float = Field(default=0.1, ge=0, lt=1)
    batch_size: int = Field(default=1024, ge=1, description="Rows a step on each worker.")
    learning_rate: float = Field(default=1e-3, gt=0)
    weight_decay: float = Field(default=1e-4, ge=0)

    def hyperparameters(self) -> dict[str, Any]:
        return {
            "hidden": self.hidden,
            "dropout": self.dropout,
            "batch_size": self.batch_size,
            "learning_rate": self.learning_rate,
            "weight_decay": self.weight_decay,
        }


class Function(AnyTrainer):
    """A training loop of one's own: a function by import path, which returns bytes, and the class that reads them."""

    kind: Literal["function"]
    loop: ImportPath = Field(description="Function (job, worker) -> bytes or Outcome, run on every worker.")
    scorer: ImportPath = Field(
        description="Subclass of `mlops_assets.ml.training.trainers.base:ByteScorer` that reads those bytes."
    )
    framework: Literal["plain", "torch", "xgboost", "lightgbm"] = Field(
        default="plain", description="Whose process group Ray Train sets up around the loop."
    )
    parameters: FreeForm = Field(
        default_factory=dict, description="For the loop, as `job.spec.trainer.parameters`."
    )


KINDS: dict[str, type[AnyTrainer]] = {
    "xgboost": XGBoost,
    "lightgbm": LightGBM,
    "torch_tabular": TorchTabular,
    "function": Function,
}


def _of_its_kind(value: object) -> object:
    """Check a trainer as the one kind it names, so that a mistake is told once and at its own line."""
    if not isinstance(value, dict):
        return value
    kind = value.get("kind", "xgboost")
    if not isinstance(kind, str) or kind not in KINDS:
        raise ValueError(f"trainer kind {kind!r} does not exist: choose from {', '.join(KINDS)}")
    return KINDS[kind].model_validate(value)


Trainer = Annotated[XGBoost | LightGBM | TorchTabular | Function, BeforeValidator(_of_its_kind)]
