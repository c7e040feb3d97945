"""A slow but right offline store of its own, and the same with one mistake: what the suite must catch.

It shares no line with the oracle (it sorts where the oracle loops) or with the polars store, so that a mutant which
the suite lets pass is a hole in the generated timelines, not in a comparison of a thing with itself.
"""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal

import pandas as pd
import pyarrow as pa
import pyarrow.feather as feather
import pyarrow.parquet as pq
from feast.infra.offline_stores.dask import DaskOfflineStore, DaskOfflineStoreConfig, DaskRetrievalJob
from feast.infra.offline_stores.offline_store import RetrievalJob
from feast.infra.offline_stores.offline_utils import infer_event_timestamp_from_entity_df
from feast.on_demand_feature_view import OnDemandFeatureView

from tests.feature_repo.offline_oracle.mutations import MUTATIONS, RIGHT, Mutation

TYPE = "tests.feature_repo.offline_oracle.standin.StandInOfflineStore"
SCALE = {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}


class StandInOfflineStoreConfig(DaskOfflineStoreConfig):
    """Which mutation is at work."""

    type: Literal["tests.feature_repo.offline_oracle.standin.StandInOfflineStore"] = TYPE  # type: ignore[assignment]
    mutation: str = RIGHT


class StandInOfflineStore(DaskOfflineStore):
    """Sorts each key's rows by (event, created, place) and bisects."""

    @staticmethod
    def get_historical_features(
        config: Any,
        feature_views: list,
        feature_refs: list[str],
        entity_df: Any,
        registry: Any,
        project: str,
        full_feature_names: bool = False,
        filter_by_created_timestamp: bool = False,
    ) -> RetrievalJob:
        """The entity frame with each view's features."""
        mutation = MUTATIONS[config.offline_store.mutation]
        moment = infer_event_timestamp_from_entity_df(
            dict(zip(entity_df.columns, entity_df.dtypes, strict=True))
        )
        rows = _rows(pa.Table.from_pandas(entity_df, preserve_index=False))
        latest = max((row[moment] for row in rows if row[moment] is not None), default=0)
        unit = entity_df[moment].dtype.unit
        for view in feature_views:
            shown = view.projection.name_to_use()
            names = [ref.split(":")[1] for ref in feature_refs if ref.split(":")[0] == shown]
            join = _Join(view, mutation, filter_by_created_timestamp, latest, unit)
            for row in rows:
                values = join.values(row, row[moment], names)
                row.update({f"{shown}__{n}" if full_feature_names else n: values[n] for n in names})
        on_demand = OnDemandFeatureView.get_requested_odfvs(feature_refs, project, registry)
        return StandInJob(
            mutation.rows(rows), moment, unit, full_feature_names, str(config.repo_path), on_demand
        )


class _Join:
    """One view's rows by key, sorted, and the choice among them."""

    def __init__(self, view: Any, mutation: Mutation, by_then: bool, latest: int, unit: str) -> None:
        self.view, self.mutation, self.latest = view, mutation, latest
        source = view.batch_source
        self.created = source.created_timestamp_column
        self.by_then = by_then and bool(self.created) and not mutation.filter_ignored
        files = sorted(Path("/").glob(source.path.lstrip("/")))
        stored = pa.concat_tables([_stored(file) for file in files])
        event = source.timestamp_field
        self.step = min(SCALE[stored.schema.field(event).type.unit], SCALE[unit])
        rows = _rows(stored.rename_columns([source.field_mapping.get(n, n) for n in stored.column_names]))
        self.keys = [entity.name for entity in view.entity_columns]
        self.histories: dict[tuple, list[tuple]] = {}
        for place, row in enumerate(rows):
            if row[event] is not None:
                rank = mutation.rank(row.get(self.created))
                entry = (row[event], rank, mutation.place(place), row)
                self.histories.setdefault(self.key(row, self.keys), []).append(entry)
        for history in self.histories.values():
            history.sort(key=lambda entry: entry[:3])

    def key(self, row: dict, names: list[str]) -> tuple:
        """The row's key."""
        return tuple(row[name] for name in (names[:1] if self.mutation.first_part_only else names))

    def chosen(self, asked: dict, at: int | None) -> Iterator[dict]:
        """The usable rows, the one to use first."""
        alias = {} if self.mutation.alias_ignored else self.view.projection.join_key_map or {}
        key = self.key(asked, [alias.get(name, name) for name in self.keys])
        if at is None or (None in key and not self.mutation.nulls_match):
            return
        history = self.histories.get(key, [])
        end = self.mutation.find([entry[0] for entry in history], at + self.mutation.later * self.step)
        for event, _, _, row in reversed(history[:end]):
            if self.expired(event, at):
                return
            if self.known(row, at):
                yield row
            elif self.mutation.filter_after_choice:
                return

    def expired(self, event: int, at: int) -> bool:
        """Whether a row of that moment is too old to use."""
        ttl = self.mutation.ttl_of(round((self.view.ttl or timedelta(0)) / timedelta(microseconds=1)) * 1000)
        now = self.latest if self.mutation.ttl_per_batch else at
        return bool(ttl) and event < now - ttl - self.mutation.ttl_more * self.step

    def known(self, row: dict, at: int) -> bool:
        """Whether the row was known at the moment, where that is asked."""
        if not self.by_then:
            return True
        created = row[self.created]
        if created is None:
            return self.mutation.filter_null_known
        return created < at if self.mutation.filter_open else created <= at

    def values(self, asked: dict, at: int | None, names: list[str]) -> dict:
        """The features of the entity row."""
        rows = list(self.chosen(asked, at))
        if not rows:
            return dict.fromkeys(names)
        if not self.mutation.fills_nulls:
            return rows[0]
        return {n: next((row[n] for row in rows if row[n] is not None), None) for n in names}


class StandInJob(DaskRetrievalJob):
    """Rows that are already there."""

    def __init__(
        self, rows: list[dict], moment: str, unit: str, full_names: bool, repo_path: str, on_demand: list
    ) -> None:
        super().__init__(lambda: None, full_names, repo_path, on_demand)
        self._rows, self._moment, self._unit = rows, moment, unit

    def _to_arrow_internal(self, timeout: int | None = None) -> pa.Table:
        columns = {name: [row[name] for row in self._rows] for name in self._rows[0]}
        whole = [None if at is None else at // SCALE[self._unit] for at in columns.pop(self._moment)]
        moments = pa.array(whole, pa.timestamp(self._unit, "UTC"))
        return pa.table(columns).append_column(self._moment, moments)

    def _to_df_internal(self, timeout: int | None = None) -> pd.DataFrame:
        return self._to_arrow_internal().to_pandas()


def _stored(path: Path) -> pa.Table:
    return feather.read_table(path) if path.suffix == ".arrow" else pq.read_table(path)


def _rows(table: pa.Table) -> list[dict]:
    """Rows as dicts, instants in nanoseconds."""
    columns = {}
    for name in table.column_names:
        column = table.column(name)
        if pa.types.is_timestamp(column.type):
            columns[name] = [
                None if v is None else v * SCALE[column.type.unit]
                for v in column.cast(pa.int64()).to_pylist()
            ]
        else:
            columns[name] = [None if v != v else v for v in column.to_pylist()]
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
