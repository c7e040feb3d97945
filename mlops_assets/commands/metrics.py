"""`mlops metrics`: the exporter of how the models stand, for Prometheus."""

from typing import Annotated

import typer

from mlops_assets.commands.task import command
from resources.settings import settings


def add(app: typer.Typer) -> None:
    """Add `metrics` to the commands."""
    command(app, "metrics")(_metrics)


def _metrics(
    port: Annotated[int | None, typer.Option(help="another port than that of MLOPS_METRICS_PORT")] = None,
    cached: Annotated[
        float, typer.Option(metavar="SECONDS", help="how long an answer is given again")
    ] = 10.0,
) -> int:
    """freshness, drift, quality, coverage, cost and roll-outs for Prometheus on 127.0.0.1, until Ctrl-C"""
    from mlops_assets.local.exporter import HOST, serve
    from mlops_assets.spec.files import read_specs
    from resources import ports
    from resources.state_folder import SettingsError

    where = settings()
    number = port or where.metrics_port
    if not ports.is_free(number):
        held = ports.holder(number) or "another process"
        raise SettingsError(f"port {number} of {HOST} is taken by {held}: end it, or set MLOPS_METRICS_PORT")
    serve(where, read_specs, number, cached)
    return 0
