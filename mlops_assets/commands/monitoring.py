"""`mlops monitoring`: Prometheus, Alertmanager and the exporter, beside `mlops dev`."""

from typing import Annotated

import typer

from mlops_assets.commands.task import command
from resources.settings import settings


def add(app: typer.Typer) -> None:
    """Add `monitoring` to the commands."""
    command(app, "monitoring")(_monitoring)


def _monitoring(
    every: Annotated[
        float,
        typer.Option(metavar="SECONDS", min=0.1, help="how often Prometheus asks, and looks at the rules"),
    ] = 15.0,
    cached: Annotated[
        float, typer.Option(metavar="SECONDS", min=0, help="how long the exporter gives an answer again")
    ] = 10.0,
) -> int:
    """Prometheus, Alertmanager and the exporter on 127.0.0.1 until Ctrl-C"""
    from mlops_assets.local import monitoring

    return monitoring.main(settings(), cached, every)
