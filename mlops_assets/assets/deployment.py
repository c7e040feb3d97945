"""The deployment: a challenger that passed is refitted on everything up to now and put behind the endpoint."""

from collections.abc import Iterator
from functools import partial
from typing import Any

import dagster as dg

from mlops_assets.assets.model import fit_metadata
from mlops_assets.kit.costs import costed
from mlops_assets.kit.reuse import Reuse
from mlops_assets.kit.run_tags import run_lineage
from mlops_assets.promotion.approval import HeldBackError, by_a_person
from mlops_assets.promotion.records import audit_entry
from mlops_assets.spec.decides import spec_digest
from mlops_assets.spec.model import ModelSpec
from mlops_assets.stages.deploying import decided_by, deploy, is_live, passed_gate, rejection
from mlops_assets.stages.fingerprints import fit_code
from resources.audit.log import Audit
from resources.compute.compute import Compute
from resources.lake.lake import Lake
from resources.serving.ray_serve import Endpoint
from resources.tracking.tracking import Tracking, Version


def deployment(spec: ModelSpec) -> dg.AssetsDefinition:
    """The asset `<model>/deployment`: the champion that answers requests."""

    @dg.asset(
        key=[spec.name, "deployment"],
        deps=[dg.AssetKey([spec.name, "evaluation"])],
        output_required=False,
        group_name=spec.name,
        kinds={"ray", "mlflow"},
        owners=[spec.owner],
        tags={"automation": spec.automation},
        code_version=f"{spec_digest(spec)[:12]}-{fit_code(spec)[:12]}",
        description="The champion behind the endpoint: the parameters and rounds that passed, refitted on all labelled "
        "rows up to now. Not materialized where the newest challenger was rejected."
        + (" Automation is paused: nothing is promoted." if spec.automation == "paused" else "")
        + (f" Promotion waits for {' or '.join(spec.promotion.approvers)}." if by_a_person(spec) else ""),
    )
    @costed
    def deployment_(
        context: dg.AssetExecutionContext,
        lake: Lake,
        tracking: Tracking,
        endpoint: Endpoint,
        audit: Audit,
        compute: Compute,
    ) -> Iterator[dg.MaterializeResult]:
        if verdict := rejection(spec, lake):
            context.log.info(f"{spec.name}: nothing is deployed, the champion stays. {verdict}")
            return
        if spec.automation == "paused":
            yield _result(tracking.champion(spec.name), {"promotion": "none: automation is paused"})
            return
        reuse, passed = Reuse.of(context, lake, f"{spec.name}/deployment"), passed_gate(spec, lake)
        live = partial(is_live, spec, lake, tracking, endpoint)
        if reuse.unchanged(None, decided_by(spec, lake, passed), live) is not None:
            yield _result(tracking.champion(spec.name), reuse.shown_before(context) | reuse.counts())
            return
        try:
            version, fitted, data = deploy(
                spec, lake, tracking, endpoint, audit, run_lineage(context), compute
            )
        except HeldBackError as held:
            context.log.warning(str(held))
            yield _result(tracking.champion(spec.name), {"promotion": f"none: {held}"})
            return
        reuse.made(None, version.sha256)
        shown = fit_metadata(fitted, version, data) | audit_entry(audit, spec.name)
        yield _result(version, shown | reuse.counts())
        reuse.remember()

    return deployment_


def _result(version: Version | None, metadata: dict[str, Any]) -> dg.MaterializeResult:
    """The data version is the endpoint's, not the model's: a promotion does not make past predictions stale."""
    number = version.number if version else "none"
    return dg.MaterializeResult(
        data_version=dg.DataVersion("endpoint"), metadata={"champion": number} | metadata
    )
