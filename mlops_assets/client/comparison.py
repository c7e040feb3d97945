"""A variant beside the champion on the same held-out rows, as frames and pictures."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl

from mlops_assets.client.asking import named
from mlops_assets.spec.columns import LABEL
from mlops_assets.spec.model import ModelSpec
from mlops_assets.stages.variants import Tried, Variant, tried, variant, with_features
from resources.features.store import FeatureStoreResource
from resources.systems import Systems


@dataclass(frozen=True)
class Comparison:
    """What the gate would say of a variant, and everything that it says it by.

    `champion` is the version of the fit that has not seen the held-out rows; None where there is no champion, and then the
    floors alone decide. `metrics` has both sides, `criteria` what the variant was held to, `clusters` the gain by cluster (a
    day, where the gate says nothing else), and `rows` key, moment, label and both scores of every held-out row.
    """

    promote: bool
    reason: str
    champion: int | None
    metrics: pl.DataFrame
    criteria: pl.DataFrame
    clusters: pl.DataFrame
    rows: pl.DataFrame = field(repr=False)
    _spec: ModelSpec = field(repr=False)
    _tried: Tried = field(repr=False)

    def __str__(self) -> str:
        return self.reason

    def pictures(self) -> dict[str, bytes]:
        """PNG pictures by name, as the page of an evaluation has them: gains by cluster and slice, calibration, ROC, importance."""
        from mlops_assets.ml.judging.plots import evaluation_plots, evidence_plots

        verdict, labels = self._tried.verdict, self._tried.rows[LABEL].to_numpy()
        importance, theirs = self._tried.fitted.importance, verdict.champion_score
        drawn = evaluation_plots(labels, verdict.score, self._spec.task, importance, theirs)
        return evidence_plots(verdict, self._spec.gate) | drawn


def comparison(
    spec: ModelSpec,
    systems: Systems,
    store: FeatureStoreResource,
    trainer: Mapping[str, Any],
    features: str | Sequence[str] | None,
    folder: Path,
) -> Comparison:
    """Fit the variant and judge it; other features are joined below `folder`, which may go afterwards."""
    one = variant(spec, systems.lake, trainer)
    if features is not None:
        resource, service = named(store, features)
        one = with_features(one, systems.lake, resource, service, folder)
    return _in_words(one, tried(one, systems))


def _in_words(one: Variant, outcome: Tried) -> Comparison:
    spec, verdict, champion = one.spec, outcome.verdict, outcome.champion
    name = f"champion {champion.number}" if champion else "champion"
    theirs = verdict.champion or {}
    sides = [{"metric": m, "variant": value, name: theirs.get(m)} for m, value in verdict.challenger.items()]
    rows = outcome.rows.select(
        *dict.fromkeys([*spec.prediction.key, spec.prediction.time]),
        pl.col(LABEL).alias("label"),
        pl.Series("variant", verdict.score),
        pl.Series("champion", verdict.champion_score, dtype=pl.Float64)
        if verdict.champion_score is not None
        else pl.lit(None, pl.Float64).alias("champion"),
    )
    return Comparison(
        promote=verdict.promote,
        reason=verdict.reason,
        champion=champion.number if champion else None,
        metrics=pl.DataFrame(sides, infer_schema_length=None),
        criteria=pl.DataFrame(
            [c.record(spec.gate.alpha) for c in verdict.criteria], infer_schema_length=None
        ),
        clusters=pl.DataFrame(verdict.gains, infer_schema_length=None),
        rows=rows,
        _spec=spec,
        _tried=outcome,
    )
