"""The model: a challenger fitted on everything but the newest days, logged and registered in MLflow."""

from collections.abc import Iterator
from functools import partial
from typing import Any

import dagster as dg

from mlops_assets.assets.leaks import LEAKS, leak_check, leak_check_spec, leak_numbers, leak_rule
from mlops_assets.kit.costs import costed
from mlops_assets.kit.metadata import markdown_table
from mlops_assets.kit.reuse import Reuse
from mlops_assets.kit.run_tags import run_lineage
from mlops_assets.ml.judging.leaks import LeakError, Told
from mlops_assets.ml.training.fit import Fit
from mlops_assets.ml.training.kinds import trainer_kind
from mlops_assets.promotion.records import record_trained
from mlops_assets.spec.decides import spec_digest
from mlops_assets.spec.model import ModelSpec
from mlops_assets.stages.fingerprints import fit_code, of_challenger
from mlops_assets.stages.searched import PARAMETERS_FROM, searched
from mlops_assets.stages.training import is_challenger, train_challenger
from mlops_assets.stages.training_set import TrainingData, newest_week, training_data
from resources.audit.log import Audit
from resources.compute.compute import Compute
from resources.lake.lake import Lake
from resources.tracking.tracking import Tracking, Version
from resources.tracking.versions import LINEAGE


def model(spec: ModelSpec) -> dg.AssetsDefinition:
    """The asset `<model>/model`: not partitioned, its versions live in the registry."""

    @dg.asset(
        key=[spec.name, "model"],
        deps=[
            dg.AssetKey([spec.name, part]) for part in ("training_set", *(["search"] if spec.search else []))
        ],
        group_name=spec.name,
        kinds={trainer_kind(spec.trainer.kind).icon, "ray", "mlflow"},
        owners=[spec.owner],
        code_version=f"{spec_digest(spec)[:12]}-{fit_code(spec)[:12]}",
        check_specs=[leak_check_spec(spec)],
        description=f"{spec.description} The challenger: fitted on every labelled row known "
        f"{spec.window.hold_out_days} days before now.".strip(),
    )
    @costed
    def model_(
        context: dg.AssetExecutionContext, lake: Lake, tracking: Tracking, audit: Audit, compute: Compute
    ) -> Iterator[Any]:
        data = training_data(spec, lake, newest_week(spec, lake))
        reuse = Reuse.of(context, lake, f"{spec.name}/model")
        rules = spec_digest(searched(spec, lake, data.week)[0])
        challenger = of_challenger(spec, data.hashes, data.feature_definitions, rules)
        decides = {**challenger, **leak_rule(spec)}
        kept = reuse.unchanged(None, decides, partial(is_challenger, spec, lake, tracking))
        if kept is None:
            told: list[Told] = []
            try:
                version, fitted, data = train_challenger(
                    spec, lake, tracking, run_lineage(context), compute, told.extend
                )
            except LeakError as error:
                yield leak_check(False, leak_numbers(spec, told))
                raise dg.Failure(str(error)) from error
            record_trained(audit, spec, version, data.hashes, data.now)
            kept = {"version": version.number, LEAKS: leak_numbers(spec, told)}
            reuse.made(None, version.sha256, kept)
            shown = fit_metadata(fitted, version, data)
        else:
            version = tracking.version(spec.name, kept["version"])
            shown = reuse.shown_before(context)
        yield dg.MaterializeResult(
            data_version=dg.DataVersion(version.sha256), metadata=shown | reuse.counts()
        )
        reuse.remember()
        yield leak_check(True, kept[LEAKS])

    return model_


def fit_metadata(fitted: Fit, version: Version, data: TrainingData) -> dict[str, Any]:
    """What the asset page says of a fit."""
    top = sorted(fitted.importance.items(), key=lambda pair: -pair[1])[:12]
    return {
        "model version": version.number,
        "rounds": fitted.rounds,
        "dagster/row_count": fitted.rows,
        "training set sha256": data.digest,
        "feature definitions": data.feature_definitions,
        "trained until": str(version.trained_until),
        "fit seconds": round(fitted.seconds, 2),
        "compute": fitted.compute,
        "parameters from": version.tags.get(PARAMETERS_FROM, "the spec"),
        **{name.replace("_", " "): value for name, value in fitted.cost.rounded().items()},
        **{name: round(v, 4) if isinstance(v, float) else v for name, v in fitted.speed.items()},
        "lineage sha256": version.tags.get(LINEAGE, "unknown"),
        "mlflow run": version.run_id,
        "most important features": markdown_table([{"feature": name, "gain": gain} for name, gain in top]),
    }
