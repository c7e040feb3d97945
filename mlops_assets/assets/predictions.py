"""Predictions: every row of a partition scored by the champion of that row's prediction time."""

from collections.abc import Iterator
from functools import partial
from typing import Any

import dagster as dg

from mlops_assets.kit.catalogue import report_schema
from mlops_assets.kit.checks import check_result, check_spec
from mlops_assets.kit.stage import Run, model_stage
from mlops_assets.kit.tables import materialized
from mlops_assets.ml.reports.table_columns import prediction_columns
from mlops_assets.ml.training.kinds import trainer_kind
from mlops_assets.spec.model import ModelSpec
from mlops_assets.stages.fingerprints import of_predictions, score_code
from mlops_assets.stages.scoring import faults, score_partition


def predictions(spec: ModelSpec) -> dg.AssetsDefinition:
    """The asset `<model>/predictions`, cut as its use case's calendar cuts time."""

    @model_stage(
        spec,
        "predictions",
        after=["training_set", "deployment"],
        uses=["tracking"],
        calendar=spec.calendar,
        kinds={trainer_kind(spec.trainer.kind).icon, "polars"},
        code_version=score_code(spec)[:12],
        check_specs=[check_spec([spec.name, "predictions"], "scores_are_finite_and_unique", True)],
        description="Every row of a partition scored by the version that was champion at the row's prediction time. A row "
        "from before the first champion has no score: no model ever scores a time it was trained on.",
    )
    def predictions_(run: Run) -> Iterator[Any]:
        lake, tracking = run.systems.lake, run.systems.tracking
        versions, written = tracking.versions(spec.name), {}
        for name in run.partitions:
            if run.reuse.unchanged(name, of_predictions(spec, lake, versions, name)) is None:
                run.reuse.note(name, score_partition(spec, lake, tracking, name).sha256)
            written[name] = lake.manifest(run.reuse.table, name)
        yield from materialized(run, written, len(written), partial(report_schema, prediction_columns(spec)))
        wrong = {name: broken for name in written if (broken := faults(spec, lake, name))}
        rows = sum(manifest.rows for manifest in written.values())
        yield check_result("scores_are_finite_and_unique", not wrong, True, {"rows": rows, "faults": wrong})

    return predictions_
