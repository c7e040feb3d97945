"""BentoML around the bare booster; run by an interpreter that has bentoml and xgboost-cpu, and knows nothing of the project."""

import os
from pathlib import Path

import bentoml  # type: ignore[import-not-found]
import numpy as np


@bentoml.service(workers=1)
class Bare:
    """Rows that are encoded already, and a score for each."""

    def __init__(self) -> None:
        import xgboost

        self.booster = xgboost.Booster(
            {"nthread": 1}, model_file=str(Path(os.environ["BARE_MODEL"], "model.ubj"))
        )

    @bentoml.api(route="/predict")
    def predict(self, rows: list[list[float]]) -> list[float]:
        matrix = np.array(rows, "float32")
        return self.booster.inplace_predict(matrix, validate_features=False).tolist()
