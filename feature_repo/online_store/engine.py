"""Feast's materialisation, from the offline store's Arrow table to the online store's bytes without a row in between.

Named in feature_store.yaml as `batch_engine`, it makes `FeatureStore.materialize` itself fast. What a view computes
(transformations, aggregations, validation) is computed by Feast's local engine, whose last step alone is replaced.
"""

from datetime import datetime
from typing import Any

import pyarrow as pa
from feast.infra.common.materialization_job import MaterializationJobStatus, MaterializationTask
from feast.infra.compute_engines.dag.node import DAGNode
from feast.infra.compute_engines.local.arrow_table_value import ArrowTableValue
from feast.infra.compute_engines.local.compute import LocalComputeEngine
from feast.infra.compute_engines.local.feature_builder import LocalFeatureBuilder
from feast.infra.compute_engines.local.job import LocalMaterializationJob
from feast.infra.compute_engines.local.local_node import LocalNode
from feast.infra.registry.base_registry import BaseRegistry
from feast.repo_config import FeastConfigBaseModel
from feast.utils import _get_column_names

from .writing import Brought, BulkWrites, Progress


class BulkEngineConfig(FeastConfigBaseModel):
    """The engine has no settings."""

    type: str = f"{__name__}.BulkEngine"


class BulkEngine(LocalComputeEngine):
    """Reads each key's newest row, writes all of them at once."""

    def _materialize_one(
        self, registry: BaseRegistry, task: MaterializationTask, **kwargs: Any
    ) -> LocalMaterializationJob:
        name = f"{task.feature_view.name}-{task.start_time}-{task.end_time}"
        try:
            table = self._table(registry, task)
            if task.feature_view.online:
                self._write(task, table)
            if task.feature_view.offline:
                self.offline_store.offline_write_batch(self.repo_config, task.feature_view, table, None)
        except Exception as error:  # noqa: BLE001 - Feast takes errors from the job, and raises them
            return LocalMaterializationJob(name, MaterializationJobStatus.ERROR, error)
        return LocalMaterializationJob(name, MaterializationJobStatus.SUCCEEDED)

    def bring_up(
        self,
        registry: BaseRegistry,
        project: str,
        view: Any,
        start: datetime,
        end: datetime,
        progress: Progress = None,
    ) -> Brought:
        """Bring a view up to `end`, as `BulkWrites.bring_up` has it, from the offline store."""

        def pull(first: datetime, last: datetime) -> pa.Table:
            return self._table(registry, MaterializationTask(project, view, first, last))

        return self._store().bring_up(self.repo_config, view, pull, start, end, progress)

    def restate(
        self, registry: BaseRegistry, project: str, view: Any, gone: pa.Table, others: pa.Table
    ) -> None:
        """Take rows that are gone from a view's history out of the store, as `BulkWrites.restate` has it."""

        def pull(first: datetime, last: datetime) -> pa.Table:
            return self._table(registry, MaterializationTask(project, view, first, last))

        self._store().restate(self.repo_config, view, pull, gone, others)

    def reached(self, view: Any) -> datetime | None:
        """Up to when a view is online, by the store's own word."""
        return self._store().reached(self.repo_config, view)

    def _store(self) -> BulkWrites:
        if not isinstance(self.online_store, BulkWrites):
            raise TypeError(
                f"BulkEngine writes to BulkSqliteOnlineStore or BulkRedisOnlineStore and the online store is "
                f"{type(self.online_store).__name__}: name one of them in feature_store.yaml, or leave batch_engine out"
            )
        return self.online_store

    def _write(self, task: MaterializationTask, table: pa.Table) -> None:
        bar = task.tqdm_builder(table.num_rows) if task.tqdm_builder else None
        self._store().write_table(self.repo_config, task.feature_view, table, bar.update if bar else None)
        if bar:
            bar.close()

    def _table(self, registry: BaseRegistry, task: MaterializationTask) -> pa.Table:
        """The view's columns, under its own names, of rows in the window; at least the newest of each key."""
        if _is_plain(task.feature_view):
            return _newest(self, registry, task)
        builder = _Builder(registry, task, self._get_backend(self.get_execution_context(registry, task)))
        done = builder.build().execute(self.get_execution_context(registry, task))
        return done.data


def _is_plain(view: Any) -> bool:
    computed = ("feature_transformation", "aggregations", "enable_validation", "filter", "source_views")
    return view.batch_source is not None and not any(getattr(view, name, None) for name in computed)


def _newest(engine: BulkEngine, registry: BaseRegistry, task: MaterializationTask) -> pa.Table:
    view, source = task.feature_view, task.feature_view.batch_source
    assert source is not None
    entities = [registry.get_entity(name, task.project) for name in view.entities]
    join_keys, features, time, created = _get_column_names(view, entities)
    pulled = engine.offline_store.pull_latest_from_table_or_query(
        config=engine.repo_config,
        data_source=source,
        join_key_columns=join_keys,
        feature_name_columns=features,
        timestamp_field=time,
        created_timestamp_column=created,
        start_date=task.start_time,
        end_date=task.end_time,
    ).to_arrow()
    mapping = source.field_mapping or {}
    return pulled.rename_columns([mapping.get(name, name) for name in pulled.column_names])


class _Builder(LocalFeatureBuilder):
    """Feast's plan for a view, ending in its table."""

    def build_output_nodes(self, view: Any, input_node: DAGNode) -> Any:
        node = _Table("output", inputs=[input_node])
        self.nodes.append(node)
        return node


class _Table(LocalNode):
    """The last step: hands its input on."""

    def execute(self, context: Any) -> ArrowTableValue:
        return ArrowTableValue(data=self.get_single_table(context).data)
