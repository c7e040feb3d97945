"""What became of a week: how good the predictions were, and how far the features moved."""

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

import dagster as dg

from mlops_assets.kit.checks import check_result, check_spec
from mlops_assets.kit.costs import costed
from mlops_assets.kit.metadata import frame_table, markdown_table, told
from mlops_assets.kit.partitions import weekly
from mlops_assets.kit.reuse import Reuse
from mlops_assets.kit.tables import materialized
from mlops_assets.spec.model import ModelSpec
from mlops_assets.stages.drift_page import PAGES_TAG, WHERE_IT_DRIFTS, with_its_page
from mlops_assets.stages.fingerprints import of_report, report_code
from mlops_assets.stages.reporting import (
    SCORES,
    compared_with,
    floors_missed,
    is_blind,
    labels_known,
    write_drift,
    write_performance,
)
from resources.lake.lake import Lake

LABELS = "labels_are_known"


def performance(spec: ModelSpec) -> dg.AssetsDefinition:
    """The asset `<model>/performance`: the week's predictions against the labels that have arrived."""
    path = [spec.name, "performance"]

    @dg.asset(
        key=path,
        deps=[dg.AssetKey([spec.name, "predictions"]), dg.AssetKey([spec.name, "training_set"])],
        partitions_def=weekly(spec.weeks),
        backfill_policy=dg.BackfillPolicy.single_run(),
        code_version=report_code("performance")[:12],
        check_specs=[
            check_spec(path, "week_meets_the_floors", False),
            check_spec(
                path,
                LABELS,
                False,
                "Of every week at least one label is known, so that its metrics say something.",
            ),
        ],
        group_name=spec.name,
        kinds={"polars"},
        owners=[spec.owner],
        description="The week's metrics on every scored row whose label was known when the week ended.",
    )
    @costed
    def performance_(context: dg.AssetExecutionContext, lake: Lake) -> Iterator[Any]:
        written, below, blind = {}, {}, {}
        reuse = Reuse.of(context, lake, f"{spec.name}/performance")
        for name in context.partition_keys:
            kept = reuse.unchanged(name, of_report(spec, lake, "performance", name))
            if kept is None:
                manifest, report, slices = write_performance(spec, lake, name)
                kept = {"report": report, "slices": slices}
                reuse.made(name, manifest.sha256, kept)
            written[name] = lake.manifest(reuse.table, name)
            below |= {name: missed} if (missed := floors_missed(spec, kept["report"])) else {}
            blind |= {name: labels_known(kept["report"])} if is_blind(kept["report"]) else {}
            context.add_asset_metadata(
                performance_metadata(kept["report"], kept["slices"]), partition_key=name
            )
        yield from materialized(context, written, len(written), reuse=reuse)
        yield check_result(
            "week_meets_the_floors",
            not below,
            False,
            {"floors": spec.gate.floors, "missed": below, "not measured": blind},
        )
        yield check_result(LABELS, not blind, False, {"weeks without a known label": blind})

    return performance_


def performance_metadata(report: Mapping[str, Any], slices: list[dict[str, Any]]) -> dict[str, Any]:
    """What the page shows of one week: how many labels are known, and every number or why there is none."""
    numbers = {name: unmeasured(report, name, value) for name, value in report.items() if name != "week"}
    rows = [{name: told(name, value) for name, value in row.items()} for row in slices]
    return {"labels": labels_known(report), **numbers, "slices": markdown_table(rows)}


def unmeasured(report: Mapping[str, Any], name: str, value: Any) -> Any:
    """A number of the report as it is, or in words why there is none."""
    if value is not None:
        return value
    if report["model_version"] is None:
        return "no champion scored the week"
    return told(name, value) if report["scored"] else labels_known(report)


def drift(spec: ModelSpec) -> dg.AssetsDefinition:
    """The asset `<model>/drift`: the week's features and scores against those the champion was trained on."""
    path = [spec.name, "drift"]

    @dg.asset(
        key=path,
        deps=[dg.AssetKey([spec.name, "training_set"]), dg.AssetKey([spec.name, "predictions"])],
        partitions_def=weekly(spec.weeks),
        backfill_policy=dg.BackfillPolicy.single_run(),
        code_version=report_code("drift")[:12],
        check_specs=[check_spec(path, "scores_have_not_drifted", False)],
        group_name=spec.name,
        kinds={"polars"},
        owners=[spec.owner],
        description="PSI, less what few rows make of it, and Wasserstein distance of every feature on all rows of the "
        "week, and Evidently's report on a seeded sample, against the rows the week's champion was trained on.",
    )
    @costed
    def drift_(context: dg.AssetExecutionContext, lake: Lake) -> Iterator[Any]:
        written, drifted, few, reuse = {}, {}, {}, Reuse.of(context, lake, f"{spec.name}/drift")
        each = context.run.tags.get(PAGES_TAG) != WHERE_IT_DRIFTS
        for name in context.partition_keys:
            decides = of_report(spec, lake, "drift", name, compared_with(spec, lake, name))
            if reuse.unchanged(name, decides, partial(with_its_page, spec, lake, name, each)) is None:
                reuse.made(name, write_drift(spec, lake, name, each)[0].sha256)
            written[name] = lake.manifest(reuse.table, name)
            notes = written[name].notes or {}
            drifted |= {name: notes["prediction_psi"]} if notes.get("prediction_drifted") else {}
            few |= {name: notes["prediction_remark"]} if notes.get("prediction_remark") else {}
            told = {key: notes[key] for key in SCORES if notes.get(key) not in (None, "")}
            columns = frame_table(lake.read(reuse.table, [name]))
            context.add_asset_metadata({"columns": columns, **told}, partition_key=name)
        yield from materialized(context, written, len(written), reuse=reuse)
        yield check_result(
            "scores_have_not_drifted",
            not drifted,
            False,
            {"PSI over the limit": drifted, "limit": spec.drift.psi, "without a PSI": few},
        )

    return drift_
