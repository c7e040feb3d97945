"""How the models stand, told to the endpoint's page, and as the page of `platform/status` shows it."""

from dataclasses import replace
from datetime import datetime
from typing import Any

import dagster as dg

from mlops_assets.kit.metadata import markdown_table
from mlops_assets.kit.operations import month_costs
from resources.records.standing import Platform, PlatformStatus, Standing
from resources.records.standing_words import LINK_OF, headline, lines
from resources.systems import Systems

STATUS = ["platform", "status"]


def tell(systems: Systems, platform: Platform, instance: dg.DagsterInstance) -> Platform:
    """Tell the endpoint's page, with what each model took since the month began; returns what it is told."""
    costs = month_costs(instance, [one.model for one in platform.models], moment_of(platform))
    models = [replace(one, cost_month=costs.get(one.model)) for one in platform.models]
    whole = replace(platform, models=tuple(models))
    systems.endpoint.show_status(PlatformStatus.of_platform(whole))
    return whole


def moment_of(status: Platform | PlatformStatus) -> datetime:
    """When the models were described, by the wall clock."""
    return datetime.fromisoformat(status.asked_at)


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
