"""The deployment: a challenger that passed is refitted on everything up to now and put behind the endpoint."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl

from mlops_assets.assets.evaluation import attempt_name
from mlops_assets.assets.model import fit_metadata, log_fit, run_lineage, training_rows
from mlops_assets.assets.training_set import TrainingData, training_data
from mlops_assets.ml.drift import reference_profile
from mlops_assets.ml.training import Fit, fit
from mlops_assets.spec import ModelSpec
from resources.lake import Lake
from resources.serving import Endpoint
from resources.tracking import Tracking, Version


def deployment(spec: ModelSpec) -> dg.AssetsDefinition:
    """The asset `<model>/deployment`: the champion that answers requests."""

    @dg.asset(
        key=[spec.name, "deployment"],
        deps=[dg.AssetKey([spec.name, "evaluation"])],
        group_name=spec.name,
        kinds={"ray", "mlflow"},
        owners=[spec.owner],
        tags={"automation": spec.automation},
        description="The champion behind the endpoint: the parameters and rounds that passed, refitted on all labelled "
        "rows up to now."
        + (" Automation is paused: nothing is promoted." if spec.automation == "paused" else ""),
    )
    def deployment_(
        context: dg.AssetExecutionContext, lake: Lake, tracking: Tracking, endpoint: Endpoint
    ) -> Iterator[dg.MaterializeResult]:
        if spec.automation == "paused":
            yield _result(tracking.champion(spec.name), {"promotion": "none: automation is paused"})
            return
        version, fitted, data = deploy(spec, lake, tracking, endpoint, run_lineage(context))
        yield _result(version, fit_metadata(fitted, version, data))

    return deployment_


def deploy(
    spec: ModelSpec, lake: Lake, tracking: Tracking, endpoint: Endpoint, lineage: Mapping[str, str]
) -> tuple[Version, Fit, TrainingData]:
    """Refit the challenger that passed on everything up to now, make it champion and hand it to the endpoint."""
    candidate = lake.read_json(f"{spec.name}/challenger")
    attempt = lake.read_json(attempt_name(spec, candidate["week"])) if candidate else None
    if attempt is None or not attempt["promote"]:
        raise dg.Failure(f"{spec.name}: no challenger has passed the gate, so there is nothing to deploy")
    data = training_data(spec, lake, attempt["week"])
    rows = training_rows(spec, data, hold_out=False)
    fitted = fit(rows, spec, data.features, rounds=attempt["challenger"]["rounds"])
    lineage = {**lineage, "challenger": str(attempt["challenger"]["version"])}
    version = log_fit(spec, tracking, data, fitted, rows, "refit", lineage).register(spec, tracking)
    _keep_reference(spec, lake, data, rows, version, attempt)
    tracking.promote(spec.name, version.number, data.now)
    if spec.deployment.enabled:
        kept = endpoint.keep(spec.name, version.number, tracking.load(version))
        endpoint.publish(endpoint_record(spec, version, data, kept))
    lake.write_json(attempt_name(spec, data.week), attempt | {"final": {"version": version.number}})
    return version, fitted, data


def _result(version: Version | None, metadata: dict[str, Any]) -> dg.MaterializeResult:
    """The data version is the endpoint's, not the model's: a promotion does not make past predictions stale."""
    number = version.number if version else "none"
    return dg.MaterializeResult(
        data_version=dg.DataVersion("endpoint"), metadata={"champion": number} | metadata
    )


def reference_name(spec: ModelSpec, version: int) -> str:
    """Where the profile that later weeks are compared with lies in the lake."""
    return f"{spec.name}/profiles/{version:06d}"


def _keep_reference(
    spec: ModelSpec,
    lake: Lake,
    data: TrainingData,
    rows: pl.DataFrame,
    version: Version,
    attempt: dict[str, Any],
) -> None:
    """Keep what the champion was trained on, in short: profiles for the numbers, a sample for Evidently's report."""
    columns = spec.drift.columns or data.features
    sample = rows.sample(min(spec.drift.sample_rows, rows.height), seed=spec.trainer.seed).select(columns)
    lake.write(f"{spec.name}/reference", sample, f"{version.number:06d}")
    profile = {
        "features": reference_profile(rows, columns, spec.trainer.categories),
        "scores": attempt["hold_out_scores"],
        "metrics": attempt["challenger"]["metrics"],
        "columns": columns,
    }
    lake.write_json(reference_name(spec, version.number), profile)


def endpoint_record(spec: ModelSpec, version: Version, data: TrainingData, kept: Path) -> dict[str, Any]:
    """What the endpoint needs to answer for this version."""
    return {
        "name": spec.name,
        "version": version.number,
        "task": spec.task,
        "model_path": str(kept),
        "model_sha256": version.sha256,
        "scorer": "mlops_assets.ml.training:Scorer",
        "feature_service": spec.feature_service,
        "rows": spec.prediction.rows,
        "request": spec.prediction.request,
        "key": spec.prediction.key,
        "time": spec.prediction.time,
        "moment": data.now.isoformat(),
        "owner": spec.owner,
    }
