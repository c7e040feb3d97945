"""A partition's performance estimated as of its end, when its labels may not be known: from its scores and what was known by then."""

from typing import Any

import polars as pl

from mlops_assets.ml.dataset import labelled
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
from mlops_assets.stages.partition_labels import rows_sha256
from resources.lake.lake import Lake

ESTIMATE = "estimated"
"""The note of a report: of each metric what was estimated, where it lies, and how far it was off before; in words what to make of it."""

BEFORE = 12
"""Partitions that scores are calibrated on, and of which estimate and truth are compared."""

MOST_KNOWN = 0.5
"""Share of a partition's scored rows whose labels must be known for it to count as the truth: the first to come are no sample."""

REFUSED = "not estimated: how far a regression is off cannot be told from its predictions, which say nothing of their own error"


def hashes_before(spec: ModelSpec, lake: Lake, name: str) -> dict[str, str]:
    """Hashes of the partitions before one that its report rests on: its estimate, and what its loss is compared with."""
    rows, scores = f"{spec.name}/training_set", f"{spec.name}/predictions"
    return {
        one: f"{rows_sha256(lake.manifest(rows, one))} {lake.hash(scores, one)}"
        for one in partitions_before(spec, lake, name)
    }


def known_before(spec: ModelSpec, lake: Lake, name: str) -> dict[str, pl.DataFrame]:
    """LABEL and SCORE of the partitions that a partition's estimate rests on, of rows whose labels were known by its end."""
    return {one: _known_rows(spec, lake, one, name) for one in partitions_before(spec, lake, name)}


def estimate_note(
    spec: ModelSpec, lake: Lake, name: str, before: dict[str, pl.DataFrame] | None = None
) -> dict[str, Any]:
    """The note of a partition's report; labels that became known after the partition's end change nothing of it.

    `before` is what `known_before` gives, read here where it is not given.
    """
    if spec.task != "classification":
        return {ESTIMATE: {"metrics": {}, "remark": REFUSED}}
    scores = lake.read(f"{spec.name}/predictions", [name], [STORED_SCORE])[STORED_SCORE].to_numpy()
    if not len(scores):
        return {}
    known = known_before(spec, lake, name) if before is None else before
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


def partitions_before(spec: ModelSpec, lake: Lake, name: str) -> list[str]:
    """The newest partitions before one that have rows and scores, oldest first."""
    scored, rows = f"{spec.name}/predictions", set(lake.partitions(f"{spec.name}/training_set"))
    return [one for one in lake.partitions(scored) if one < name and one in rows][-BEFORE:]


def _known_rows(spec: ModelSpec, lake: Lake, one: str, name: str) -> pl.DataFrame:
    """LABEL and SCORE of a partition's scored rows whose labels were known by the end of the partition `name`."""
    facts = list(dict.fromkeys([*spec.prediction.key, spec.prediction.time, *spec.label.facts]))
    rows = lake.read(f"{spec.name}/training_set", [one], facts)
    scores = lake.read(f"{spec.name}/predictions", [one], [*spec.prediction.key, STORED_SCORE])
    now = spec.calendar.partition(name).end
    both = labelled(rows, spec, now).join(scores, on=spec.prediction.key)
    return both.select(LABEL, pl.col(STORED_SCORE).alias(SCORE))


def _curve(known: dict[str, pl.DataFrame]) -> Curve | None:
    if not known:
        return None
    rows = pl.concat(known.values())
    return fitted_curve(rows[LABEL].to_numpy(), rows[SCORE].to_numpy())


def _past(spec: ModelSpec, lake: Lake, known: dict[str, pl.DataFrame], metric: str) -> PastError | None:
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
