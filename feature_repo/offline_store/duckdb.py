"""Feast's DuckDB offline store, reading of each feature table only what can be joined.

The stock store hashes whole tables and compares every pair of equal keys, so that a week's join costs more with
every week in the lake. Rows after the last moment asked for, or expired before the first, can never be chosen:
left out, the join of a week costs the same all year.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Literal

import ibis
import pandas as pd
from feast import FeatureView
from feast.infra.offline_stores import offline_utils
from feast.infra.offline_stores.duckdb import (
    DuckDBOfflineStore,
    DuckDBOfflineStoreConfig,
    _read_data_source,
    _write_data_source,
)
from feast.infra.offline_stores.ibis import get_historical_features_ibis
from feast.infra.offline_stores.offline_store import RetrievalJob
from feast.infra.registry.base_registry import BaseRegistry
from feast.repo_config import RepoConfig

NAME = "feature_repo.offline_store.duckdb.PruningDuckDBOfflineStore"
Reader = Callable[[Any, str], ibis.Table]


class PruningDuckDBOfflineStoreConfig(DuckDBOfflineStoreConfig):
    """The stock store's settings under this store's name."""

    type: Literal["feature_repo.offline_store.duckdb.PruningDuckDBOfflineStore"] = NAME  # type: ignore[assignment]


class PruningDuckDBOfflineStore(DuckDBOfflineStore):
    """The stock store, but for the part of the tables that a historical join reads."""

    @staticmethod
    def get_historical_features(
        config: RepoConfig,
        feature_views: list[FeatureView],
        feature_refs: list[str],
        entity_df: pd.DataFrame | str,
        registry: BaseRegistry,
        project: str,
        full_feature_names: bool = False,
        filter_by_created_timestamp: bool = False,
    ) -> RetrievalJob:
        """The stock join over pruned tables."""
        return get_historical_features_ibis(
            config=config,
            feature_views=feature_views,
            feature_refs=feature_refs,
            entity_df=entity_df,
            registry=registry,
            project=project,
            full_feature_names=full_feature_names,
            data_source_reader=_pruned(feature_views, *_span(entity_df)),
            data_source_writer=_write_data_source,
            filter_by_created_timestamp=filter_by_created_timestamp,
        )


def _span(entity_df: pd.DataFrame | str) -> tuple[datetime, datetime]:
    if isinstance(entity_df, str):
        raise TypeError("the DuckDB offline store joins a pandas frame of entities, not an SQL query")
    schema = dict(zip(entity_df.columns, entity_df.dtypes, strict=True))
    column = offline_utils.infer_event_timestamp_from_entity_df(schema)
    moments = pd.to_datetime(entity_df[column], utc=True)
    return moments.min().to_pydatetime(), moments.max().to_pydatetime()


def _pruned(views: list[FeatureView], first: datetime, last: datetime) -> Reader:
    earliest: dict[str, datetime] = {}
    for view in views:
        start = first - view.ttl if view.ttl else datetime.min.replace(tzinfo=UTC)
        path = view.batch_source.path  # type: ignore[union-attr]
        earliest[path] = min(start, earliest.get(path, start))

    def read(source: Any, repo_path: str) -> ibis.Table:
        table = _read_data_source(source, repo_path)
        moment = table[source.timestamp_field]
        rows = table.filter(moment <= ibis.literal(last))
        start = earliest[source.path]
        return rows if start.year == 1 else rows.filter(moment >= ibis.literal(start))

    return read
