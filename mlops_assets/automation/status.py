"""The sensor that keeps the platform's status fresh, on the endpoint's page and on that of `platform/status`."""

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

import dagster as dg

from mlops_assets.automation.looked import LOOKS
from mlops_assets.kit.described import described
from mlops_assets.kit.status_page import moment_of, status_event, tell
from mlops_assets.spec.model import ModelSpec
from resources.alerts.outbox import Alerts
from resources.audit.log import Audit
from resources.clock import Clock
from resources.lake.lake import Lake
from resources.pages import Pages
from resources.records.standing import Platform, Standing
from resources.records.standing_words import headline
from resources.serving.log import ServingLogResource
from resources.serving.ray_serve import Endpoint
from resources.systems import Systems

LOOK_EVERY_S = 60
OLD = timedelta(minutes=5)
"""After so long it is written again although nothing but ages and counts is another."""


def status_sensor(
    specs: Callable[[], Mapping[str, ModelSpec]], broken: Callable[[], Mapping[str, str]]
) -> dg.SensorDefinition:
    """`keep_platform_status`: no runs; describes how the models stand and writes it down where it is another, or old."""

    @dg.sensor(
        name="keep_platform_status",
        minimum_interval_seconds=LOOK_EVERY_S,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Describe how every model stands, for the endpoint's first page and the asset platform/status.",
    )
    def sensor(
        context: dg.SensorEvaluationContext,
        lake: dg.ResourceParam[Lake],
        audit: dg.ResourceParam[Audit],
        endpoint: dg.ResourceParam[Endpoint],
        pages: dg.ResourceParam[Pages],
        clock: dg.ResourceParam[Clock],
        serving_log: dg.ResourceParam[ServingLogResource],
        alerts: dg.ResourceParam[Alerts],
    ) -> dg.SkipReason:
        if who := lake.worked_on():
            return dg.SkipReason(f"{who} is at work on this state alone")
        systems = Systems(
            lake,
            audit=audit,
            endpoint=endpoint,
            pages=pages,
            clock=clock,
            serving_log=serving_log,
            alerts=alerts,
        )
        platform = described(systems, specs(), broken(), context.instance)
        LOOKS.keep(lake, platform)
        return dg.SkipReason(brought_up(context.instance, systems, platform))

    return sensor


def brought_up(instance: dg.DagsterInstance, systems: Systems, platform: Platform) -> str:
    """Write the status where it is another or old, and an event on the asset's page where it is another; what it says."""
    before = systems.endpoint.shown_status()
    is_another = before is None or news(before.platform()) != news(platform)
    if before is None or is_another or moment_of(platform) - moment_of(before) > OLD:
        whole = tell(systems, platform, instance)
        if is_another:
            instance.report_runless_asset_event(status_event(whole))
    return headline(platform)


def news(platform: Platform) -> dict[str, Any]:
    """What is worth an event: all but ages, which change by themselves, and counts."""
    return {"waits": platform.waits, **{one.model: _news(one) for one in platform.models}}


def _news(one: Standing) -> tuple[Any, ...]:
    versions = one.champion, one.champion_since, one.rollout, one.rollout_waits
    partitions = one.newest_partition, one.quality_partition, one.quality, one.drift_partition, one.drift
    return (*versions, *partitions, one.waits, one.alerts, one.needs_hands)
