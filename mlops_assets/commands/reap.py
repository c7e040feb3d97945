"""`mlops reap`: what is left of runs and fits on Kubernetes, and nobody waits for, is deleted."""

from typing import Annotated

import typer

from mlops_assets.commands.task import command
from resources.settings import settings
from resources.state_folder import SettingsError


def add(app: typer.Typer) -> None:
    """Add `reap` to the commands."""
    command(app, "reap")(_reap)


def _reap(
    namespace: Annotated[
        str, typer.Option(metavar="NAME", help="another namespace than that of MLOPS_RUN_NAMESPACE")
    ] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="only say what would be deleted")] = False,
) -> int:
    """delete leaked RayJobs, idle Ray clusters, pods of runs that are over, and old Jobs; say what each held"""
    where = namespace or settings().run_namespace
    if not where:
        raise SettingsError(
            "MLOPS_RUN_NAMESPACE is not set, so runs are no pods here: set it, or name a namespace by --namespace"
        )
    from dagster import DagsterInstance

    from mlops_assets.local.servers import prepare_dagster_home
    from mlops_assets.pods.reaping import reap
    from resources.compute.kubernetes_api import api_client
    from resources.pods.api import Workloads

    prepare_dagster_home(settings())
    with DagsterInstance.get() as instance:
        reap(instance, Workloads(api_client(), where), dry_run)
    return 0
