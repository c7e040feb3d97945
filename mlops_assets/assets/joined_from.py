"""What a joined week rests on: rows of the prediction table, feature rows within reach, and the views' definitions."""

from datetime import datetime

import polars as pl

from mlops_assets.partitions import Week, week_bounds
from mlops_assets.spec import ModelSpec
from resources.feature_store import FeatureStoreResource, ViewSource
from resources.lake import WHOLE, Lake
from resources.observed_lake import partition_name

VIEW = "view "
"""How the name of a feature view's definition begins among the names of partitions."""


def joined_from(
    spec: ModelSpec, lake: Lake, feature_store: FeatureStoreResource, span: Week, joined: pl.DataFrame
) -> dict[str, str]:
    """Names of partitions, files of pushed rows and feature views that may have had a say in a week, with their hashes."""
    table, time = spec.prediction.table, joined[spec.prediction.time]
    first, last = (time.min() or span.start), (time.max() or span.end)
    assert isinstance(first, datetime) and isinstance(last, datetime)
    names = [(table, span.name)]
    for view in feature_store.view_tables(spec.feature_service):
        names += [(view.table, name) for name in _within_reach(spec, lake, view, span, first)]
        names += [(view.table, name) for name in _pushed(lake, view, first, last)]
    described = feature_store.describe(spec.feature_service).views
    return {
        **{partition_name(*name): lake.hash(*name) for name in names},
        **{f"{VIEW}{view.name}": view.definition for view in described},
    }


def _within_reach(spec: ModelSpec, lake: Lake, view: ViewSource, span: Week, first: datetime) -> list[str]:
    """Partitions up to the week that end after the oldest moment at which a row may have had its value."""
    since = first - view.ttl if view.ttl else None
    there = [name for name in lake.partitions(view.table) if name == WHOLE or name <= span.name]
    return [n for n in there if n == WHOLE or since is None or week_bounds(spec.weeks, n)[1] > since]


def _pushed(lake: Lake, view: ViewSource, first: datetime, last: datetime) -> list[str]:
    """Files of pushed rows of which at least one may have been the value of a row."""
    since = first - view.ttl if view.ttl else None
    found = []
    for path in lake.pushed(view.table):
        moments = pl.read_parquet(path, columns=["event_timestamp"], glob=False).to_series()
        reaches = moments <= last if since is None else moments.is_between(since, last)
        found += [path.stem] if reaches.any() else []
    return found
