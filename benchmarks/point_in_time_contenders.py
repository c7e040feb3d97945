"""Who takes part in the benchmark of the point-in-time join: this store, two of Feast's, and a bare polars join."""

import resource
import time
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from benchmarks.point_in_time import ASOF, DEFAULT, DUCKDB, OURS
from benchmarks.point_in_time_data import CREATED, FEATURES, KEY, ROW, TIME, VIEWS, columns

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa
    from feast import FeatureStore

    from resources.features.store import FeatureStoreResource

Join = Callable[["pd.DataFrame"], "pa.Table"]

SAMPLE = 2000
SERVICE = "flight_delay_v1"
STORES = {
    OURS: "feature_repo.offline_store.store.PolarsOfflineStore",
    DUCKDB: "duckdb",
    DEFAULT: "dask",
}


def timed(contender: str, data: Path, layout: str) -> Mapping[str, float]:
    """CPU and wall seconds of one join, the process's peak memory, and how a sample compares with brute force."""
    asked = pl.read_parquet(data / "entities.parquet").to_pandas()
    join = bare(data, layout) if contender == ASOF else through_feast(contender, data, layout)
    join(asked.head(10))
    started, spent = time.perf_counter(), time.process_time()
    joined = join(asked)
    figures = {
        "cpu_seconds": time.process_time() - spent,
        "wall_seconds": time.perf_counter() - started,
        "peak_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
        "rows": len(asked),
    }
    return {**figures, **compared(data, pl.DataFrame(pl.from_arrow(joined)), len(asked))}


def through_feast(contender: str, data: Path, layout: str) -> Join:
    """The join as a user of Feast calls it."""
    store = _store(contender, data, layout)
    wanted = [f"{view}:{name}" for view in VIEWS for name in columns(view)]
    return lambda asked: store.get_historical_features(asked, wanted).to_arrow()


def bare(data: Path, layout: str) -> Join:
    """polars' own as-of join over the same files, sorted as it needs them."""

    def join(asked: "pd.DataFrame") -> "pa.Table":
        rows = pl.from_pandas(asked).with_columns(pl.col(TIME).dt.cast_time_unit("us")).sort(TIME)
        for view, ttl in VIEWS.items():
            known = _table(data, view, layout).sort(TIME, CREATED).drop(CREATED)
            rows = rows.join_asof(
                known, on=TIME, by=KEY, strategy="backward", tolerance=ttl, check_sortedness=False
            )
        return rows.sort(ROW).to_arrow()

    return join


def compared(data: Path, joined: pl.DataFrame, rows: int) -> Mapping[str, float]:
    """Rows that were lost, and cells that are wrong in a sample of those that are there."""
    sample = joined.sample(min(SAMPLE, joined.height), seed=0)
    wrong = 0
    for view, ttl in VIEWS.items():
        source = _table(data, view, "sorted").join(
            sample.select(KEY).unique(), on=KEY, how="semi", maintain_order="left"
        )
        groups = {key: group for (key,), group in source.group_by(KEY, maintain_order=True)}
        expected = [
            _newest(groups.get(key), now, ttl)
            for key, now in sample.select(KEY, pl.col(TIME).dt.cast_time_unit("us")).iter_rows()
        ]
        found = sample.select(columns(view)).fill_nan(None).rows()
        wrong += sum(
            a != b
            for one, other in zip(expected, found, strict=True)
            for a, b in zip(one, other, strict=True)
        )
    return {"rows_lost": rows - joined[ROW].n_unique(), "wrong_cells": wrong}


def flights(lake: Path, home: Path) -> Mapping[str, float]:
    """The same figures for the year's flights joined at once with every view of the model's service."""
    from mlops_assets.use_cases.flights.request import entity_rows
    from resources.features.store import FeatureStoreResource
    from resources.lake.lake import Lake

    store = FeatureStoreResource(
        repository="mlops_assets.use_cases.flights.features", lake_root=str(lake), home=str(home)
    )
    store.apply()
    rows = entity_rows(Lake(root=str(lake)).read("flights/raw"))
    store.historical(SERVICE, rows.head(10), "prediction_time")
    started, spent = time.perf_counter(), time.process_time()
    joined = store.historical(SERVICE, rows, "prediction_time")
    figures = {
        "cpu_seconds": time.process_time() - spent,
        "wall_seconds": time.perf_counter() - started,
        "peak_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
        "rows": rows.height,
        "rows_lost": rows.height - joined.height,
    }
    return figures | {"wrong_cells": _wrong_flights(lake, store, joined.sample(SAMPLE, seed=0))}


def _wrong_flights(lake: Path, store: "FeatureStoreResource", sample: pl.DataFrame) -> int:
    from mlops_assets.ml.skew.brute_force import ViewTable, cells_that_differ
    from resources.lake.lake import Lake

    tables = store.view_tables(SERVICE)
    return sum(
        count
        for view in tables
        for count in cells_that_differ(
            sample,
            sample,
            "prediction_time",
            ViewTable(
                view.name,
                Lake(root=str(lake)).read(view.table),
                view.keys,
                [name for name in view.features if name in sample.columns],
                view.ttl,
            ),
        ).values()
    )


def _store(contender: str, data: Path, layout: str) -> "FeatureStore":
    from feast import Entity, FeatureStore, FeatureView, Field, FileSource, ValueType
    from feast.repo_config import RepoConfig
    from feast.types import Float64, Int64

    home = data / f"{contender}-{layout}".replace(" ", "-")
    config = {
        "project": "bench",
        "provider": "local",
        "registry": str(home / "registry.db"),
        "offline_store": {"type": STORES[contender]},
        "online_store": {"type": "sqlite", "path": str(home / "online.db")},
        "entity_key_serialization_version": 3,
    }
    store = FeatureStore(config=RepoConfig(repo_path=data, **config))
    driver = Entity(name=KEY, value_type=ValueType.INT64)
    views = [
        FeatureView(
            name=view,
            entities=[driver],
            ttl=ttl,
            schema=[
                Field(name=KEY, dtype=Int64),
                *(Field(name=name, dtype=Float64) for name in columns(view)),
            ],
            source=FileSource(
                path=str(data / _file(view, layout, contender == OURS)),
                timestamp_field=TIME,
                created_timestamp_column=CREATED,
            ),
        )
        for view, ttl in VIEWS.items()
    ]
    store.apply([driver, *views])
    return store


def _file(view: str, layout: str, arrow: bool) -> str:
    return f"{view}.arrow" if arrow and layout == "sorted" else f"{view}-{layout}.parquet"


def _table(data: Path, view: str, layout: str) -> pl.DataFrame:
    path = data / _file(view, layout, arrow=True)
    return pl.read_ipc(path) if path.suffix == ".arrow" else pl.read_parquet(path)


def _newest(known: pl.DataFrame | None, now: datetime, ttl: timedelta) -> tuple[float | None, ...]:
    """The features of the last row (they are sorted) at or before a moment and not older than the time to live."""
    rows = [] if known is None else [row for row in known.iter_rows() if row[1] <= now]
    if not rows or rows[-1][1] < now - ttl:
        return (None,) * FEATURES
    return rows[-1][3:]
