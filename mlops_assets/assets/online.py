"""The online store as an asset: the newest value of every entity, brought up to a partition's end."""

import hashlib
import itertools
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from functools import partial
from typing import Any

import dagster as dg

from mlops_assets.kit.metadata import markdown_table
from mlops_assets.kit.stage import Run, stage
from mlops_assets.ml.provenance.code_digest import code_digest
from mlops_assets.spec.calendar import Calendar
from mlops_assets.spec.names import feature_table, features_group, online_key, registry_key
from mlops_assets.stages.online import (
    WRITES,
    Online,
    bring_online,
    content_of,
    of_online,
    online_content,
    reaches,
)
from resources.features.vectors import Brought
from resources.settings import settings


def online_store(use_case: str, calendar: Calendar, views: Sequence[str]) -> dg.AssetsDefinition:
    """The asset `<use case>/features/online`: the newest value of every entity, as of the newest partition's end."""

    key = online_key(use_case)

    @stage(
        key.split("/"),
        after=[registry_key(use_case), *(feature_table(use_case, view) for view in views)],
        uses=["feature_store", "endpoint"],
        calendar=calendar,
        use_case=use_case,
        group_name=features_group(use_case),
        kinds={"feast", settings().online_kind},
        code_version=code_digest(WRITES)[:12],
        description="Feature values as the endpoint reads them. A partition is written together with all later ones, so that "
        "a partition ingested again never overwrites newer values.",
    )
    def online(run: Run) -> Iterator[dg.MaterializeResult]:
        lake, feature_store, reuse = run.systems.lake, run.systems.feature_store, run.reuse
        until, recorded = feature_store.online_until(views), online_content(lake, use_case)
        for partition in run.partitions:
            decides = of_online(use_case, calendar, views, lake, feature_store, partition)
            there = partial(reaches, until, recorded, calendar.partition(partition))
            reuse.unchanged(partition, decides, there)
        content = {name: content_of(use_case, calendar, lake, views, name) for name in run.partitions}
        if reuse.to_make:
            given = (use_case, calendar, views, lake, feature_store, reuse.to_make)
            shown = online_metadata(bring_online(*given, _progress(run, views)))
        else:
            shown = run.shown_before()
        for partition in reuse.to_make:
            reuse.note(partition, content[partition])
        newest = max(online_content(lake, use_case) or content)
        run.systems.endpoint.advance(calendar.partition(newest).end, use_case)
        for partition in content:
            run.show(partition, reuse.reasons[partition])
        yield run.result(hashlib.sha256(repr(sorted(content.items())).encode()).hexdigest(), shown)

    return online


def _progress(run: Run, views: Sequence[str]) -> Callable[[Brought], None]:
    """A line in the run's log for each view, so that a long backfill shows how far it is."""
    done = itertools.count(1)

    def tell(view: Brought) -> None:
        run.log(f"{view.view}: {view.rows:,} keys online, {next(done)} of {len(views)} views")

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
