"""Reporting on a partition: how good the predictions were, and how far the features moved."""

from collections.abc import Mapping
from typing import Any

import polars as pl

from mlops_assets.ml.dataset import labelled
from mlops_assets.ml.judging.gate import clusters, goodness
from mlops_assets.ml.judging.metrics import by_slice, evaluate
from mlops_assets.ml.judging.paired import estimate
from mlops_assets.ml.monitoring.drift import column_drift, score_drift, summary
from mlops_assets.ml.scores import in_words
from mlops_assets.spec.columns import LABEL, SCORE, STORED_SCORE, STORED_VERSION
from mlops_assets.spec.gate import METRICS
from mlops_assets.spec.model import ModelSpec
from mlops_assets.stages.anchor_line import AnchorThen, anchor_line
from mlops_assets.stages.calibrating import calibration_columns, calibration_note
from mlops_assets.stages.drift_alarm import ALARM, NOTHING, REMARK, rests_on, write_alarm
from mlops_assets.stages.drift_cause import CAUSE, write_cause
from mlops_assets.stages.drift_page import EACH, write_page
from mlops_assets.stages.estimating import estimate_note
from mlops_assets.stages.known_before import known_before
from mlops_assets.stages.label_state import STATE, LabelState, label_state
from mlops_assets.stages.loss_cause import Load, loss_note
from mlops_assets.stages.online import basis
from mlops_assets.stages.reference import reference_name
from resources.clock import Clock
from resources.lake.lake import Lake, LakeError, Manifest
from resources.records.documents import load_record
from resources.records.references import Reference
from resources.tracking.tracking import Tracking

FIRST = "first report"
"""The note of a report with the numbers of the first one on its partition."""

SCORES = {
    "prediction_psi": "psi",
    "prediction_psi_raw": "psi_raw",
    "prediction_psi_expected": "psi_expected",
    "prediction_psi_chance": "psi_chance",
    "prediction_drifted": "drifted",
    "prediction_remark": "remark",
}
"""What is noted of the drift of a partition's predictions, by its name in the row of `score_drift`."""


def labels_known(report: Mapping[str, Any]) -> str:
    """How many of a partition's labels were known when it was reported on, in words."""
    rows, known, later = report["rows"], report["labelled"], report["not_yet_known"]
    if known:
        return f"labelled {known:,} of {rows:,} rows" + f", {later:,} not known yet" * bool(later)
    return f"no label is known yet for {later:,} rows" if later else f"none of {rows:,} rows has a label"


def is_blind(report: Mapping[str, Any], waits: bool = False) -> bool:
    """Whether there were rows to measure and not one label to measure them by; those that still wait for theirs are none."""
    expected = report["rows"] - (report["not_yet_known"] if waits else 0)
    return bool(expected) and not (
        report["labelled"] if report["model_version"] is None else report["scored"]
    )


Interval = tuple[float | None, float | None]


def write_performance(
    spec: ModelSpec,
    lake: Lake,
    name: str,
    clock: Clock | None = None,
    anchor: AnchorThen | None = None,
    load: Load | None = None,
) -> tuple[Manifest, dict[str, Any], list[dict[str, Any]], Interval]:
    """Measure one partition by the labels that are known by now, and write its one row of numbers.

    Returned are that row, the metrics by slice, and the interval of the gate's metric on the same rows.

    The manifest notes what the labels were, the anchor on the same rows, what was estimated without labels, the calibration by
    slice, what moved the loss, and the numbers of the first report, which no later one replaces.
    """
    table, state = f"{spec.name}/performance", label_state(spec, lake, name, clock)
    judged, version = judged_rows(spec, lake, name, state)
    report, slices = partition_performance(spec, name, state, judged, version)
    first = first_report(spec, lake, name) or report
    before = known_before(spec, lake, name)
    more = {**anchor_line(spec, judged, anchor), **estimate_note(spec, lake, name, before)}
    more |= calibration_note(spec, judged, before) | loss_note(spec, lake, name, judged, before, load)
    notes = {**basis(spec, lake, name), STATE: state.note(), FIRST: first, **more}
    manifest = lake.write(table, pl.DataFrame([report]), name, notes=notes)
    return manifest, report, slices, metric_interval(spec, judged)


def metric_interval(spec: ModelSpec, judged: pl.DataFrame) -> Interval:
    """The 95% interval of the gate's metric on labelled rows [LABEL, SCORE], by the jackknife over the gate's clusters (`estimate`).

    (None, None) where it is not defined: no row, one cluster, or one class.
    """
    if not judged.height:
        return None, None
    label, score = judged[LABEL].to_numpy(), judged[SCORE].to_numpy()
    _, low, high = estimate(label, score, clusters(judged, spec)[1], spec.gate.metric)
    return low, high


def first_report(spec: ModelSpec, lake: Lake, name: str) -> dict[str, Any] | None:
    """The numbers of the first report on a partition, or None before there is one."""
    table = f"{spec.name}/performance"
    if not lake.exists(table, name):
        return None
    notes = lake.manifest(table, name).notes or {}
    return notes.get(FIRST) or lake.read(table, [name]).row(0, named=True)


def coverage(report: Mapping[str, Any]) -> str:
    """How many of a partition's rows count, of those that could have a label by now, and of all."""
    known = report["labelled"]
    matured = known + report["unlabelled"]
    share = f" ({known / matured:.1%})" if matured else ""
    return f"{known:,} labelled of {matured:,} matured{share} of {report['rows']:,} rows"


def judged_rows(spec: ModelSpec, lake: Lake, name: str, state: LabelState) -> tuple[pl.DataFrame, int | None]:
    """The partition's scored rows whose labels count, with LABEL, SCORE and STORED_VERSION, and the newest version that scored any row."""
    rows = lake.read(f"{spec.name}/training_set", [name])
    scored = lake.read(f"{spec.name}/predictions", [name])
    judged = labelled(rows, spec, state.as_of).join(
        scored.select(*spec.prediction.key, pl.col(STORED_SCORE).alias(SCORE), STORED_VERSION),
        on=spec.prediction.key,
    )
    return judged, scored[STORED_VERSION].max() if scored.height else None  # type: ignore[return-value]


def partition_performance(
    spec: ModelSpec, name: str, state: LabelState, judged: pl.DataFrame, version: int | None
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """One row of numbers for a partition, and its metrics by slice; a metric is null where nothing scored has a label yet."""
    figures = evaluate(judged[LABEL].to_numpy(), judged[SCORE].to_numpy(), spec.task)
    metrics = {name: figures[name] for name in METRICS[spec.task]} | calibration_columns(spec, judged)
    report = {"week": name, **state.counts, "scored": judged.height, **metrics, "model_version": version}
    return report, by_slice(judged, spec.slices, spec.task) if judged.height else []


def floors_missed(spec: ModelSpec, report: dict[str, Any]) -> dict[str, str]:
    """Floors of the gate that the partition did not reach, with value and limit; a partition without a known label is not held to any."""
    return {
        metric: f"{in_words(metric, report[metric])}, limit {limit:g}"
        for metric, limit in spec.gate.floors.items()
        if report["scored"] and not _reaches(metric, report[metric], limit)
    }


def _reaches(metric: str, value: float | None, limit: float) -> bool:
    return value is not None and bool(goodness(metric, value) >= goodness(metric, limit))


def compared_with(spec: ModelSpec, lake: Lake, name: str) -> list[Any] | None:
    """The version that a partition is compared by, its profile, the hash of its sample and what its alarm rests on; None without champion."""
    version = lake.read(f"{spec.name}/predictions", [name], [STORED_VERSION])[STORED_VERSION].max()
    if version is None:
        return None
    sample = lake.manifest(f"{spec.name}/reference", f"{version:06d}").sha256
    profile = load_record(lake, Reference, reference_name(spec, int(version)))  # type: ignore[arg-type]
    alarm = rests_on(spec, lake, name, int(version))  # type: ignore[arg-type]
    return [version, profile.content() if profile else None, sample, *alarm]


def write_drift(
    spec: ModelSpec, lake: Lake, name: str, which: str = EACH, tracking: Tracking | None = None
) -> tuple[Manifest, pl.DataFrame, dict[str, Any]]:
    """Measure one partition's drift and write it, with Evidently's page beside it where it is due, and the cause of an alarm."""
    columns, numbers = partition_drift(spec, lake, name)
    if numbers[ALARM] and tracking is not None:
        numbers[CAUSE] = write_cause(spec, lake, tracking, name, int(numbers["reference version"]))
    notes = numbers | basis(spec, lake, name) | write_page(spec, lake, name, columns, numbers, which)
    return lake.write(f"{spec.name}/drift", columns, name, notes=notes), columns, numbers


def partition_drift(spec: ModelSpec, lake: Lake, name: str) -> tuple[pl.DataFrame, dict[str, Any]]:
    """Drift of every compared column, and a summary; both empty where the partition had no champion."""
    scored = lake.read(f"{spec.name}/predictions", [name])
    if not scored.height:
        empty = {"column": pl.String, "psi": pl.Float64, "drifted": pl.Boolean}
        return pl.DataFrame(schema=empty), {
            "drift_share": None,
            **dict.fromkeys(SCORES),
            **NOTHING,
            REMARK: "no champion scored the partition",
            "reference version": None,
        }
    version = int(scored[STORED_VERSION].max())  # type: ignore[arg-type]
    profile = load_record(lake, Reference, reference_name(spec, version))
    if profile is None:
        raise LakeError(f"{spec.name}: version {version} has no reference profile: {Reference.AGAIN}")
    rows = lake.read(f"{spec.name}/training_set", [name])
    columns = column_drift(profile.features.content(), rows, threshold=spec.drift.psi)
    moved = summary(columns)
    scores = score_drift(profile.scores.content(), scored["score"].to_numpy(), spec.drift.psi)
    return columns, {
        **moved,
        "drift_share": moved["share_drifted"],
        **{noted: scores[name] for noted, name in SCORES.items()},
        **write_alarm(spec, lake, name, version, profile.features.content()),
        "reference metric": profile.metrics[spec.gate.metric],
        "reference version": version,
    }
