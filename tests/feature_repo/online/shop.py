"""A shop's feature store, for tests: every type of value, composite and renamed keys, on-demand views, both databases."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from feast import (
    Entity,
    FeatureService,
    FeatureStore,
    FeatureView,
    Field,
    FileSource,
    RequestSource,
    ValueType,
)
from feast.on_demand_feature_view import on_demand_feature_view
from feast.repo_config import RepoConfig
from feast.types import Array, Bool, Bytes, Float32, Float64, Int32, Int64, String, UnixTimestamp, Uuid

NOW = datetime(2024, 5, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
PROJECT = "shop"
BULK = {
    "sqlite": "feature_repo.online_store.sqlite.store.BulkSqliteOnlineStore",
    "redis": "feature_repo.online_store.redis.store.BulkRedisOnlineStore",
}
STOCK = {"sqlite": "sqlite", "redis": "redis"}
ENGINE = {"type": "feature_repo.online_store.engine.BulkEngine"}

customer = Entity(name="customer", join_keys=["customer_id"], value_type=ValueType.INT64)
town = Entity(name="town", join_keys=["town"], value_type=ValueType.STRING)

TYPES: dict[str, tuple[Any, pa.DataType, list[Any]]] = {
    "floats": (Float32, pa.float32(), [1.5, None, -0.25, 3e30]),
    "doubles": (Float64, pa.float64(), [0.1, 2.5, None, -1e200]),
    "shorts": (Int32, pa.int32(), [7, -7, 0, None]),
    "longs": (Int64, pa.int64(), [2**40, -1, 0, 128]),
    "words": (String, pa.string(), ["", "Ærø", None, "x" * 300]),
    "blobs": (Bytes, pa.binary(), [b"\x00\xff", b"a", None, b"\x20"]),
    "flags": (Bool, pa.bool_(), [True, False, None, True]),
    "moments": (UnixTimestamp, pa.timestamp("us", "UTC"), [NOW, None, NOW - HOUR, NOW + HOUR]),
    "vectors": (Array(Float32), pa.list_(pa.float32()), [[1.0, 2.0], [], None, [0.5] * 20]),
    "tags": (Array(String), pa.list_(pa.string()), [["a", ""], [], None, ["b"]]),
    "counts": (Array(Int64), pa.list_(pa.int64()), [[1, 300], [], None, [-5]]),
    "tickets": (Uuid, pa.string(), ["6fa459ea-ee8a-3ca4-894e-db77e160355e", None, None, None]),
}
"""For each feature of the view `everything`: its Feast type, its Arrow type, and a value for customers 1 to 4."""


@dataclass(frozen=True)
class Database:
    """A kind of database, and the settings by which a Feast store reaches this one."""

    kind: str
    settings: dict[str, Any]

    def bulk(self) -> dict[str, Any]:
        """Settings of the store under test."""
        return {"type": BULK[self.kind], **self.settings}

    def stock(self) -> dict[str, Any]:
        """Settings of Feast's own store."""
        return {"type": STOCK[self.kind], **self.settings}


def opened(folder: Path, online: dict[str, Any], **more: Any) -> FeatureStore:
    """A feature store over one registry; Feast's local engine unless told otherwise."""
    return FeatureStore(
        config=RepoConfig(
            project=PROJECT,
            provider="local",
            registry={
                "registry_type": "file",
                "path": str(folder / "registry.db"),
                "cache_ttl_seconds": 3600,
            },
            offline_store={"type": "file"},
            online_store=online,
            entity_key_serialization_version=3,
            **more,
        )
    )


def view(
    folder: Path, name: str, entities: list[Entity], schema: dict[str, Any], ttl: timedelta = timedelta(0)
) -> FeatureView:
    """A view over `<folder>/<name>.parquet`, with event and created timestamps."""
    source = FileSource(
        name=name,
        path=str(folder / f"{name}.parquet"),
        timestamp_field="event_timestamp",
        created_timestamp_column="created",
    )
    fields = [Field(name=column, dtype=dtype) for column, dtype in schema.items()]
    return FeatureView(name=name, entities=entities, ttl=ttl, schema=fields, source=source)


def write(
    folder: Path, name: str, columns: dict[str, Any], schema: dict[str, pa.DataType] | None = None
) -> None:
    """The view's parquet file; without timestamps of its own, all rows are of an hour ago, created now."""
    height = len(next(iter(columns.values())))
    table = {"event_timestamp": [NOW - HOUR] * height, "created": [NOW] * height} | columns
    kinds = {"event_timestamp": pa.timestamp("us", "UTC"), "created": pa.timestamp("us", "UTC")} | (
        schema or {}
    )
    arrays = {n: pa.array(v, kinds.get(n)) for n, v in table.items()}
    pq.write_table(pa.table(arrays), folder / f"{name}.parquet")


def everything(folder: Path) -> FeatureView:
    """The view with all types, and its four customers."""
    values = {name: rows for name, (_, _, rows) in TYPES.items()}
    write(
        folder, "everything", {"customer_id": [1, 2, 3, 4]} | values, {n: k for n, (_, k, _) in TYPES.items()}
    )
    return view(
        folder, "everything", [customer], {"customer_id": Int64} | {n: t for n, (t, _, _) in TYPES.items()}
    )


def crowd(folder: Path, customers: range, time: datetime = NOW - HOUR) -> None:
    """Customers by the hundred for the view `everything`: nulls in different places, numbers large, small and infinite."""
    values = {
        name: [rows[(n + place) // (1 + place % 3) % 4] for n in customers]
        for place, (name, (_, _, rows)) in enumerate(TYPES.items())
    }
    values["doubles"] = [None if n % 7 == 0 else (n - 100) * 10.0 ** (n % 40 - 20) for n in customers]
    values["longs"] = [None if n % 11 == 0 else (-7) ** (n % 22) for n in customers]
    columns = {"customer_id": list(customers), "event_timestamp": [time] * len(customers), **values}
    write(folder, "everything", columns, {name: kind for name, (_, kind, _) in TYPES.items()})


def visits(folder: Path, ttl: timedelta = timedelta(0)) -> FeatureView:
    """A view keyed by customer and town."""
    write(
        folder,
        "visits",
        {"customer_id": [1, 1, 2], "town": ["Ribe", "Mols", "Ribe"], "visit_count": [3, 1, 8]},
    )
    schema = {"customer_id": Int64, "town": String, "visit_count": Int64}
    return view(folder, "visits", [customer, town], schema, ttl)


def towns(folder: Path) -> FeatureView:
    """A view keyed by town."""
    write(folder, "towns", {"town": ["Ribe", "Mols"], "people": [8000, 300], "rain": [0.5, 0.25]})
    return view(folder, "towns", [town], {"town": String, "people": Int64, "rain": Float32})


def world(folder: Path) -> FeatureView:
    """A view without entity."""
    write(folder, "world", {"price_level": [1.25]})
    return view(folder, "world", [], {"price_level": Float64})


request = RequestSource(
    name="basket", schema=[Field(name="amount", dtype=Float64), Field(name="code", dtype=Int64)]
)


def services(folder: Path) -> list[Any]:
    """All views, two on-demand views, and services over them."""
    all_types, visited, places, whole = everything(folder), visits(folder), towns(folder), world(folder)

    @on_demand_feature_view(
        sources=[request, places[["people"]]], schema=[Field(name="per_head", dtype=Float32)], mode="pandas"
    )
    def per_head(inputs: pd.DataFrame) -> pd.DataFrame:
        return pd.DataFrame({"per_head": (inputs["amount"] / inputs["people"]).astype("float32")})

    @on_demand_feature_view(
        sources=[request, all_types[["longs"]]],
        schema=[Field(name="coded", dtype=Int64), Field(name="spelled", dtype=String)],
        mode="python",
    )
    def coded(inputs: dict[str, Any]) -> dict[str, Any]:
        pairs = list(zip(inputs["longs"], inputs["code"], strict=True))
        return {
            "coded": [None if long is None else long + code for long, code in pairs],
            "spelled": [str(code) for _, code in pairs],
        }

    here, home = places.with_name("here"), places.with_join_key_map({"town": "home_town"}).with_name("home")
    return [
        customer,
        town,
        all_types,
        visited,
        places,
        whole,
        per_head,
        coded,
        FeatureService(name="plain", features=[all_types, visited, places]),
        FeatureService(name="computed", features=[places[["rain"]], per_head, coded]),
        FeatureService(name="renamed", features=[here, home]),
    ]
