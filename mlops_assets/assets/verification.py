"""All registered versions rebuilt from their lineage, as an asset with a check that names those that come out otherwise."""

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import dagster as dg
from pydantic import Field

from mlops_assets.kit.checks import check_result, check_spec
from mlops_assets.kit.metadata import markdown_table
from mlops_assets.kit.stage import Run, stage
from mlops_assets.spec.model import ModelSpec
from mlops_assets.stages.tables import Table
from mlops_assets.verify.rebuild import Rebuild
from mlops_assets.verify.verdict import WITHIN, Verdict, verify_all
from resources.features.stores import repository_of

KEY = ["models", "verification"]
CLAIM = "every_version_can_be_rebuilt"
JOB = "verify"


class Chosen(dg.Config):
    """Which versions are rebuilt, and how far a prediction may be off."""

    models: list[str] = []
    within: float = Field(default=WITHIN, ge=0, allow_inf_nan=False)


def verification(
    specs: Callable[[], Mapping[str, ModelSpec]], tables: Callable[[], Sequence[Table]]
) -> dg.AssetsDefinition:
    """The asset `models/verification`, made when it is asked for; all models unless `models` names some."""

    @stage(
        KEY,
        after=[f"{name}/deployment" for name in sorted(specs())],
        uses=["tracking", "audit", "compute"],
        group_name="verification",
        kinds={"ray", "mlflow"},
        check_specs=[check_spec(KEY, CLAIM, False)],
        config_schema=Chosen.to_fields_dict(),
        description="Every registered version rebuilt from its lineage and compared byte by byte.",
    )
    def verification_(run: Run) -> Iterator[Any]:
        systems, config = run.systems, Chosen(**run.context.op_execution_context.op_config)
        chosen = {name: spec for name, spec in specs().items() if not config.models or name in config.models}
        with tempfile.TemporaryDirectory(prefix="mlops-verify-") as folder:
            places = (systems.lake, tables(), repository_of, systems.compute.address)
            rebuild = Rebuild(Path(folder), *places, run.log)
            every = verify_all(systems.tracking, systems.audit, rebuild, chosen, config.within, run.log)
            verdicts = [_logged(run, verdict) for verdict in every]
        different = {v.name: str(v.differences[0]) for v in verdicts if not v.holds}
        yield check_result(CLAIM, not different, False, {"versions": len(verdicts), "different": different})
        rows = [_row(verdict) for verdict in verdicts]
        yield dg.MaterializeResult(metadata={"versions": len(rows), "verdicts": markdown_table(rows)})

    return verification_


def verify_job() -> Any:
    """The job `verify`, which makes the asset."""
    return dg.define_asset_job(
        JOB,
        selection=dg.AssetSelection.assets(KEY),
        executor_def=dg.in_process_executor,
        description="Rebuild every registered version from its lineage and compare it byte by byte.",
    )


def _logged(run: Run, verdict: Verdict) -> Verdict:
    run.log(str(verdict))
    return verdict


def _row(verdict: Verdict) -> dict[str, Any]:
    return {
        "version": verdict.name,
        "verdict": verdict.outcome,
        "largest difference": verdict.largest,
        "first node that differs": str(verdict.differences[0]) if verdict.differences else "",
        "workers": verdict.layout.get("workers"),
        "lineage": verdict.lineage[:12],
        "seconds": verdict.seconds,
    }
