"""`mlops live`: a use case that lives before one's eyes."""

from datetime import datetime
from typing import Annotated

import typer

from mlops_assets.commands.task import command
from mlops_assets.live.order import Order, Plant
from resources.settings import settings
from resources.use_case_folders import default_use_case


def add(app: typer.Typer) -> None:
    """Add `live` to the commands."""
    command(app, "live")(_live)


def _live(
    use_case: Annotated[
        str, typer.Argument(help="which use case; the project's own example by default")
    ] = "",
    partitions: Annotated[
        int | None,
        typer.Option(metavar="N", help="end by itself after so many; else with the data, or by Ctrl-C"),
    ] = None,
    since: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="PARTITION",
            help="the first that is lived; by default where a first model may be trained",
        ),
    ] = None,
    every: Annotated[
        float, typer.Option(metavar="SECONDS", help="how long a partition takes beside the platform's work")
    ] = 15.0,
    requests: Annotated[float, typer.Option(metavar="N", help="requests of customers a second")] = 5.0,
    plant: Annotated[
        list[Plant] | None, typer.Option(help="what goes wrong; give it again, each with its --on, for more")
    ] = None,
    on: Annotated[
        list[datetime] | None,
        typer.Option(metavar="DAY", formats=["%Y-%m-%d"], help="the day on which a plant begins"),
    ] = None,
    anew: Annotated[
        bool, typer.Option("--anew", help="remove what was lived before, and begin again")
    ] = False,
) -> int:
    """what `dev` starts, with a fast clock, data that arrives, customers that ask, and a line for each event"""
    from mlops_assets.live.run import live

    days = [day.date() for day in on or []]
    name = use_case or default_use_case()
    return live(settings(), Order(name, partitions, since, every, requests, anew, plant or [], days))
