"""`mlops backup` and `mlops restore`: what a cluster's machines share, copied at one moment, and brought back."""

import time
from typing import Annotated

import typer

from mlops_assets.commands.task import command
from resources.settings import Settings, settings


class OnlineError(Exception):
    """The online store cannot be filled from the lake as it is."""


def add(app: typer.Typer) -> None:
    """Add `backup` and `restore` to the commands."""
    command(app, "backup", writes=False)(_backup)
    command(app, "restore")(_restore)


def _backup(
    listed: Annotated[bool, typer.Option("--list", help="only name the backups that are there")] = False,
) -> int:
    """copy a cluster's databases, registry, audit log and lake as they are at one moment to MLOPS_BACKUP"""
    from resources.backup.backup import Places, make

    places = Places.of(settings())
    if listed:
        print("\n".join(places.names()))
        return 0
    make(places, print)
    return 0


def _restore(
    name: Annotated[
        str, typer.Argument(help="which backup, as `mlops backup --list` says; the newest by default")
    ] = "",
    replace: Annotated[
        bool, typer.Option("--replace", help="whatever is there now goes; nothing may be at work")
    ] = False,
    online: Annotated[
        bool, typer.Option("--online", help="only fill the online store from the lake as it is")
    ] = False,
) -> int:
    """bring a backup back, and fill the online store from the lake"""
    from resources.backup.backup import Places, restore

    where = settings()
    if not online:
        restore(Places.of(where), print, name or None, replace)
    fill_online(where)
    return 0


def fill_online(where: Settings) -> None:
    """Fill the online stores of all use cases from the lake; raises OnlineError where one holds something already."""
    from mlops_assets.project import Declared
    from mlops_assets.spec.names import feature_table
    from mlops_assets.stages.online import bring_online, online_content
    from resources.cluster import resources_of

    declared, resources = Declared.load(), resources_of(where)
    lake = resources["lake"]
    for name, use_case in declared.use_cases.items():
        ours = feature_table(name, "")
        views = [table.key.removeprefix(ours) for table in declared.tables if table.key.startswith(ours)]
        partitions = sorted(online_content(lake, name))
        if not views or not partitions:
            continue
        began, store = time.monotonic(), resources["feature_store"].of(name)
        if until := store.online_until(views):
            raise OnlineError(
                f"the online store has features of {name} up to {until:%Y-%m-%d %H:%M} UTC, which may be later than the lake's: "
                "empty it (`redis-cli FLUSHDB`), then `mlops restore --online`"
            )
        done = bring_online(name, use_case.calendar, views, lake, store, partitions)
        keys = sum(view.rows for view in done.views)
        print(f"{name}: {keys:,} keys of {len(views)} views online in {time.monotonic() - began:.1f} s")
