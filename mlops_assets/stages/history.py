"""What the pictures of the last partitions are drawn from: reports, their intervals, and what they are held against."""

from collections.abc import Mapping, Sequence
from typing import Any

from mlops_assets.ml.reports.history import MOST, Point
from mlops_assets.ml.scores import defined
from mlops_assets.spec.model import ModelSpec
from mlops_assets.stages.anchor_line import ANCHOR
from mlops_assets.stages.drift_alarm import alarm_of
from mlops_assets.stages.reference import reference_name
from mlops_assets.stages.reporting import Interval, floors_missed
from resources.lake.lake import Lake
from resources.records.documents import load_note, load_record
from resources.records.notes import Making
from resources.records.references import Reference

INTERVAL = "interval"
"""What a report's note keeps beside the report: the 95% interval of the gate's metric on the partition."""


def interval_on_record(spec: ModelSpec, lake: Lake, name: str) -> Interval:
    """The interval that was worked out when the report was made; a report of an earlier release has none."""
    note = load_note(lake, Making, f"{spec.name}/performance", name)
    low, high = (note.kept.get(INTERVAL) if note else None) or (None, None)
    return low, high


def performance_points(spec: ModelSpec, lake: Lake, through: str, newest: Interval) -> list[Point]:
    """The reports of the last partitions up to one, whose interval is `newest`; an alarm is a floor that was missed."""
    table = f"{spec.name}/performance"
    names = _last(lake, table, through)
    reports = [lake.read(table, [name]).row(0, named=True) for name in names]
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
        for name, report in zip(names, reports, strict=True)
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


def anchor_metric(spec: ModelSpec, lake: Lake, name: str) -> float | None:
    """The gate's metric of the anchor on a partition's own rows, by the line of its report; None where that has no line, or another metric."""
    line = (lake.manifest(f"{spec.name}/performance", name).notes or {}).get(ANCHOR) or {}
    return defined(line.get("anchor")) if line.get("metric") == spec.gate.metric else None


def _last(lake: Lake, table: str, through: str) -> Sequence[str]:
    return [name for name in lake.partitions(table) if name <= through][-MOST:]
