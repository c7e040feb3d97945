"""What a network over a table is: its settings, and which columns it is given. Fitting and scoring both read it."""

from typing import Any, Literal

import numpy as np
from pydantic import Field

from mlops_assets.ml.dataset import Encoding
from mlops_assets.spec.trainers import AnyTrainer

OURS = "mlops"
"""The key under which a model's file carries its encoding."""


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


class Columns:
    """Which columns of the encoded matrix are numbers and which are categories, and what the network is given of each."""

    def __init__(self, encoding: Encoding) -> None:
        self.sizes = [len(encoding.categories[f]) for f in encoding.features if f in encoding.categories]
        self._category = np.array([f in encoding.categories for f in encoding.features], bool)

    @property
    def order(self) -> np.ndarray:
        """Positions of the features as the network has them: numbers first."""
        return np.concatenate([np.flatnonzero(~self._category), np.flatnonzero(self._category)])

    def raw_numbers(self, matrix: np.ndarray) -> np.ndarray:
        """Float32 [rows, numbers], missing ones NaN."""
        return matrix[:, ~self._category]

    def numbers(
        self, matrix: np.ndarray, mean: np.ndarray, scale: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Normalised numbers, 0 where missing, and a flag for each that is missing; both float32 [rows, numbers]."""
        raw = self.raw_numbers(matrix)
        missing = np.isnan(raw)
        return np.where(missing, np.float32(0), (raw - mean) / scale), missing.astype(np.float32)

    def codes(self, matrix: np.ndarray) -> np.ndarray:
        """Int64 [rows, categories]; a value that is missing or was never seen has the code after the last."""
        raw = matrix[:, self._category]
        return np.where(np.isnan(raw), np.array(self.sizes, np.float32), raw).astype(np.int64)
