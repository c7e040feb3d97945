"""The project's only Definitions: the flights use case, and a model for every folder in models/."""

import warnings
from functools import cache

import dagster as dg

from resources.settings import PROJECT_ROOT, silence_usage_reports

silence_usage_reports()
warnings.filterwarnings("ignore", category=dg.PreviewWarning)
warnings.filterwarnings("ignore", category=dg.BetaWarning)

import mlops_assets.use_cases.flights.models  # noqa: E402
from mlops_assets.assets.verification import verification, verify_job  # noqa: E402
from mlops_assets.automation.decisions import decision_jobs  # noqa: E402
from mlops_assets.automation.reconciling import reconcile_sensor  # noqa: E402
from mlops_assets.components.model import ModelComponent  # noqa: E402
from mlops_assets.components.tree import component_tree  # noqa: E402
from mlops_assets.kit.systems import injected  # noqa: E402
from mlops_assets.spec.model import ModelSpec  # noqa: E402
from mlops_assets.stages.tables import Table  # noqa: E402
from mlops_assets.use_cases.flights.assets import all_tables, flights_definitions  # noqa: E402
from resources.local import local_resources  # noqa: E402


@cache
def models() -> dg.ComponentTree:
    """Every folder of models/ with a defs.yaml."""
    return component_tree(mlops_assets.use_cases.flights.models, PROJECT_ROOT)


def specs() -> dict[str, ModelSpec]:
    """The checked specs of all models, by name."""
    found = [component.spec for component in models().get_all_components(of_type=ModelComponent)]
    return {spec.name: spec for spec in found}


def tables() -> list[Table]:
    """Every lake table that is built here, each after those that it is made from."""
    return all_tables()


def build() -> dg.Definitions:
    """Everything there is, over the resources that the environment asks for."""
    shared = dg.Definitions(
        assets=[verification(specs, tables)],
        jobs=[*decision_jobs(specs), verify_job()],
        sensors=[reconcile_sensor(specs)],
        resources=injected(local_resources()),
        executor=dg.in_process_executor,
    )
    return dg.Definitions.merge(flights_definitions(), models().build_defs(), shared)


defs = build()
