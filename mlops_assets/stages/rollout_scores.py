"""Scores of a version of which rows may fail: where it scores them, and which of them failed."""

import logging
from collections.abc import Callable
from typing import Protocol

import numpy as np
import polars as pl

from mlops_assets.ml.scores import ScoreError
from mlops_assets.ml.training.fit import Scorer
from mlops_assets.spec.model import ModelSpec
from mlops_assets.stages.served import SCORER
from resources.serving.versions.alone import Alone, Model
from resources.settings import settings
from resources.systems import Systems

LOG = logging.getLogger(__name__)
MOST_FAULTS = 50
"""Rows that are tried one by one before a version that fails them all is believed."""


class Scores(Protocol):
    """What scores frames of rows."""

    name: str

    def predict(self, frame: pl.DataFrame) -> np.ndarray:
        """Float64 [rows]."""
        ...


def scores_of(
    spec: ModelSpec, systems: Systems, number: int, rows: pl.DataFrame, where: Callable[[Model], Scores]
) -> np.ndarray:
    """Float64 [rows]: a version's score of each row, NaN where it could not score it."""
    version = systems.tracking.version(spec.name, number)
    name = f"version {number} of {spec.name}"
    try:
        content = systems.tracking.load(version)
        scorer = where(Model(content, name, SCORER, spec.code, version.trainer))
    except Exception as error:  # noqa: BLE001 - a version that cannot be loaded fails every row, which is what is measured
        LOG.warning("%s cannot be loaded: %s", name, error)
        return np.full(rows.height, np.nan)
    try:
        return Faults(scorer).scores(rows)
    finally:
        if isinstance(scorer, Alone):
            scorer.close()


def alone(model: Model) -> Scores:
    """A scorer in a process of its own, which the model may end or hang without harm to the one that looks."""
    return Alone(model, settings().serve_version_mb)


def here(model: Model) -> Scores:
    """A scorer in this process, for what has answered requests all along."""
    return Scorer(model.content, code=model.code, kind=model.kind, name=model.name)


class Faults:
    """Scores of rows of which some may fail: the part that fails is halved until the rows are result that do."""

    def __init__(self, scorer: Scores) -> None:
        self.scorer, self.failed, self.scored = scorer, 0, 0

    def scores(self, rows: pl.DataFrame) -> np.ndarray:
        """Float64 [rows], NaN of each row that failed; once many did, and most, all that are left are taken to fail."""
        if self.failed >= max(MOST_FAULTS, self.scored):
            return np.full(rows.height, np.nan)
        try:
            result = np.asarray(self.scorer.predict(rows), np.float64)
            if result.shape != (rows.height,):
                raise ScoreError(f"{self.scorer.name} gave {result.shape} scores for {rows.height} rows")
        except Exception as error:  # noqa: BLE001 - whatever the model's code raises is a fault of the version
            if rows.height > 1:
                half = rows.height // 2
                return np.concatenate([self.scores(rows[:half]), self.scores(rows[half:])])
            LOG.debug("%s", error)
            self.failed += 1
            return np.full(rows.height, np.nan)
        self.scored += rows.height
        return result
