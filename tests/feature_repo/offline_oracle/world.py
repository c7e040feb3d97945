"""A small feature store in a folder: parquet sources, views and an entity frame, asked through Feast's own objects."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.feather as feather
import pyarrow.parquet as pq
from feast import (
    Entity,
    FeatureService,
    FeatureStore,
    FeatureView,
    Field,
    FileSource,
    OnDemandFeatureView,
    RepoConfig,
    ValueType,
)
from feast.infra.offline_stores.offline_store import RetrievalJob
from feast.type_map import pa_to_feast_value_type
from feast.types import from_value_type

from tests.feature_repo.offline_oracle.oracle import Nanoseconds, Row

SECOND = 1_000_000_000
MINUTE, HOUR, DAY = 60 * SECOND, 3600 * SECOND, 86400 * SECOND
PER_UNIT = {"s": SECOND, "ms": 1_000_000, "us": 1_000, "ns": 1}
OURS = "feature_repo.offline_store.store.PolarsOfflineStore"


@dataclass(frozen=True)
class View:
    """A feature view and the rows of its parquet source, which is written as `files` files in this order."""

    name: str
    keys: dict[str, pa.DataType]
    features: dict[str, pa.DataType]
    rows: list[Row]
    ttl: timedelta | None = timedelta(0)
    created: bool = False
    unit: str = "us"
    zone: str | None = "UTC"
    created_unit: str = "us"
    files: int = 1
    arrow: bool = False
    alias: str | None = None
    alias_keys: dict[str, str] = field(default_factory=dict)
    mapping: dict[str, str] = field(default_factory=dict)
    stamps: tuple[str, str] = ("event_timestamp", "created")
    unasked: dict[str, pa.DataType] = field(default_factory=dict)
    """Features of the view that are not asked for."""

    @property
    def ending(self) -> str:
        """The ending of its files' names."""
        return ".arrow" if self.arrow else ".parquet"

    @property
    def pattern(self) -> str:
        """What the source's path ends in: its file, or a pattern where it has several."""
        return f"{'*' if self.files > 1 else 'part-000'}{self.ending}"

    @property
    def shown(self) -> str:
        """The name under which the view's features are asked for."""
        return self.alias or self.name

    @property
    def asked_keys(self) -> list[str]:
        """The entity frame's columns that hold the join keys."""
        return [self.alias_keys.get(key, key) for key in self.keys]

    @property
    def ttl_ns(self) -> Nanoseconds:
        """The time to live in nanoseconds, 0 for ever."""
        ttl = self.ttl or timedelta(0)
        return (ttl.days * 86400 + ttl.seconds) * SECOND + ttl.microseconds * 1000

    @property
    def stored(self) -> dict[str, str]:
        """The columns' names in the file, by their names here."""
        event, created = self.stamps
        return {shown: stored for stored, shown in self.mapping.items()} | {
            "event_timestamp": event,
            "created": created,
        }


@dataclass(frozen=True)
class Entities:
    """The entity frame: its key and other columns, and its moments as nanoseconds."""

    columns: dict[str, Any]
    at: list[Nanoseconds | None]
    unit: str = "ns"
    zone: str | None = "UTC"
    moment: str = "event_timestamp"
    style: str = "datetime"
    index: list[Any] | None = None

    def frame(self) -> pd.DataFrame:
        """The frame as a user would hand it to Feast."""
        columns = self.columns | {self.moment: self._moments()}
        frame = pd.DataFrame({name: _series(values) for name, values in columns.items()})
        return frame if self.index is None else frame.set_axis(self.index, axis=0)

    def _moments(self) -> pd.Series:
        moments = pd.Series(pd.DatetimeIndex(instants(self.at, self.unit)))
        if self.zone:
            moments = moments.dt.tz_localize("UTC").dt.tz_convert(self.zone)
        if self.style == "text":
            return moments.map(lambda m: m.isoformat())
        return moments.astype(object) if self.style == "object" else moments


@dataclass(frozen=True)
class World:
    """Views and a question to all of them."""

    views: list[View]
    entities: Entities
    full_names: bool = False
    created_by_then: bool = False
    on_demand: Callable[[dict[str, FeatureView]], OnDemandFeatureView] | None = None
    computed: Callable[[dict[str, Any]], dict[str, Any]] | None = None

    def column(self, view: View, feature: str) -> str:
        """The result's column of a feature."""
        return f"{view.shown}__{feature}" if self.full_names else feature


def _series(values: Any) -> pd.Series:
    return values if isinstance(values, pd.Series) else pd.Series(values)


def instants(nanoseconds: list[Nanoseconds | None], unit: str) -> np.ndarray:
    """Datetimes of that unit; what it cannot hold exactly is an error of the caller."""
    assert all(n is None or n % PER_UNIT[unit] == 0 for n in nanoseconds)
    numbers = [np.iinfo(np.int64).min if n is None else n // PER_UNIT[unit] for n in nanoseconds]
    return np.array(numbers, dtype=np.int64).view(f"datetime64[{unit}]")


def source_table(view: View) -> pa.Table:
    """The view's rows as they lie in its file."""
    columns = {}
    for place, (key, dtype) in enumerate(view.keys.items()):
        columns[key] = pa.array([row.key[place] for row in view.rows], dtype)
    events = instants([row.event for row in view.rows], view.unit)
    columns["event_timestamp"] = pa.array(events, pa.timestamp(view.unit), from_pandas=True)
    if view.created:
        created = instants([row.created for row in view.rows], view.created_unit)
        columns["created"] = pa.array(created, pa.timestamp(view.created_unit), from_pandas=True)
    for moment in set(columns) & {"event_timestamp", "created"}:
        zoned = pa.timestamp(columns[moment].type.unit, view.zone)
        columns[moment] = columns[moment].cast(zoned)
    for feature, dtype in (view.features | view.unasked).items():
        values = [row.values.get(feature) for row in view.rows]
        if pa.types.is_timestamp(dtype):
            columns[feature] = pa.array(
                instants(values, dtype.unit), pa.timestamp(dtype.unit), from_pandas=True
            )
        else:
            columns[feature] = pa.array(values, dtype)
    return pa.table({view.stored.get(name, name): values for name, values in columns.items()})


def write_source(view: View, folder: Path) -> None:
    """The view's files: its rows, in order, cut into as many pieces as the view has files."""
    table, into = source_table(view), folder / view.name
    into.mkdir(parents=True, exist_ok=True)
    cuts = np.linspace(0, table.num_rows, view.files + 1).astype(int)
    for number, (start, end) in enumerate(pairwise(cuts)):
        piece, path = table.slice(start, end - start), into / f"part-{number:03}{view.ending}"
        if view.arrow:
            feather.write_feather(piece, path, compression="uncompressed")
        else:
            pq.write_table(piece, path, row_group_size=64)


def feature_view(view: View, root: str, endpoint: str = "") -> FeatureView:
    """Feast's definition of the view over its files under the root, a folder or s3://."""
    fields = view.keys | view.features | view.unasked
    source = FileSource(
        name=f"{view.name}_source",
        path=f"{root}/{view.name}/{view.pattern}".rstrip("/"),
        timestamp_field=view.stamps[0],
        created_timestamp_column=view.stamps[1] if view.created else "",
        field_mapping=view.mapping,
        s3_endpoint_override=endpoint,
    )
    return FeatureView(
        name=view.name,
        entities=list(entities_of(view).values()),
        schema=[Field(name=name, dtype=from_value_type(value_type(dtype))) for name, dtype in fields.items()],
        ttl=view.ttl,
        source=source,
        online=False,
    )


def value_type(dtype: pa.DataType) -> ValueType:
    """Feast's type for an Arrow type."""
    plain = dtype.value_type if pa.types.is_dictionary(dtype) else dtype
    return pa_to_feast_value_type(str(plain).removeprefix("large_"))


def entities_of(view: View) -> dict[str, Entity]:
    """One entity a join key, by name."""
    return {key: Entity(name=key, value_type=value_type(dtype)) for key, dtype in view.keys.items()}


def store_over(
    world: World, folder: Path, offline: dict[str, Any], root: str = "", endpoint: str = ""
) -> FeatureStore:
    """A FeatureStore over that offline store with the world's views and its service.

    The registry lies in the folder, and so do the sources, unless another root is given.
    """
    config = RepoConfig(
        project="oracle",
        provider="local",
        registry=str(folder / "registry.db"),
        offline_store=offline,
        online_store=None,
        entity_key_serialization_version=3,
        repo_path=folder,
    )
    store = FeatureStore(config=config)
    views = {view.name: feature_view(view, root or str(folder), endpoint) for view in world.views}
    entities = {name: entity for view in world.views for name, entity in entities_of(view).items()}
    on_demand = [world.on_demand(views)] if world.on_demand else []
    service = FeatureService(
        name="asked", features=[_projection(v, views[v.name]) for v in world.views] + on_demand
    )
    store.apply([*entities.values(), *views.values(), *on_demand, service])
    return store


def _projection(view: View, feast_view: FeatureView) -> Any:
    part = feast_view[list(view.features)]
    assert isinstance(part, FeatureView)
    named = part.with_name(view.alias) if view.alias else part
    return named.with_join_key_map(view.alias_keys) if view.alias_keys else named


def job_of(world: World, store: FeatureStore) -> RetrievalJob:
    """The retrieval of every feature of the world."""
    return store.get_historical_features(
        entity_df=world.entities.frame(),
        features=store.get_feature_service("asked"),
        full_feature_names=world.full_names,
        filter_by_created_timestamp=world.created_by_then,
    )
