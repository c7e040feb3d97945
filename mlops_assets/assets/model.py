"""The model: a challenger fitted on everything but the newest days, logged and registered in MLflow."""

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

import dagster as dg

from mlops_assets.assets.leaks import LEAKS, leak_check, leak_check_spec, leak_numbers, leak_rule
from mlops_assets.kit.metadata import markdown_table
from mlops_assets.kit.run_tags import TRIGGER_TAG
from mlops_assets.kit.stage import Run, model_stage
from mlops_assets.ml.judging.leaks import LeakError, SingleFeature
from mlops_assets.ml.monitoring.policy import CALIBRATION
from mlops_assets.ml.training.fit import Fit
from mlops_assets.ml.training.kinds import trainer_kind
from mlops_assets.spec.decides import spec_digest
from mlops_assets.spec.model import ModelSpec
from mlops_assets.stages.errors import StageError
from mlops_assets.stages.fingerprints import fit_code
from mlops_assets.stages.recalibrating import recalibrate, recalibration_decided_by
from mlops_assets.stages.search_results import PARAMETERS_FROM
from mlops_assets.stages.training import challenger_decided_by, is_challenger, train
from mlops_assets.stages.training_set import TrainingData
from resources.tracking.tracking import Version
from resources.tracking.versions import LINEAGE


def model(spec: ModelSpec) -> dg.AssetsDefinition:
    """The asset `<model>/model`: not partitioned, its versions live in the registry."""

    @model_stage(
        spec,
        "model",
        after=["training_set", *(["search"] if spec.search else [])],
        uses=["tracking", "audit", "compute"],
        kinds={trainer_kind(spec.trainer.kind).icon, "ray", "mlflow"},
        code_version=f"{spec_digest(spec)[:12]}-{fit_code(spec)[:12]}",
        check_specs=[leak_check_spec(spec)],
        description=f"{spec.description} The challenger: fitted on every labelled row known "
        f"{spec.window.hold_out_days} days before now.".strip(),
    )
    def model_(run: Run) -> Iterator[Any]:
        yield from (recalibrated if run.tag(TRIGGER_TAG) == CALIBRATION else trained)(spec, run)

    return model_


def trained(spec: ModelSpec, run: Run) -> Iterator[Any]:
    """The challenger of a run that trains, unless the newest one would come out again."""
    lake, tracking = run.systems.lake, run.systems.tracking
    decides = {**challenger_decided_by(spec, lake), **leak_rule(spec)}
    content: Mapping[str, Any] | None = run.reuse.unchanged(
        None, decides, partial(is_challenger, spec, lake, tracking)
    )
    if content is None:
        strengths: list[SingleFeature] = []
        try:
            version, fitted, data = train(spec, run.systems, run.lineage, strengths.extend)
        except LeakError as error:
            yield leak_check(False, leak_numbers(spec, strengths))
            raise StageError(str(error)) from error
        content = {"version": version.number, LEAKS: leak_numbers(spec, strengths)}
        run.reuse.note(None, version.sha256, content)
        shown = fit_metadata(fitted, version, data)
    else:
        version, shown = tracking.version(spec.name, content["version"]), run.shown_before()
    yield run.result(version.sha256, shown)
    yield leak_check(True, content[LEAKS])


def recalibrated(spec: ModelSpec, run: Run) -> Iterator[Any]:
    """The challenger of a run that was launched to recalibrate; it is fitted on no feature, so none can tell the label."""
    lake, tracking = run.systems.lake, run.systems.tracking
    decides = recalibration_decided_by(spec, run.systems)
    content = run.reuse.unchanged(None, decides, partial(is_challenger, spec, lake, tracking))
    if content is None:
        version, fitted, data = recalibrate(spec, run.systems, run.lineage)
        shown = recalibration_metadata(fitted, version, data)
        run.reuse.note(None, version.sha256, {"version": version.number, LEAKS: leak_numbers(spec, [])})
    else:
        version, shown = tracking.version(spec.name, content["version"]), run.shown_before()
    yield run.result(version.sha256, shown)
    yield leak_check(True, leak_numbers(spec, []))


def recalibration_metadata(fitted: Fit, version: Version, data: TrainingData) -> dict[str, Any]:
    """What the asset page says of a recalibration: the version whose scores it moves, and how."""
    one = fitted.recalibration
    said = {
        "recalibrates version": one["version"],
        "curve": one["curve"],
        "log odds times": one["slope"],
        "log odds plus": one["intercept"],
    }
    shown = fit_metadata(fitted, version, data)
    return said | {name: value for name, value in shown.items() if name != "most important features"}


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
