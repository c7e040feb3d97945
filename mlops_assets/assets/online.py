"""The online store as an asset: the newest value of every entity, brought up to a week's end."""

import hashlib
import itertools
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from functools import partial
from typing import Any

import dagster as dg

from mlops_assets.kit.costs import costed
from mlops_assets.kit.metadata import markdown_table
from mlops_assets.kit.partitions import weekly
from mlops_assets.kit.reuse import Reuse
from mlops_assets.ml.provenance.code_digest import code_digest
from mlops_assets.spec.model import Weeks
from mlops_assets.spec.weeks import week_bounds
from mlops_assets.stages.online import ONLINE, WRITES, Online, _content, bring_online, of_online, reaches
from resources.features.store import FeatureStoreResource
from resources.features.vectors import Brought
from resources.lake.lake import Lake
from resources.serving.ray_serve import Endpoint
from resources.settings import settings


def online_store(weeks: Weeks, views: Sequence[str]) -> dg.AssetsDefinition:
    """The asset `features/online`: the newest value of every entity, as of the newest week's end."""

    @dg.asset(
        key=ONLINE.split("/"),
        deps=[dg.AssetKey(["features", "registry"]), *(dg.AssetKey(["features", view]) for view in views)],
        partitions_def=weekly(weeks),
        backfill_policy=dg.BackfillPolicy.single_run(),
        group_name="features",
        kinds={"feast", settings().online_kind},
        code_version=code_digest(WRITES)[:12],
        description="Feature values as the endpoint reads them. A week is written together with all later ones, so that "
        "a week ingested again never overwrites newer values.",
    )
    @costed
    def online(
        context: dg.AssetExecutionContext, lake: Lake, feature_store: FeatureStoreResource, endpoint: Endpoint
    ) -> Iterator[dg.MaterializeResult]:
        reuse, until = Reuse.of(context, lake, ONLINE), feature_store.online_until(views)
        for week in context.partition_keys:
            decides = of_online(weeks, views, lake, feature_store, week)
            reuse.unchanged(week, decides, partial(reaches, until, week_bounds(weeks, week)[1]))
        content = {week: _content(lake, views, week) for week in context.partition_keys}
        if reuse.to_make:
            done = bring_online(weeks, views, lake, feature_store, reuse.to_make, _told(context, views))
            for week in reuse.to_make:
                reuse.made(week, content[week])
            shown = online_metadata(done)
        else:
            shown = reuse.shown_before(context)
        endpoint.advance(week_bounds(weeks, max(lake.read_json(ONLINE) or content))[1])
        for week in content:
            context.add_asset_metadata(reuse.reasons[week], partition_key=week)
        yield dg.MaterializeResult(
            data_version=dg.DataVersion(hashlib.sha256(repr(sorted(content.items())).encode()).hexdigest()),
            metadata=shown | reuse.counts(),
        )
        reuse.remember()

    return online


def _told(context: dg.AssetExecutionContext, views: Sequence[str]) -> Callable[[Brought], None]:
    """A line in the run's log for each view, so that a long backfill shows how far it is."""
    done = itertools.count(1)

    def tell(view: Brought) -> None:
        context.log.info(f"{view.view}: {view.rows:,} keys online, {next(done)} of {len(views)} views")

    return tell


def online_metadata(done: Online) -> dict[str, Any]:
    """What the asset page shows of a run: the span, and what happened to each view."""
    return {
        "from": str(done.start),
        "up to": str(done.end),
        "dagster/row_count": sum(view.rows for view in done.views),
        "views": markdown_table([_row(view, done.end) for view in done.views]),
    }


def _row(view: Brought, moment: datetime) -> dict[str, Any]:
    return {
        "view": view.view,
        "keys": view.rows,
        "removed": view.removed,
        "newest event": str(view.newest or "none"),
        "lag": str(moment - view.newest) if view.newest else "",
    }
