"""What became of a partition: how good the predictions were, and how far the features moved."""

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

import dagster as dg

from mlops_assets.kit.alarm_page import alarm_page
from mlops_assets.kit.calibration_page import calibration_page
from mlops_assets.kit.catalogue import report_schema
from mlops_assets.kit.checks import check_result, check_spec
from mlops_assets.kit.history_page import drift_history, on_top, performance_history
from mlops_assets.kit.loss_page import loss_page
from mlops_assets.kit.metadata import frame_table, markdown_table, metric_value
from mlops_assets.kit.report_link import report_link
from mlops_assets.kit.stage import Run, model_stage
from mlops_assets.kit.tables import materialized
from mlops_assets.ml.monitoring.calibration import CALIBRATION_COLUMNS
from mlops_assets.ml.monitoring.report_columns import MEANINGS
from mlops_assets.ml.reports.table_columns import performance_columns
from mlops_assets.spec.model import ModelSpec
from mlops_assets.stages.anchor_line import ANCHOR, anchor_then
from mlops_assets.stages.drift_alarm import ALARM, COLUMNS, REMARK
from mlops_assets.stages.drift_page import EACH, PAGES_TAG, with_its_page
from mlops_assets.stages.estimating import ESTIMATE, shown_estimate
from mlops_assets.stages.fingerprints import of_report, report_code
from mlops_assets.stages.history import INTERVAL
from mlops_assets.stages.known_before import hashes_before
from mlops_assets.stages.label_state import STATE
from mlops_assets.stages.loss_cause import loader
from mlops_assets.stages.reporting import (
    FIRST,
    SCORES,
    compared_with,
    coverage,
    floors_missed,
    is_blind,
    labels_known,
    write_drift,
    write_performance,
)
from resources.lake.lake import Manifest

FLOORS, LABELS = "partition_meets_the_floors", "labels_are_known"
SAYS_SOMETHING = "Of every partition at least one label is known, so that its metrics say something."
APART = ("week", *CALIBRATION_COLUMNS)
"""What of a report the page does not give as a number of its own: calibration is told in words, the figures are in the table."""

STILL, QUIET = "scores_have_not_drifted", "no_drift_alarm"
ALARM_SAYS = "No reading of a column has added up over partitions to more than chance makes of it as often as drift.false_alarm_every says."


def performance(spec: ModelSpec) -> dg.AssetsDefinition:
    """The asset `<model>/performance`: the partition's predictions against the labels that have arrived."""
    path = [spec.name, "performance"]

    @model_stage(
        spec,
        "performance",
        after=["predictions", "training_set"],
        uses=["clock", "tracking", "audit"],
        calendar=spec.calendar,
        kinds={"polars"},
        code_version=report_code("performance")[:12],
        check_specs=[check_spec(path, FLOORS, False), check_spec(path, LABELS, False, SAYS_SOMETHING)],
        description="The partition's metrics on every scored row whose label counts by now, made again as labels arrive; the "
        "numbers of the first report stay beside them, and so does what the anchor of promotion makes of the same rows.",
    )
    def performance_(run: Run) -> Iterator[Any]:
        reports, written = {}, {}
        for name in run.partitions:
            content = performance_report(spec, run, name)
            reports[name] = content["report"]
            written[name] = run.systems.lake.manifest(run.reuse.table, name)
            run.show(name, performance_page(spec, run, name, content, written[name]))
        schema, top = partial(report_schema, performance_columns(spec)), on_top(max(run.partitions))
        yield from materialized(run, written, len(written), schema, first=top)
        yield from performance_checks(spec, reports)

    return performance_


def performance_report(spec: ModelSpec, run: Run, name: str) -> Mapping[str, Any]:
    """The report on a partition with its slices and the interval of its metric: made now, or as it was where nothing has changed."""
    lake, clock = run.systems.lake, run.systems.clock
    anchor = anchor_then(spec, run.systems, name)
    rests_on = [str(anchor), hashes_before(spec, lake, name)]
    content = run.reuse.unchanged(name, of_report(spec, lake, "performance", name, rests_on, clock))
    if content is None:
        load = loader(spec, run.systems.tracking)
        manifest, report, slices, interval = write_performance(spec, lake, name, clock, anchor, load)
        content = {"report": report, "slices": slices, INTERVAL: list(interval)}
        run.reuse.note(name, manifest.sha256, content)
    return content


def performance_page(
    spec: ModelSpec, run: Run, name: str, content: Mapping[str, Any], written: Manifest
) -> dict[str, Any]:
    """What the page shows of one partition, and before it, for the newest of a run, the picture of those up to it."""
    low, high = content.get(INTERVAL) or (None, None)
    newest = name == max(run.partitions)
    pictures = performance_history(spec, run.systems.lake, name, (low, high)) if newest else {}
    return pictures | performance_metadata(content["report"], content["slices"], written.notes)


def performance_checks(
    spec: ModelSpec, reports: Mapping[str, Mapping[str, Any]]
) -> Iterator[dg.AssetCheckResult]:
    """The claims about a run's partitions: that each reaches the floors of the gate, and that labels are known of each."""
    waits = spec.label.waits is not None
    blind = {name: labels_known(report) for name, report in reports.items() if is_blind(report, waits)}
    below = {name: floors_missed(spec, dict(report)) for name, report in reports.items()}
    below = {name: missed for name, missed in below.items() if missed}
    numbers = {"floors": spec.gate.floors, "missed": below, "not measured": blind}
    yield check_result(FLOORS, not below, False, numbers)
    yield check_result(LABELS, not blind, False, {"partitions without a known label": blind})


def performance_metadata(
    report: Mapping[str, Any], slices: list[dict[str, Any]], notes: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """What the page shows of one partition: how many labels are known, every number or why there is none, and what it was at first."""
    numbers = {name: unmeasured(report, name, value) for name, value in report.items() if name not in APART}
    rows = [{name: metric_value(name, value) for name, value in row.items()} for row in slices]
    labels = {"labels": labels_known(report), "coverage": coverage(report)}
    line, note = (notes or {}).get(ANCHOR), (notes or {}).get(ESTIMATE)
    beside = {"against the anchor": line["remark"]} if line else {}
    beside |= shown_estimate(dict(report), note) if note else {}
    beside |= calibration_page(notes or {}) | loss_page(notes or {})
    return {**labels, **numbers, **beside, **at_first(report, notes or {}), "slices": markdown_table(rows)}


def at_first(report: Mapping[str, Any], notes: Mapping[str, Any]) -> dict[str, Any]:
    """The numbers of the first report on the partition beside those of this one, and whether this one is final."""
    state, first = notes.get(STATE), notes.get(FIRST)
    if not state or not first:
        return {}
    changed = {
        f"first {name}": unmeasured(first, name, value) for name, value in first.items() if name not in APART
    }
    final = "final: no label is to come" if state["complete"] else "not final: labels are to come"
    corrected = {"corrected labels": state["corrected"]} if state["corrected"] else {}
    return {
        "report": f"{final}, as of {state['as of']}",
        **corrected,
        **(changed if first != dict(report) else {}),
    }


def unmeasured(report: Mapping[str, Any], name: str, value: Any) -> Any:
    """A number of the report as it is, or in words why there is none."""
    if value is not None:
        return value
    if report["model_version"] is None:
        return "no champion scored the partition"
    return metric_value(name, value) if report["scored"] else labels_known(report)


def drift(spec: ModelSpec) -> dg.AssetsDefinition:
    """The asset `<model>/drift`: the partition's features and scores against those the champion was trained on."""

    @model_stage(
        spec,
        "drift",
        after=["training_set", "predictions"],
        uses=["tracking", "pages"],
        calendar=spec.calendar,
        kinds={"polars"},
        code_version=report_code("drift")[:12],
        check_specs=[
            check_spec([spec.name, "drift"], STILL, False),
            check_spec([spec.name, "drift"], QUIET, False, ALARM_SAYS),
        ],
        description="PSI, less what few rows make of it, Wasserstein, Kolmogorov-Smirnov and Jensen-Shannon distance of every "
        "feature on all rows of the partition, of categories chi-square and what is new, and Evidently's report on a seeded "
        "sample, against the rows the partition's champion was trained on.",
    )
    def drift_(run: Run) -> Iterator[Any]:
        lake, written, which = run.systems.lake, {}, run.tag(PAGES_TAG) or EACH
        for name in run.partitions:
            decides = of_report(spec, lake, "drift", name, compared_with(spec, lake, name))
            whole = partial(with_its_page, spec, lake, name, which)
            if run.reuse.unchanged(name, decides, whole) is None:
                run.reuse.note(name, write_drift(spec, lake, name, which, run.systems.tracking)[0].sha256)
            written[name] = lake.manifest(run.reuse.table, name)
            scores = {key: value for key in SCORES if (value := _note(written[name], key)) not in (None, "")}
            pictures = drift_history(spec, lake, name) if name == max(run.partitions) else {}
            page = {"columns": frame_table(lake.read(run.reuse.table, [name])), **scores}
            notes = written[name].notes or {}
            link = report_link(spec, run.systems.pages, name, notes)
            run.show(name, {**pictures, **page, **alarm_page(spec, lake, name, notes), **link})
        schema, top = partial(report_schema, MEANINGS), on_top(max(run.partitions))
        yield from materialized(run, written, len(written), schema, first=top)
        yield drift_check(spec, written)
        yield alarm_check(written)

    return drift_


def drift_check(spec: ModelSpec, written: Mapping[str, Manifest]) -> dg.AssetCheckResult:
    """The claim about a run's partitions: which moved, and which have too few rows to tell."""
    moved = {
        name: _note(one, "prediction_psi")
        for name, one in written.items()
        if _note(one, "prediction_drifted")
    }
    few = {name: remark for name, one in written.items() if (remark := _note(one, "prediction_remark"))}
    numbers = {"PSI over the limit": moved, "limit": spec.drift.psi, "without a PSI": few}
    return check_result(STILL, not moved, False, numbers)


def alarm_check(written: Mapping[str, Manifest]) -> dg.AssetCheckResult:
    """The claim about a run's partitions: in which an alarm was raised, by which columns, and where none could be."""
    raised = {name: _note(one, REMARK) for name, one in written.items() if _note(one, ALARM)}
    silent = {name: _note(one, REMARK) for name, one in written.items() if _note(one, ALARM) is None}
    columns = sorted({column for one in written.values() for column in _note(one, COLUMNS) or []})
    numbers = {"alarms": raised, "columns": ", ".join(columns) or "none", "without a statement": silent}
    return check_result(QUIET, not raised, False, numbers)


def _note(manifest: Manifest, name: str) -> Any:
    return (manifest.notes or {}).get(name)
