"""What a joined partition rests on: rows of the prediction table, feature rows within reach, and the views' definitions."""

import json
from collections.abc import Callable
from dataclasses import asdict
from datetime import datetime

import polars as pl

from mlops_assets.spec.calendar import Partition
from mlops_assets.spec.model import ModelSpec
from mlops_assets.stages.held import reaching
from resources.features.store import FeatureStoreResource
from resources.lake.lake import Lake
from resources.lake.observed import partition_name
from resources.lake.pushed_span import part_now

VIEW, PUSHED_ROWS = "view ", "pushed rows"
"""How a feature view's definition is named among partitions, and the partition that stands for rows that were pushed."""


def joined_from(
    spec: ModelSpec,
    lake: Lake,
    feature_store: FeatureStoreResource,
    span: Partition,
    joined: pl.DataFrame,
    content: Callable[[str, str], str],
) -> dict[str, str]:
    """Names of all that may have had a say in a partition, with hashes; pushed rows with what tells them from later ones.

    `content` gives the hash of a table's partition as its file is now, `Lake.hash`, for partitions joined at once.
    """
    table, time = spec.prediction.table, joined[spec.prediction.time]
    first, last = (time.min() or span.start), (time.max() or span.end)
    assert isinstance(first, datetime) and isinstance(last, datetime)
    hashes = {partition_name(table, span.name): content(table, span.name)}
    for view in feature_store.view_tables(spec.feature_service):
        since = first - view.ttl if view.ttl else None
        for name in reaching(lake, view.table, spec.calendar, since, span.start):
            hashes[partition_name(view.table, name)] = content(view.table, name)
        if pushed := part_now(lake.folder(view.table), since, last):
            hashes[partition_name(view.table, PUSHED_ROWS)] = json.dumps(asdict(pushed), sort_keys=True)
    described = feature_store.describe(spec.feature_service).views
    return hashes | {f"{VIEW}{view.name}": view.definition for view in described}
