"""The class that feature_store.yaml names: Feast's offline-store interface over the polars join."""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, Literal

import polars as pl
import pyarrow as pa
from feast import FeatureView
from feast.data_source import DataSource
from feast.feature_logging import LoggingConfig, LoggingSource
from feast.feature_view import DUMMY_ENTITY_ID, DUMMY_ENTITY_VAL
from feast.infra.offline_stores.file_source import FileLoggingDestination
from feast.infra.offline_stores.offline_store import OfflineStore, RetrievalMetadata
from feast.infra.registry.base_registry import BaseRegistry
from feast.on_demand_feature_view import OnDemandFeatureView
from feast.repo_config import FeastConfigBaseModel, RepoConfig
from feast.utils import compute_non_entity_date_range
from feast.value_type import ValueType

from .asking import EntityRows, ViewRequest
from .entities import entity_rows, with_moments
from .files import files_of, place
from .job import PolarsRetrievalJob
from .join import joined
from .on_demand import declared_only
from .pull import all_rows, latest_rows, seen_keys, with_zone
from .requests import RequestError, check, place_of, renamed, view_requests, view_source
from .sources import Source, parts
from .writes import append, write_logs


class PolarsOfflineStoreConfig(FeastConfigBaseModel):
    """Settings of the store in feature_store.yaml."""

    type: str = f"{__name__}.PolarsOfflineStore"
    engine: Literal["local", "ray"] = "local"
    """Where historical features are joined: in this process, or on the Ray cluster that it is connected to."""
    partitions: int | None = None
    """Into how many parts the engine `ray` cuts keys; without it twice the cluster's CPUs."""


class PolarsOfflineStore(OfflineStore):
    """Point-in-time joins in polars and numpy over parquet and Arrow IPC; the package says which row is chosen."""

    supports_filter_by_created_timestamp = True

    @staticmethod
    def get_historical_features(
        config: RepoConfig,
        feature_views: list[FeatureView],
        feature_refs: list[str],
        entity_df: Any,
        registry: BaseRegistry,
        project: str,
        full_feature_names: bool = False,
        **options: Any,
    ) -> PolarsRetrievalJob:
        """The features of every entity row as they were known at its timestamp.

        `entity_df` is a pandas or polars frame or an Arrow table. Without it, `start_date` and `end_date` ask as of
        the end for every key with a row in between. `filter_by_created_timestamp` leaves out what was created later.
        """
        on_demand = OnDemandFeatureView.get_requested_odfvs(feature_refs, project, registry)
        requests = view_requests(feature_views, feature_refs, full_feature_names, config.repo_path)
        rows = (
            _without_entities(requests, feature_views, options)
            if entity_df is None
            else entity_rows(entity_df)
        )
        check(rows, requests)
        rows = _with_request_data(rows, on_demand)
        first, last = rows.bounds
        only_known = bool(options.get("filter_by_created_timestamp"))
        return PolarsRetrievalJob(
            partial(_engine(config), rows, requests, only_known),
            config.repo_path,
            full_feature_names,
            declared_only(on_demand, requests),
            RetrievalMetadata(
                features=feature_refs,
                keys=[name for name in rows.table.column_names if name != rows.time],
                min_event_timestamp=first,
                max_event_timestamp=last,
            ),
        )

    @staticmethod
    def pull_latest_from_table_or_query(
        config: RepoConfig,
        data_source: DataSource,
        join_key_columns: list[str],
        feature_name_columns: list[str],
        timestamp_field: str,
        created_timestamp_column: str | None,
        start_date: datetime | None = None,
        end_date: datetime | None = None,
    ) -> PolarsRetrievalJob:
        """The newest row of every key with `start_date <= event timestamp <= end_date`."""
        keys = [key for key in join_key_columns if key != DUMMY_ENTITY_ID]
        columns = (keys, feature_name_columns, timestamp_field, created_timestamp_column)
        source = _pulled(config, data_source, *columns)

        def evaluate() -> pa.Table:
            table = with_zone(latest_rows(source, start_date, end_date), source).to_arrow()
            return table if keys else _with_dummy(table)

        return PolarsRetrievalJob(evaluate, config.repo_path)

    @staticmethod
    def pull_all_from_table_or_query(
        config: RepoConfig,
        data_source: DataSource,
        join_key_columns: list[str],
        feature_name_columns: list[str],
        timestamp_field: str,
        created_timestamp_column: str | None = None,
        start_date: datetime | None = None,
        end_date: datetime | None = None,
    ) -> PolarsRetrievalJob:
        """Every row with `start_date <= event timestamp <= end_date`, in source order."""
        keys = [key for key in join_key_columns if key != DUMMY_ENTITY_ID]
        columns = (keys, feature_name_columns, timestamp_field, created_timestamp_column)
        source = _pulled(config, data_source, *columns)

        def evaluate() -> pa.Table:
            table = with_zone(all_rows(source, start_date, end_date), source).to_arrow()
            return _with_dummy(table) if len(keys) < len(join_key_columns) else table

        return PolarsRetrievalJob(evaluate, config.repo_path)

    @staticmethod
    def write_logged_features(
        config: RepoConfig,
        data: pa.Table | Path,
        source: LoggingSource,
        logging_config: LoggingConfig,
        registry: BaseRegistry,
    ) -> None:
        """Add logged features to the destination's folder."""
        destination = logging_config.destination
        if not isinstance(destination, FileLoggingDestination):
            raise RequestError(
                f"logs of this store go to FileLoggingDestination, not {type(destination).__name__}"
            )
        table = pl.read_parquet(data, glob=False).to_arrow() if isinstance(data, Path) else data
        missing = [name for name in source.get_schema(registry).names if name not in table.column_names]
        if missing:
            raise RequestError(
                f"the logs lack {', '.join(missing)}, which the service has; nothing is written"
            )
        where = place(destination.path, config.repo_path, destination.s3_endpoint_override)
        write_logs(where, table, list(destination.partition_by or []))

    @staticmethod
    def offline_write_batch(
        config: RepoConfig,
        feature_view: FeatureView,
        table: pa.Table,
        progress: Callable[[int], Any] | None,
    ) -> None:
        """Add rows to a view's source, as a new file beside those that are there."""
        features = [field.name for field in feature_view.features]
        source = view_source(feature_view, features, config.repo_path)
        column = renamed(feature_view.batch_source) if feature_view.batch_source else {}
        append(source, table.rename_columns([column.get(name, name) for name in table.column_names]))
        if progress:
            progress(table.num_rows)

    def validate_data_source(self, config: RepoConfig, data_source: DataSource) -> None:  # type: ignore[override]
        """Refuse a source whose files lack its timestamps or cannot be read; one without a file yet is accepted."""
        name = f"source {data_source.name!r}"
        where = place_of(data_source, name, config.repo_path)
        if files_of(where):
            created = data_source.created_timestamp_column or None
            parts(Source(name, where, str(data_source.timestamp_field), created))

    def get_table_column_names_and_types_from_data_source(
        self, config: RepoConfig, data_source: DataSource
    ) -> Iterable[tuple[str, str]]:
        """Names and Arrow types of the columns of all files of a source."""
        name = f"source {data_source.name!r}"
        where = place_of(data_source, name, config.repo_path)
        files = parts(Source(name, where, data_source.timestamp_field))
        fields = {field.name: str(field.type) for part in reversed(files) for field in part.footer.schema}
        return [
            (column, fields[column]) for column in dict.fromkeys([*files[0].footer.schema.names, *fields])
        ]


def _engine(config: RepoConfig) -> Callable[[EntityRows, Sequence[ViewRequest], bool], pa.Table]:
    settings: Any = config.offline_store
    if settings.engine == "local":
        return joined
    from .ray_join import joined_on_ray

    return partial(joined_on_ray, partitions=settings.partitions)


def _without_entities(
    requests: Sequence[ViewRequest], views: Sequence[FeatureView], options: dict[str, Any]
) -> EntityRows:
    start, end = compute_non_entity_date_range(
        list(views), start_date=options.get("start_date"), end_date=options.get("end_date")
    )
    return entity_rows(seen_keys(requests, start, end))


def _with_request_data(rows: EntityRows, on_demand: Sequence[OnDemandFeatureView]) -> EntityRows:
    """The rows, with what is request data and declared to be a moment in UTC."""
    kinds: dict[str, ValueType] = {}
    for view in on_demand:
        declared = view.get_request_data_schema()
        missing = [name for name in declared if name not in rows.table.column_names]
        if missing:
            raise RequestError(
                f"the entity rows lack {', '.join(missing)}, from which on-demand view {view.name!r} is computed"
            )
        kinds |= declared
    moments = [name for name, kind in kinds.items() if kind == ValueType.UNIX_TIMESTAMP and name != rows.time]
    return with_moments(rows, moments)


def _pulled(
    config: RepoConfig,
    data: DataSource,
    keys: Sequence[str],
    features: Sequence[str],
    timestamp: str,
    created: str | None,
) -> Source:
    name = data.name or "source"
    where = place_of(data, f"source {name!r}", config.repo_path)
    return Source(name, where, timestamp, created or None, tuple(keys), tuple(features))


def _with_dummy(table: pa.Table) -> pa.Table:
    return table.append_column(DUMMY_ENTITY_ID, pa.array([DUMMY_ENTITY_VAL] * table.num_rows, pa.string()))
