"""How the models stand, described, told to the endpoint's page, and as the page of `platform/status` shows it."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

import dagster as dg

from mlops_assets.kit.metadata import markdown_table
from mlops_assets.kit.operations import month_costs, platform_waits
from mlops_assets.ml.reports.standing import broken_use_case
from mlops_assets.spec.model import ModelSpec
from mlops_assets.stages.standing import Operations, describe_platform
from resources.records.standing import Platform, PlatformStatus, Standing
from resources.records.standing_words import LINK_OF, headline, lines
from resources.systems import Systems

STATUS = ["platform", "status"]


def described(
    systems: Systems,
    specs: Mapping[str, ModelSpec],
    broken: Mapping[str, str],
    instance: dg.DagsterInstance,
    now: datetime,
) -> Platform:
    """How the models stand by the records and by what Dagster knows, without costs; `broken` are use cases that do not load."""
    waits = [broken_use_case(name, why) for name, why in sorted(broken.items())]
    waits += platform_waits(instance, systems.pages.dagster, now)
    return describe_platform(systems, specs, Operations(waits=waits))


def with_costs(platform: Platform, instance: dg.DagsterInstance, now: datetime) -> Platform:
    """The same with what each model took since the month began."""
    costs = month_costs(instance, [one.model for one in platform.models], now)
    return replace(
        platform, models=tuple(replace(one, cost_month=costs.get(one.model)) for one in platform.models)
    )


def tell(systems: Systems, platform: Platform) -> None:
    """Tell the endpoint's page."""
    systems.endpoint.show(PlatformStatus.of_platform(platform))


def status_metadata(platform: Platform) -> dict[str, Any]:
    """The headline, what needs hands, and a row a model, each figure with the page that it is from."""
    needs = [f"- **{one.model}**: {reason}" for one in platform.models for reason in one.needs_hands]
    urgent = [*(f"- {sentence}" for sentence in platform.waits), *needs]
    return {
        "status": headline(platform),
        "needs hands": dg.MetadataValue.md("\n".join(urgent) or "nothing"),
        "models": markdown_table([_row(one) for one in platform.models]),
    }


def status_event(platform: Platform) -> dg.AssetMaterialization:
    """The same where no run makes the asset: the sensor's look."""
    return dg.AssetMaterialization(asset_key=STATUS, metadata=status_metadata(platform))


def _row(one: Standing) -> dict[str, str]:
    said = lines(one)
    shown = {name: _linked(said[name], one.links.get(link)) for name, link in LINK_OF.items()}
    return {"model": one.model, **shown, "waits": said["waits"], "alerts": said["alerts"]}


def _linked(said: str, link: str | None) -> str:
    return f"[{said}]({link})" if link else said
