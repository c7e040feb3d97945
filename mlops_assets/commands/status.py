"""`mlops status`: how every model stands, what needs hands on top, from the records alone."""

import json
from typing import TYPE_CHECKING, Annotated

import typer

from mlops_assets.commands.task import command
from resources.settings import Settings, settings

if TYPE_CHECKING:
    from mlops_assets.spec.model import ModelSpec
    from mlops_assets.stages.standing import Operations
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

    platform = described(settings(), model)
    if as_json:
        print(json.dumps(PlatformStatus.of_platform(platform).document(), indent=1))
    else:
        _print(platform, detail=model is not None)
    needs = platform.waits or any(one.needs_hands for one in platform.models)
    return 1 if fail and needs else 0


def described(where: Settings, model: str | None = None) -> "Platform":
    """How the models stand by the state of `where`, or one of them. Raises UnknownModelError for one that is not declared."""
    from dataclasses import replace

    from mlops_assets.ml.reports.standing import broken_use_case
    from mlops_assets.spec.files import readable_specs
    from mlops_assets.stages.standing import describe_platform
    from resources.cluster import resources_of
    from resources.systems import Systems

    specs, broken = readable_specs()
    chosen = {model: _one_of(specs, model)} if model else specs
    operations = _operations(where, sorted(chosen))
    waits = [broken_use_case(name, why) for name, why in sorted(broken.items())]
    known = replace(operations, waits=(*waits, *operations.waits))
    return describe_platform(Systems.of(resources_of(where)), chosen, known)


def _one_of(specs: "dict[str, ModelSpec]", model: str) -> "ModelSpec":
    if model not in specs:
        raise UnknownModelError(
            f"model {model!r} does not exist; there are: {', '.join(sorted(specs)) or 'none'}"
        )
    return specs[model]


def _operations(where: Settings, models: list[str]) -> "Operations":
    """What Dagster knows, where there is an instance of it; on a cluster, that of its database."""
    from mlops_assets.stages.standing import Operations

    if where.is_cluster:
        from mlops_assets.local.servers import prepare_dagster_home

        prepare_dagster_home(where)
    if not (where.dagster_home / "dagster.yaml").exists():
        return Operations()
    import dagster as dg

    from mlops_assets.kit.operations import month_costs, platform_waits
    from mlops_assets.stages.standing import Operations
    from resources.clock import wall

    with dg.DagsterInstance.from_config(str(where.dagster_home)) as instance:
        waits = platform_waits(instance, where.dagster_url, now := wall())
        return Operations(waits=waits, costs=month_costs(instance, models, now))


def _print(platform: "Platform", detail: bool) -> None:
    """The lines, those about what needs hands in red where a terminal shows colours."""
    from mlops_assets.ml.reports.standing import as_text

    for line, is_urgent in as_text(platform, detail):
        typer.secho(line, fg="red" if is_urgent else None)
