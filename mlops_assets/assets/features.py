"""The feature store's two assets: its definitions registered, and its online store brought up to a week's end."""

import hashlib
import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import dagster as dg

from mlops_assets.costs import costed
from mlops_assets.metadata import markdown_table
from mlops_assets.partitions import week_bounds, weekly
from mlops_assets.spec import Weeks
from resources.feature_store import FeatureStoreResource, service_names
from resources.lake import Lake
from resources.online_features import Brought
from resources.serving import Endpoint
from resources.settings import settings

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
    @costed
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
        kinds={"feast", settings().online_kind},
        description="Feature values as the endpoint reads them. A week is written together with all later ones, so that "
        "a week ingested again never overwrites newer values.",
    )
    @costed
    def online(
        context: dg.AssetExecutionContext, lake: Lake, feature_store: FeatureStoreResource, endpoint: Endpoint
    ) -> Iterator[dg.MaterializeResult]:
        done = bring_online(weeks, views, lake, feature_store, context.partition_keys, _told(context, views))
        endpoint.advance(done.end)
        digest = hashlib.sha256(repr(sorted(done.content.items())).encode()).hexdigest()
        yield dg.MaterializeResult(
            data_version=dg.DataVersion(digest),
            metadata={
                "from": str(done.start),
                "up to": str(done.end),
                "dagster/row_count": sum(view.rows for view in done.views),
                "views": markdown_table([_row(view, done.end) for view in done.views]),
            },
        )

    return online


@dataclass(frozen=True)
class Online:
    """What a run brought online: content by week, the span that was asked for, and what happened to each view."""

    content: dict[str, str]
    start: datetime
    end: datetime
    views: list[Brought]


def bring_online(
    weeks: Weeks,
    views: Sequence[str],
    lake: Lake,
    feature_store: FeatureStoreResource,
    asked: Sequence[str],
    progress: Callable[[Brought], Any] | None = None,
) -> Online:
    """Materialise some weeks and all later ones, then say in the lake which content is online."""
    content = {week: _content(lake, views, week) for week in asked}
    ready = (lake.read_json(ONLINE) or {}) | content
    start, end = week_bounds(weeks, asked[0])[0], week_bounds(weeks, max(ready))[1]
    brought = feature_store.materialize(list(views), start, end, progress)
    lake.write_json(ONLINE, ready)
    return Online(content, start, end, brought)


def _told(context: dg.AssetExecutionContext, views: Sequence[str]) -> Callable[[Brought], None]:
    """A line in the run's log for each view, so that a long backfill shows how far it is."""
    done = itertools.count(1)

    def tell(view: Brought) -> None:
        context.log.info(f"{view.view}: {view.rows:,} keys online, {next(done)} of {len(views)} views")

    return tell


def _row(view: Brought, moment: datetime) -> dict[str, Any]:
    return {
        "view": view.view,
        "keys": view.rows,
        "removed": view.removed,
        "newest event": str(view.newest or "none"),
        "lag": str(moment - view.newest) if view.newest else "",
    }


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
