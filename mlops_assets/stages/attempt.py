"""The record of an attempt: everything that was weighed when a challenger was judged, in the form that outlives the run."""

import json
from collections.abc import Mapping
from typing import Any

import polars as pl

from mlops_assets.ml.judging.gate import Verdict, clusters
from mlops_assets.ml.judging.paired import estimate
from mlops_assets.ml.monitoring.drift import score_profile
from mlops_assets.promotion.history import SHOWN_BETTER
from mlops_assets.spec.columns import LABEL
from mlops_assets.spec.gate import METRICS
from mlops_assets.spec.model import ModelSpec
from mlops_assets.stages.opponents import Opponents
from resources.lake.lake import as_json
from resources.records.attempts import Attempt, Challenger


def intervals(spec: ModelSpec, rows: pl.DataFrame, verdict: Verdict) -> dict[str, list[float | None]]:
    """The 95% interval of each of the challenger's metrics on the held-out rows; None where it is not defined."""
    labels, (_, codes) = rows[LABEL].to_numpy(), clusters(rows, spec)
    return {name: list(estimate(labels, verdict.score, codes, name)[1:]) for name in METRICS[spec.task]}


def attempt_record(
    spec: ModelSpec,
    candidate: Challenger,
    against: Opponents,
    verdict: Verdict,
    rows: pl.DataFrame,
    reason: Mapping[str, str | None],
) -> Attempt:
    """Everything that was weighed, in the form that outlives the run."""
    champion, anchor = against.champion, against.anchor
    content = {
        "week": candidate.partition,
        "now": candidate.now,
        **reason,
        "challenger": {
            "version": candidate.version,
            "rounds": candidate.rounds,
            "metrics": verdict.challenger,
            "intervals": intervals(spec, rows, verdict),
        },
        "champion": {"version": champion.number, "metrics": verdict.champion} if champion else None,
        "anchor": {"version": anchor.number, **verdict.anchor.record()}
        if anchor and verdict.anchor
        else None,
        SHOWN_BETTER: verdict.shown_better,
        "hold_out": {
            "rows": rows.height,
            "from": str(rows[spec.prediction.time].min()),
            "to": str(rows[spec.prediction.time].max()),
        },
        "promote": verdict.promote,
        "verdict": verdict.reason,
        "slices": verdict.slices,
        "evidence": evidence_record(spec, verdict),
        "hold_out_scores": score_profile(verdict.score),
        "final": None,
    }
    text = as_json(content, f"the evaluation of version {candidate.version}", default=str)
    return Attempt.model_validate(json.loads(text))


def evidence_record(spec: ModelSpec, verdict: Verdict) -> dict[str, Any]:
    """The rule and every number that was held against it; `detectable_gain` over the limit would have been found."""
    gate = spec.gate
    effect = next((c.effect for c in verdict.of_kind("evidence")), None)
    detectable = effect.detectable(gate.alpha, gate.power) if effect else None
    return {
        "rule": gate.model_dump(mode="json"),
        "criteria": [criterion.record(gate.alpha) for criterion in verdict.criteria],
        "skipped_slices": verdict.skipped,
        "clusters": verdict.gains,
        "detectable_gain": detectable,
    }
