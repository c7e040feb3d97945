"""The project's only Definitions: every use case's folder, and what they share."""

import logging
import warnings
from collections.abc import Iterable
from functools import cache

import dagster as dg

from resources.settings import settings, silence_usage_reports

silence_usage_reports()
warnings.filterwarnings("ignore", category=dg.PreviewWarning)
warnings.filterwarnings("ignore", category=dg.BetaWarning)

from mlops_assets.assets.status import status  # noqa: E402
from mlops_assets.assets.verification import verification, verify_job  # noqa: E402
from mlops_assets.automation.alerting import alert_sensor  # noqa: E402
from mlops_assets.automation.backup import backup_job, backup_schedule  # noqa: E402
from mlops_assets.automation.decisions import decision_jobs  # noqa: E402
from mlops_assets.automation.holding import hold_jobs  # noqa: E402
from mlops_assets.automation.reaping import reaper_job, reaper_schedule  # noqa: E402
from mlops_assets.automation.reconciling import reconcile_sensor  # noqa: E402
from mlops_assets.automation.retention import retention_job, retention_schedule  # noqa: E402
from mlops_assets.automation.rollout import rollout_jobs  # noqa: E402
from mlops_assets.automation.status import status_sensor  # noqa: E402
from mlops_assets.components.use_case import LoadedUseCase, UseCaseError, load_use_case  # noqa: E402
from mlops_assets.kit.pods import executor_of  # noqa: E402
from mlops_assets.kit.systems import injected  # noqa: E402
from mlops_assets.local.lost_runs import lost_runs_sensor  # noqa: E402
from mlops_assets.ml.aggregates.apart import kinds_apart  # noqa: E402
from mlops_assets.spec.model import ModelSpec  # noqa: E402
from mlops_assets.stages.tables import Table  # noqa: E402
from resources.cluster import dagster_resources, resources_of  # noqa: E402
from resources.use_case_folders import use_case_folders  # noqa: E402

LOG = logging.getLogger(__name__)


@cache
def loaded() -> tuple[dict[str, LoadedUseCase], dict[str, str]]:
    """The use cases that load, by name, and of each of the others why it does not, with file and line."""
    there: dict[str, LoadedUseCase] = {}
    broken: dict[str, str] = {}
    for folder in use_case_folders():
        try:
            with kinds_apart():
                use_case = load_use_case(folder)
            refuse_names_twice(use_case, there.values())
        except UseCaseError as error:
            broken[folder.name] = str(error)
            LOG.error("use case %s does not load: %s", folder.name, error)
        else:
            there[folder.name] = use_case
    return there, broken


def refuse_names_twice(use_case: LoadedUseCase, others: Iterable[LoadedUseCase]) -> None:
    """Raise UseCaseError where a model has the name of another use case's: a model's assets are named by it alone."""
    for other in others:
        if twice := sorted(use_case.specs.keys() & other.specs.keys()):
            raise UseCaseError(
                f"the model {twice[0]!r} is in the use case {other.use_case.name!r} too: names of models are unique over all "
                "use cases, rename one"
            )


def specs() -> dict[str, ModelSpec]:
    """The checked specs of all models, by name."""
    return {name: spec for one in loaded()[0].values() for name, spec in one.specs.items()}


def unloaded() -> dict[str, str]:
    """Of each use case that does not load, why."""
    return loaded()[1]


def tables() -> list[Table]:
    """Every lake table that is built here, each after those that it is made from."""
    return [table for one in loaded()[0].values() for table in one.tables]


def build() -> dg.Definitions:
    """Everything there is, over the resources that the environment asks for."""
    there, broken = loaded()
    where = settings()
    retention, reaper = retention_job(), [reaper_job()] if where.run_namespace else []
    backups = [backup_job()] if where.backup_address else []
    shared = dg.Definitions(
        assets=[
            verification(specs, tables),
            status(specs, unloaded),
            *(_broken_use_case(name, why) for name, why in broken.items()),
        ],
        jobs=[
            *decision_jobs(specs),
            *hold_jobs(specs),
            *rollout_jobs(specs),
            verify_job(),
            retention,
            *reaper,
            *backups,
        ],
        schedules=[
            retention_schedule(retention),
            *map(reaper_schedule, reaper),
            *map(backup_schedule, backups),
        ],
        sensors=[
            reconcile_sensor(specs),
            lost_runs_sensor(),
            status_sensor(specs, unloaded),
            alert_sensor(specs),
        ],
        resources={**injected(resources_of(where)), **dagster_resources(where)},
        executor=executor_of([spec for one in there.values() for spec in one.specs.values()]),
    )
    return dg.Definitions.merge(shared, *(one.defs for one in there.values()))


def _broken_use_case(name: str, why: str) -> dg.AssetSpec:
    """A use case that does not load, where people look for it: as an asset that says why."""
    return dg.AssetSpec(
        [name, "does_not_load"],
        group_name=name,
        description=f"This use case does not load.\n\n```\n{why}\n```",
    )


defs = build()
