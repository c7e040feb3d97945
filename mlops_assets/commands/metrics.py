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
    """freshness, drift, quality, coverage, cost and roll-outs for Prometheus, until Ctrl-C"""
    from mlops_assets.local.exporter import serve
    from mlops_assets.spec.files import read_specs
    from resources import ports
    from resources.addresses import is_loopback
    from resources.state_folder import SettingsError

    where = settings()
    number = port or where.metrics_port
    if not is_loopback(where.metrics_host) and not where.serve_keys:
        raise SettingsError(
            f"MLOPS_METRICS_HOST={where.metrics_host} opens the metrics to others, and no key is set: make one by `mlops key new "
            "prometheus` and put its hash into MLOPS_SERVE_KEYS, or listen on 127.0.0.1"
        )
    if not ports.is_free(number):
        held = ports.holder(number) or "another process"
        raise SettingsError(f"port {number} is taken by {held}: end it, or set MLOPS_METRICS_PORT")
    serve(where, read_specs, number, cached)
    return 0
