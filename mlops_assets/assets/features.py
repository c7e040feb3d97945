"""The feature store's two assets: its definitions registered, and its online store brought up to a week's end."""

import hashlib
from collections.abc import Iterator, Sequence
from datetime import datetime

import dagster as dg

from mlops_assets.metadata import markdown_table
from mlops_assets.partitions import week_bounds, weekly
from mlops_assets.spec import Weeks
from resources.feature_store import FeatureStoreResource, service_names
from resources.lake import Lake
from resources.serving import Endpoint

ONLINE = "features/online"
BASIS = "features online"


def registry() -> dg.AssetsDefinition:
    """The asset `features/registry`: what feature_repo/ defines, applied to Feast's registry."""

    @dg.asset(
        key=["features", "registry"],
        group_name="features",
        kinds={"feast"},
        description="Entities, feature views, on-demand views and services of feature_repo/, applied.",
    )
    def registry_(feature_store: FeatureStoreResource) -> Iterator[dg.MaterializeResult]:
        applied = feature_store.apply()
        versions = {name: feature_store.definition_version(name) for name in service_names()}
        digest = hashlib.sha256(repr(sorted(versions.items())).encode()).hexdigest()
        rows = [{"service": name, "definitions": version[:16]} for name, version in versions.items()]
        yield dg.MaterializeResult(
            data_version=dg.DataVersion(digest),
            metadata={"services": markdown_table(rows), "applied": str(applied)},
        )

    return registry_


def online_store(weeks: Weeks, views: Sequence[str]) -> dg.AssetsDefinition:
    """The asset `features/online`: the newest value of every entity, as of the newest week's end."""

    @dg.asset(
        key=ONLINE.split("/"),
        deps=[dg.AssetKey(["features", "registry"]), *(dg.AssetKey(["features", view]) for view in views)],
        partitions_def=weekly(weeks),
        backfill_policy=dg.BackfillPolicy.single_run(),
        group_name="features",
        kinds={"feast", "sqlite"},
        description="Feature values as the endpoint reads them. A week is written together with all later ones, so that "
        "a week ingested again never overwrites newer values.",
    )
    def online(
        context: dg.AssetExecutionContext, lake: Lake, feature_store: FeatureStoreResource, endpoint: Endpoint
    ) -> Iterator[dg.MaterializeResult]:
        content, start, end = bring_online(weeks, views, lake, feature_store, context.partition_keys)
        endpoint.advance(end)
        digest = hashlib.sha256(repr(sorted(content.items())).encode()).hexdigest()
        yield dg.MaterializeResult(
            data_version=dg.DataVersion(digest),
            metadata={"from": str(start), "up to": str(end), "views": len(views)},
        )

    return online


def bring_online(
    weeks: Weeks,
    views: Sequence[str],
    lake: Lake,
    feature_store: FeatureStoreResource,
    asked: Sequence[str],
) -> tuple[dict[str, str], datetime, datetime]:
    """Materialise some weeks and all later ones, then say in the lake which content is online."""
    content = {week: _content(lake, views, week) for week in asked}
    ready = (lake.read_json(ONLINE) or {}) | content
    start, end = week_bounds(weeks, asked[0])[0], week_bounds(weeks, max(ready))[1]
    feature_store.materialize(list(views), start, end)
    lake.write_json(ONLINE, ready)
    return content, start, end


def basis(lake: Lake, week: str) -> dict[str, str | None]:
    """Which content of the week's features a report rests on."""
    return {BASIS: (lake.read_json(ONLINE) or {}).get(week)}


def _content(lake: Lake, views: Sequence[str], week: str) -> str:
    hashes = [
        lake.manifest(
            f"features/{view}", week if lake.path(f"features/{view}", week).exists() else None
        ).sha256
        for view in views
    ]
    return hashlib.sha256("".join(hashes).encode()).hexdigest()
