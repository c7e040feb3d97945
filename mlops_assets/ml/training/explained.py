"""A scorer that also says what each feature added to a score; apart from `fit.py`, whose code decides scores and is digested."""

from collections.abc import Callable, Collection

import numpy as np
import polars as pl

from mlops_assets.ml.dataset import DatasetError
from mlops_assets.ml.training.fit import Scorer
from mlops_assets.ml.training.kinds import kind_of, trainer_kind
from mlops_assets.ml.training.recalibrated import RecalibratedModel
from mlops_assets.ml.training.trainers.base import Contributions, ExplainingKind, Link

SCORES: dict[Link, Callable[[np.ndarray], np.ndarray]] = {
    "identity": lambda raw: raw,
    "logit": lambda raw: 0.5 * (1 + np.tanh(raw / 2)),
    "log": np.exp,
}
"""What makes a score of a raw score, by link."""

CLOSE = 1e-4
"""Single precision, over some thousand trees."""


class ExplainingScorer(Scorer):
    """A scorer whose `contributions` say what each feature added; None where the model's kind of trainer cannot."""

    def __init__(self, model: bytes, *, code: Collection[str] = (), name: str = "") -> None:
        super().__init__(model, code=code, name=name)
        self.kind = trainer_kind(kind_of(model, code))
        self.contributions = self._contributions if isinstance(self.kind, ExplainingKind) else None

    def _contributions(self, frame: pl.DataFrame) -> Contributions:
        """By row of a frame of at least one row that has the features; columns in the order of `features`.

        Raises DatasetError where base and contributions do not give the score: then they explain something else.
        """
        matrix = self.encoding.matrix(frame)
        contributions = self._inner(matrix)
        scores = self.predict_matrix(matrix)
        explained = SCORES[contributions.link](contributions.base + contributions.values.sum(axis=1))
        wrong = np.flatnonzero(~np.isclose(explained, scores, rtol=CLOSE, atol=CLOSE))
        if contributions.values.shape != matrix.shape or len(wrong):
            first = int(wrong[0]) if len(wrong) else 0
            raise DatasetError(
                f"the contributions of {self.name} give {explained[first]} where its score is {scores[first]}: its trainer's "
                f"library explains another number than it predicts, so nothing is explained"
            )
        return contributions

    def _inner(self, matrix: np.ndarray) -> Contributions:
        """What the model's own kind says; a recalibration moves and stretches it as it does the scores."""
        assert isinstance(self.kind, ExplainingKind)
        if not isinstance(self._model, RecalibratedModel):
            return self.kind.contributions(self._model, matrix)
        inner = self.kind.contributions(self._model.inner, matrix)
        return self._model.recalibration.contributions(inner)
