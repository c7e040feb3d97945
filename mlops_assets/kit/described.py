"""How the models stand, by the records and by what Dagster knows: asked in one way by the command, the sensor and the asset."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from mlops_assets.ml.reports.standing import broken_use_case
from mlops_assets.spec.model import ModelSpec
from mlops_assets.stages.standing import Operations, describe_platform
from resources.clock import wall
from resources.records.standing import Platform
from resources.systems import Systems

if TYPE_CHECKING:
    from dagster import DagsterInstance


def described(
    systems: Systems,
    specs: Mapping[str, ModelSpec],
    broken: Mapping[str, str],
    instance: "DagsterInstance | None",
    with_costs: bool = False,
) -> Platform:
    """How the models stand; `broken` are use cases that do not load, with why.

    Without an instance, as where no server was ever started, the records alone say it, and Dagster is not imported. Costs are
    left out unless they are asked for, as many events are read for them.
    """
    waits = [broken_use_case(name, why) for name, why in sorted(broken.items())]
    costs: Mapping[str, float] = {}
    if instance is not None:
        from mlops_assets.kit.operations import month_costs, platform_waits

        waits += platform_waits(instance, systems.pages.dagster, now := wall())
        costs = month_costs(instance, specs, now) if with_costs else {}
    return describe_platform(systems, specs, Operations(waits=waits, costs=costs))
