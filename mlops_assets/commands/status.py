"""`mlops status`: how every model stands, what needs hands on top, from the records alone."""

import gc
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from mlops_assets.commands.task import command
from resources.settings import Settings, settings

if TYPE_CHECKING:
    from mlops_assets.spec.model import ModelSpec
    from resources.records.standing import Platform


class UnknownModelError(Exception):
    """A model that no use case declares; says which ones there are."""


def add(app: typer.Typer) -> None:
    """Add `status` to the commands."""
    command(app, "status", writes=False)(_status)


def _status(
    model: Annotated[
        str | None,
        typer.Option(help="all that is known of one model, with its links; an overview by default"),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print all of it as JSON")] = False,
    fail: Annotated[bool, typer.Option("--fail", help="exit with 1 where something needs hands")] = False,
) -> int:
    """how every model stands, what needs hands on top

    Works with no server running. 0 where it could be read; with --fail 1 where something needs hands.
    """
    from resources.records.standing import PlatformStatus

    with collector_off():
        platform = standings(settings(), model)
    if as_json:
        print(json.dumps(PlatformStatus.of_platform(platform).document(), indent=1))
    else:
        _print(platform, detail=model is not None)
    needs = platform.waits or any(one.needs_hands for one in platform.models)
    return 1 if fail and needs else 0


def standings(where: Settings, model: str | None = None) -> "Platform":
    """How the models stand by the state of `where`, or one of them. Raises UnknownModelError for one that is not declared.

    On a cluster the instance is that of its database.
    """
    from mlops_assets.kit.described import described
    from mlops_assets.local.instance import instance_in
    from mlops_assets.spec.files import readable_specs
    from resources.cluster import resources_of
    from resources.systems import Systems

    specs, broken = readable_specs()
    chosen = {model: _one_of(specs, model)} if model else specs
    if where.is_cluster:
        from mlops_assets.local.servers import prepare_dagster_home

        prepare_dagster_home(where)
    with instance_in(where) as instance:
        return described(Systems.of(resources_of(where)), chosen, broken, instance, with_costs=True)


def _one_of(specs: "dict[str, ModelSpec]", model: str) -> "ModelSpec":
    if model not in specs:
        raise UnknownModelError(
            f"model {model!r} does not exist; there are: {', '.join(sorted(specs)) or 'none'}"
        )
    return specs[model]


@contextmanager
def collector_off() -> Iterator[None]:
    """Within, garbage is not collected: the command ends at once, and to walk through what it imports took a sixth of its time."""
    is_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if is_on:
            gc.enable()


def _print(platform: "Platform", detail: bool) -> None:
    """The lines, those about what needs hands in red where a terminal shows colours."""
    from mlops_assets.ml.reports.standing import as_text

    for line, is_urgent in as_text(platform, detail):
        typer.secho(line, fg="red" if is_urgent else None)
