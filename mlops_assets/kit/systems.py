"""The systems as Dagster injects them: plain values, held for as long as a run or a tick lasts."""

from collections.abc import Iterator, Mapping
from inspect import getdoc
from typing import Any

import dagster as dg

from resources.resource import Resource


def injected(systems: Mapping[str, Resource]) -> dict[str, dg.ResourceDefinition]:
    """Each system as a resource of Dagster's, by the same name."""
    return {name: _injected(system) for name, system in systems.items()}


def _injected(system: Resource) -> dg.ResourceDefinition:
    @dg.resource(description=getdoc(type(system)))
    def resource(context: dg.InitResourceContext) -> Iterator[Any]:
        with system.during(context.log, context.run is not None) as held:
            yield held

    return resource
