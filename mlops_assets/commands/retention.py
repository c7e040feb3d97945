"""`mlops retention`: old logs of Dagster's runs and old trials in MLflow removed; what a version or an asset is made of stays."""

from typing import Annotated

import typer

from mlops_assets.commands.task import command
from resources.settings import settings


def add(app: typer.Typer) -> None:
    """Add `retention` to the commands."""
    command(app, "retention")(_retention)


def _retention(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="say what would go, and remove nothing")] = False,
) -> int:
    """remove old logs of runs and old trials, as the schedule does every night"""
    import dagster as dg

    from mlops_assets.automation.retention import retain
    from mlops_assets.local.servers import prepare_dagster_home
    from resources.cluster import resources_of

    where = settings()
    prepare_dagster_home(where)
    with dg.DagsterInstance.get() as instance:
        retain(where, instance, resources_of(where)["tracking"].at_once, dry_run)
    return 0
