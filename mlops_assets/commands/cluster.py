"""`mlops cluster`: the parts of production on this machine, and commands beside them."""

from typing import Annotated

import typer

from mlops_assets.commands.task import command, group
from resources.settings import settings

verbs = group("The parts of production as processes of this machine, all on 127.0.0.1.")


def add(app: typer.Typer) -> None:
    """Add `cluster` to the commands."""
    app.add_typer(verbs, name="cluster")


@command(verbs, "up")
def _up(
    restart: Annotated[
        bool, typer.Option("--restart", help="start again what ends by itself, as a cluster does")
    ] = False,
) -> int:
    """PostgreSQL, Redis, S3, MLflow with sign-in, Dagster's three servers and the endpoint, until Ctrl-C"""
    from mlops_assets.local import cluster

    return cluster.main(settings(), restart)


@command(verbs, "restore")
def _restore(
    name: Annotated[str, typer.Argument(help="which backup; the newest by default")] = "",
    replace: Annotated[bool, typer.Option("--replace", help="whatever is there now goes")] = False,
) -> int:
    """bring a backup back while databases and stores alone are up; `mlops cluster up` goes on with it"""
    from mlops_assets.local import cluster

    return cluster.restore(settings(), [*([name] if name else []), *(["--replace"] if replace else [])])


@command(verbs, "run")
def _run(
    words: Annotated[list[str], typer.Argument(metavar="COMMAND...", help="put -- before one with options")],
) -> int:
    """run a command as one more process of the cluster that is up"""
    from mlops_assets.local import cluster

    return cluster.run_beside(settings(), words)
