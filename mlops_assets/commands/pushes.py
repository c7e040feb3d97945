"""`mlops pushes`: which events were pushed to the endpoint, and one push taken back."""

import sys
from datetime import datetime
from typing import Annotated, Any

import typer

from mlops_assets.commands.moments import moment
from mlops_assets.commands.task import command, group
from resources.settings import settings

verbs = group("events pushed to the endpoint: list them, take one push back")


def add(app: typer.Typer) -> None:
    """Add `pushes list` and `pushes undo` to the commands."""
    app.add_typer(verbs, name="pushes")


@command(verbs, "list", writes=False)
def _list(
    source: Annotated[str | None, typer.Argument(help="a push source; by default all of them")] = None,
) -> int:
    """every push: when it was received, its rows and their span"""
    from resources.cluster import resources_of
    from resources.features.pushes import pushes

    sources = resources_of(settings())["feature_store"].push_sources()
    if source and source not in sources:
        return _unknown(source, sources)
    for name in [source] if source else sources:
        for push in pushes(sources[name].folder):
            received = push.received.isoformat(timespec="microseconds") if push.received else "not known"
            span = f"{push.first.isoformat()} to {push.last.isoformat()}"
            print(f"{name}  received {received}  {push.rows} rows  events {span}")
    return 0


@command(verbs, "undo")
def _undo(
    source: str,
    received: Annotated[
        datetime, typer.Argument(metavar="RECEIVED", parser=moment, help="as `mlops pushes list` shows it")
    ],
    by: Annotated[str, typer.Option(metavar="NAME", help="who decides")],
    reason: Annotated[str, typer.Option(metavar="WHY")],
) -> int:
    """take one push back, offline and online"""
    from resources.cluster import resources_of
    from resources.features.push_undo import UndoError, take_back
    from resources.features.pushed_moments import PushedMoments

    where = settings()
    parts = resources_of(where)
    stores, audit = parts["feature_store"], parts["audit"]
    sources = stores.push_sources()
    if source not in sources:
        return _unknown(source, sources)
    moments = PushedMoments(where.serving / "pushed", where.shared("serving/pushed"))
    try:
        entry = take_back(stores.pushed_to(source), moments, audit, sources[source], received, by, reason)
    except UndoError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(
        f"{entry.evidence['rows']} rows of {source} are taken back, offline and online (entry {entry.seq}, by {entry.by})"
    )
    return 0


def _unknown(name: str, sources: Any) -> int:
    known = ", ".join(sorted(sources)) or "none"
    print(f"error: no push source {name!r} is defined: there are {known}", file=sys.stderr)
    return 1
