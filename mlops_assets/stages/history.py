"""What the pictures of the last partitions are drawn from: reports, their intervals, and what they are held against."""

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from mlops_assets.ml.dataset import labelled
from mlops_assets.ml.judging.gate import clusters
from mlops_assets.ml.judging.paired import estimate
from mlops_assets.ml.reports.history import MOST, Point
from mlops_assets.ml.scores import defined
from mlops_assets.spec.columns import LABEL, SCORE, STORED_SCORE
from mlops_assets.spec.model import ModelSpec
from mlops_assets.stages.drift_alarm import alarm_of
from mlops_assets.stages.judging import attempt_name
from mlops_assets.stages.label_state import STATE
from mlops_assets.stages.reference import reference_name
from mlops_assets.stages.reporting import floors_missed
from resources.lake.lake import Lake
from resources.moments import read_moment
from resources.records.attempts import Attempt
from resources.records.documents import load_note, load_record
from resources.records.notes import Making
from resources.records.references import Reference

INTERVAL = "interval"
"""What a report's note keeps beside the report: the 95% interval of the gate's metric on the partition."""

Interval = tuple[float | None, float | None]


def metric_interval(spec: ModelSpec, lake: Lake, name: str) -> Interval:
    """The 95% interval of the gate's metric on a partition's report, by the jackknife over the gate's clusters (`estimate`).

    It is of the rows that the report counts. (None, None) where it is not defined: no row, one cluster, or one class.
    """
    table = f"{spec.name}/training_set"
    notes = lake.manifest(f"{spec.name}/performance", name).notes or {}
    scored = lake.read(f"{spec.name}/predictions", [name])
    if STATE not in notes or not scored.height:
        return None, None
    needed = [*spec.prediction.key, spec.prediction.time, *spec.label.facts, *spec.gate.cluster_columns]
    rows = labelled(
        lake.read(table, [name], [*dict.fromkeys(needed)]), spec, read_moment(notes[STATE]["as of"])
    )
    scores = scored.select(*spec.prediction.key, pl.col(STORED_SCORE).alias(SCORE))
    judged = rows.join(scores, on=spec.prediction.key)
    if not judged.height:
        return None, None
    label, score = judged[LABEL].to_numpy(), judged[SCORE].to_numpy()
    _, low, high = estimate(label, score, clusters(judged, spec)[1], spec.gate.metric)
    return low, high


def interval_on_record(spec: ModelSpec, lake: Lake, name: str) -> Interval:
    """The interval that was worked out when the report was made; a report of an earlier release has none."""
    note = load_note(lake, Making, f"{spec.name}/performance", name)
    low, high = (note.kept.get(INTERVAL) if note else None) or (None, None)
    return low, high


def performance_points(spec: ModelSpec, lake: Lake, through: str, newest: Interval) -> list[Point]:
    """The reports of the last partitions up to one, whose interval is `newest`; an alarm is a floor that was missed."""
    table = f"{spec.name}/performance"
    reports = [lake.read(table, [name]).row(0, named=True) for name in _last(lake, table, through)]
    versions = {report["model_version"] for report in reports} - {None}
    references = {version: reference_metric(spec, lake, version) for version in versions}
    return [
        _point(
            spec,
            name,
            report,
            newest if name == through else interval_on_record(spec, lake, name),
            references,
        )
        for name, report in zip(_last(lake, table, through), reports, strict=True)
    ]


def _point(
    spec: ModelSpec,
    name: str,
    report: Mapping[str, Any],
    interval: Interval,
    references: Mapping[int, float | None],
) -> Point:
    version, (low, high) = report["model_version"], interval
    return Point(
        partition=name,
        value=report[spec.gate.metric],
        low=low,
        high=high,
        reference=references.get(version),
        version=version,
        alarm=bool(floors_missed(spec, dict(report))),
    )


def drift_points(spec: ModelSpec, lake: Lake, through: str) -> list[Point]:
    """The PSI of the scores of the last partitions up to one; the alarm is the report's, or the check's where it has none."""
    points = []
    for name in _last(lake, table := f"{spec.name}/drift", through):
        notes = lake.manifest(table, name).notes or {}
        alarm = alarm_of(notes)
        psi, version = notes.get("prediction_psi"), notes.get("reference version")
        points.append(Point(name, psi, version=version, alarm=bool(alarm)))
    return points


def reference_metric(spec: ModelSpec, lake: Lake, version: int) -> float | None:
    """The gate's metric that a version had on the held-out rows when it was judged; None where no profile is on record."""
    profile = load_record(lake, Reference, reference_name(spec, int(version)))
    return defined(profile.metrics.get(spec.gate.metric)) if profile else None


def anchor_metric(spec: ModelSpec, lake: Lake, through: str) -> float | None:
    """The gate's metric of the anchor at the newest evaluation up to a partition; None where none met an anchor."""
    evaluated = [name for name in lake.records(f"{spec.name}/attempts") if name <= through]
    attempt = load_record(lake, Attempt, attempt_name(spec, evaluated[-1])) if evaluated else None
    return defined(attempt.anchor.metric) if attempt and attempt.anchor else None


def _last(lake: Lake, table: str, through: str) -> Sequence[str]:
    return [name for name in lake.partitions(table) if name <= through][-MOST:]
