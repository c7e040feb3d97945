"""The deployment: a challenger that passed is refitted on everything up to now and put behind the endpoint."""

from collections.abc import Iterator
from functools import partial
from typing import Any

import dagster as dg

from mlops_assets.assets.model import fit_metadata
from mlops_assets.kit.rollout_page import on_the_deployment
from mlops_assets.kit.stage import Run, model_stage
from mlops_assets.promotion.approval import by_a_person
from mlops_assets.promotion.errors import HeldBackError
from mlops_assets.promotion.holds import Holds
from mlops_assets.promotion.records import audit_entry
from mlops_assets.promotion.rollout_states import in_words, under_way
from mlops_assets.spec.decides import spec_digest
from mlops_assets.spec.model import ModelSpec
from mlops_assets.stages.deploying import decided_by, deploy, is_live, passed_gate, rejection
from mlops_assets.stages.fingerprints import fit_code
from resources.tracking.tracking import Version


def deployment(spec: ModelSpec) -> dg.AssetsDefinition:
    """The asset `<model>/deployment`: the champion that answers requests."""

    @model_stage(
        spec,
        "deployment",
        after=["evaluation"],
        uses=["tracking", "endpoint", "audit", "compute", "clock"],
        kinds={"ray", "mlflow"},
        output_required=False,
        tags={"automation": spec.automation},
        code_version=f"{spec_digest(spec)[:12]}-{fit_code(spec)[:12]}",
        description=promotion_in_words(spec),
    )
    def deployment_(run: Run) -> Iterator[dg.MaterializeResult]:
        champion = partial(run.systems.tracking.champion, spec.name)
        if verdict := rejection(spec, run.systems.lake):
            return run.log(f"{spec.name}: nothing is deployed, the champion stays. {verdict}")
        if spec.automation == "paused":
            result = _result(champion(), {"promotion": "none: automation is paused"})
        elif frozen := Holds.of(run.systems.audit).freeze(spec.name):
            run.context.log.warning(frozen)
            result = _result(champion(), {"promotion": f"none: {frozen}"})
        elif is_up_to_date(spec, run):
            result = _result(champion(), run.shown_before() | run.reuse.counts())
        else:
            result = refit_and_deploy(spec, run)
        yield result._replace(
            metadata={**(result.metadata or {}), **on_the_deployment(run.systems.lake, spec.name)}
        )
        return None

    return deployment_


def is_up_to_date(spec: ModelSpec, run: Run) -> bool:
    """Whether a deployment would come out as it did, and what came out is what answers."""
    decides = decided_by(spec, run.systems.lake, passed_gate(spec, run.systems.lake))
    return run.reuse.unchanged(None, decides, partial(is_live, spec, run.systems)) is not None


def refit_and_deploy(spec: ModelSpec, run: Run) -> dg.MaterializeResult:
    """Refit and deploy; where a person has to say yes first, the champion stays and the page says for whom it waits."""
    try:
        version, fitted, data = deploy(spec, run.systems, run.lineage)
    except HeldBackError as held:
        run.context.log.warning(str(held))
        return _result(run.systems.tracking.champion(spec.name), {"promotion": f"none: {held}"})
    run.reuse.note(None, version.sha256)
    shown = fit_metadata(fitted, version, data) | audit_entry(run.systems.audit, spec.name)
    if (state := under_way(run.systems.lake, spec.name)) and state.version == version.number:
        run.log(in_words(state))
        shown |= {"promotion": f"none yet: {in_words(state)}"}
        version = run.systems.tracking.champion(spec.name) or version
    return _result(version, shown | run.reuse.counts())


def promotion_in_words(spec: ModelSpec) -> str:
    """What a deployment is, and what it waits for."""
    return (
        "The champion behind the endpoint: the parameters and rounds that passed, refitted on all labelled "
        "rows up to now. Not materialized where the newest challenger was rejected."
        + (" Automation is paused: nothing is promoted." if spec.automation == "paused" else "")
        + (f" Promotion waits for {' or '.join(spec.promotion.approvers)}." if by_a_person(spec) else "")
    )


def _result(version: Version | None, metadata: dict[str, Any]) -> dg.MaterializeResult:
    """The data version is the endpoint's, not the model's: a promotion does not make past predictions stale."""
    number = version.number if version else "none"
    return dg.MaterializeResult(
        data_version=dg.DataVersion("endpoint"), metadata={"champion": number} | metadata
    )
