"""A partition's performance estimated as of its end, when its labels may not be known: from its scores and what was known by then."""

from collections.abc import Mapping
from typing import Any

import polars as pl

from mlops_assets.ml.judging.metrics import evaluate
from mlops_assets.ml.monitoring.estimation import (
    ESTIMATED,
    Curve,
    Estimate,
    PastError,
    estimates,
    fitted_curve,
    interval,
    past_error,
    verdict,
)
from mlops_assets.spec.columns import LABEL, SCORE, STORED_SCORE
from mlops_assets.spec.model import ModelSpec
from resources.lake.lake import Lake

ESTIMATE = "estimated"
"""The note of a report: of each metric what was estimated, where it lies, and how far it was off before; in words what to make of it."""

MOST_KNOWN = 0.5
"""Share of a partition's scored rows whose labels must be known for it to count as the truth: the first to come are no sample."""

REFUSED = "not estimated: how far a regression is off cannot be told from its predictions, which say nothing of their own error"


def estimate_note(
    spec: ModelSpec, lake: Lake, name: str, known: Mapping[str, pl.DataFrame]
) -> dict[str, Any]:
    """The note of a partition's report, by what was known before it (`known_before`): labels that became known after its end change nothing."""
    if spec.task != "classification":
        return {ESTIMATE: {"metrics": {}, "remark": REFUSED}}
    scores = lake.read(f"{spec.name}/predictions", [name], [STORED_SCORE])[STORED_SCORE].to_numpy()
    if not len(scores):
        return {}
    curve = _curve(known)
    expected = estimates(scores, curve or Curve(), spec.trainer.seed)
    past = {metric: _past(spec, lake, known, metric) for metric in ESTIMATED}
    metrics = {
        metric: {"calibrated": curve is not None, **_figures(expected[metric], past[metric])}
        for metric in ESTIMATED
    }
    basis = (
        f"calibrated on {curve.rows:,} rows of {sum(rows.height > 0 for rows in known.values())} partitions before"
        if curve
        else "scores taken as they are, too few labels were known to calibrate them"
    )
    return {ESTIMATE: {"metrics": metrics, "remark": f"{basis}; {verdict(past)}"}}


def shown_estimate(report: dict[str, Any], note: dict[str, Any]) -> dict[str, str]:
    """What the page shows of a note: each estimate with its interval, beside what was measured where that is known, and the remark."""
    lines = {}
    for metric, one in note["metrics"].items():
        if one["value"] is None:
            continue
        low, high = one["low"], one["high"]
        truth = report.get(metric)
        beside = "not measured yet" if truth is None else f"measured {truth:.4f}"
        off = (
            f"; was off by {one['error']:.4f} over {one['partitions']} partitions"
            if one["partitions"]
            else ""
        )
        lines[f"estimated {metric}"] = f"{one['value']:.4f} (95% {low:.4f} to {high:.4f}), {beside}{off}"
    return {**lines, "estimate": note["remark"]}


def _curve(known: Mapping[str, pl.DataFrame]) -> Curve | None:
    if not known:
        return None
    rows = pl.concat(rows.select(LABEL, SCORE) for rows in known.values())
    return fitted_curve(rows[LABEL].to_numpy(), rows[SCORE].to_numpy())


def _past(spec: ModelSpec, lake: Lake, known: Mapping[str, pl.DataFrame], metric: str) -> PastError | None:
    """The error of the calibrated estimates that reports before noted, against the labels known by now."""
    estimated, measured = [], []
    for one, rows in known.items():
        note = _noted(spec, lake, one).get("metrics", {}).get(metric)
        whole = lake.manifest(f"{spec.name}/predictions", one).rows
        if note and note["calibrated"] and rows.height >= whole * MOST_KNOWN:
            estimated.append(Estimate(note["value"], note["luck"]))
            measured.append(evaluate(rows[LABEL].to_numpy(), rows[SCORE].to_numpy(), spec.task)[metric])
    return past_error(estimated, measured)


def _noted(spec: ModelSpec, lake: Lake, one: str) -> dict[str, Any]:
    table = f"{spec.name}/performance"
    notes = lake.manifest(table, one).notes if lake.described(table, one) else None
    return (notes or {}).get(ESTIMATE, {})


def _figures(one: Estimate, past: PastError | None) -> dict[str, Any]:
    low, high = interval(one, past) or (None, None)
    return {
        "value": one.value,
        "luck": one.luck,
        "low": low,
        "high": high,
        "error": past.error if past else None,
        "bias": past.bias if past else None,
        "partitions": past.partitions if past else 0,
        "fails": past.fails if past else None,
    }
