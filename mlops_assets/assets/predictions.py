"""Predictions: every row of a week scored by the champion of that row's prediction time."""

from collections.abc import Iterator
from typing import Any

import dagster as dg

from mlops_assets.kit.checks import check_result, check_spec
from mlops_assets.kit.costs import costed
from mlops_assets.kit.partitions import weekly
from mlops_assets.kit.reuse import Reuse
from mlops_assets.kit.tables import materialized
from mlops_assets.ml.training.kinds import trainer_kind
from mlops_assets.spec.model import ModelSpec
from mlops_assets.stages.fingerprints import of_predictions, score_code
from mlops_assets.stages.scoring import faults, score_week
from resources.lake.lake import Lake
from resources.tracking.tracking import Tracking


def predictions(spec: ModelSpec) -> dg.AssetsDefinition:
    """The asset `<model>/predictions`, one partition a week."""

    @dg.asset(
        key=[spec.name, "predictions"],
        deps=[dg.AssetKey([spec.name, "training_set"]), dg.AssetKey([spec.name, "deployment"])],
        partitions_def=weekly(spec.weeks),
        backfill_policy=dg.BackfillPolicy.single_run(),
        code_version=score_code(spec)[:12],
        check_specs=[check_spec([spec.name, "predictions"], "scores_are_finite_and_unique", True)],
        group_name=spec.name,
        kinds={trainer_kind(spec.trainer.kind).icon, "polars"},
        owners=[spec.owner],
        description="Every row of a week scored by the version that was champion at the row's prediction time. A row "
        "from before the first champion has no score: no model ever scores a time it was trained on.",
    )
    @costed
    def predictions_(context: dg.AssetExecutionContext, lake: Lake, tracking: Tracking) -> Iterator[Any]:
        reuse, versions = Reuse.of(context, lake, f"{spec.name}/predictions"), tracking.versions(spec.name)
        written = {}
        for name in context.partition_keys:
            if reuse.unchanged(name, of_predictions(spec, lake, versions, name)) is None:
                reuse.made(name, score_week(spec, lake, tracking, name).sha256)
            written[name] = lake.manifest(reuse.table, name)
        yield from materialized(context, written, len(written), reuse=reuse)
        wrong = {name: found for name in written if (found := faults(spec, lake, name))}
        rows = sum(manifest.rows for manifest in written.values())
        yield check_result("scores_are_finite_and_unique", not wrong, True, {"rows": rows, "faults": wrong})

    return predictions_
