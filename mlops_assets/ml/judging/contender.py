"""A model on trial, and the comparisons that are refused because they would show nothing or would not be fair."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Self

import numpy as np
import polars as pl

from mlops_assets.ml.dataset import moment, require
from mlops_assets.ml.labels import known_at
from mlops_assets.ml.scores import finite
from mlops_assets.ml.training.fit import Scorer
from mlops_assets.spec.model import ModelSpec


class PromotionError(Exception):
    """A comparison that could show nothing, or would not be fair, was asked for."""


@dataclass(frozen=True)
class Contender:
    """A model on trial: what the record calls it, the hash and size of its file, how it scores, and what it has seen.

    It was fitted on what was known until `trained_until`, so it may be judged on later rows only. Where labels have a
    horizon, that is the moment before which its rows were predicted.
    """

    name: str
    sha256: str
    size: int
    scorer: Scorer
    trained_until: datetime
    latency: Mapping[int, float] | None = None

    @classmethod
    def of(cls, name: str, model: bytes, spec: ModelSpec, trained_until: datetime) -> Self:
        """The contender that the bytes of one of a spec's models make."""
        scorer = Scorer(model, code=spec.code, name=name)
        return cls(name, hashlib.sha256(model).hexdigest(), len(model), scorer, trained_until)

    def scores(self, rows: pl.DataFrame) -> np.ndarray:
        """Float64 array [rows], every one a finite number; raises ScoreError with the contender's name."""
        return finite(self.scorer.predict(rows), self.name)


def refuse_seen(side: Contender, rows: pl.DataFrame, spec: ModelSpec) -> None:
    """Raise where a model is to be judged on rows that were predicted, or whose label was known, before its fit ended."""
    at_once = spec.label.waits is None
    require(rows, [spec.prediction.time, *(spec.label.facts[1:2] if at_once else [])], "the judge")
    until = moment(side.trained_until)
    before = pl.col(spec.prediction.time) < until
    if at_once:
        before |= known_at(spec) <= until
    seen = rows.filter(before.fill_null(value=True))
    if seen.height:
        raise PromotionError(
            f"{spec.name}: {side.name} was trained on what was known by {until}, and {seen.height} of {rows.height} held-out "
            f"rows were predicted or had their label by then: judge it on rows from then on, which it has not seen"
        )


def refuse_itself(model: str, challenger: Contender, champion: Contender) -> None:
    """Raise where challenger and champion are one version, or two with the same bytes: they can only draw."""
    if challenger.sha256 != champion.sha256 and challenger.name != champion.name:
        return
    raise PromotionError(
        f"{model}: challenger {challenger.name} and champion {champion.name} are the same model (SHA-256 "
        f"{challenger.sha256[:12]}): comparing a version with itself shows nothing. Train on other data or parameters."
    )
