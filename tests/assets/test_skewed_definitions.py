"""Requests served under other feature definitions than today's: cells of the views that changed are named so."""

import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from mlops_assets.ml.skew.cells import CHANGED
from mlops_assets.stages.skew_replay import Replayed, replay
from resources.features.store import FeatureStoreResource
from resources.lake.lake import Lake
from resources.serving.log import ServedBatch, ServingLogResource
from resources.serving.log_writer import ServingLog

NOW = datetime(2024, 2, 1, 12, tzinfo=UTC)
SERVICE = "pumps_v1"
REPOSITORY = """
from datetime import timedelta

import pandas as pd
from feast import Entity, FeatureService, FeatureView, Field, FileSource, ValueType
from feast.on_demand_feature_view import on_demand_feature_view
from feast.types import Float32, String

pump = Entity(name="pump", join_keys=["pump"], value_type=ValueType.STRING)


def view(name: str, ttl: timedelta) -> FeatureView:
    schema = [Field(name="pump", dtype=String), Field(name=name, dtype=Float32)]
    source = FileSource(name=name, path=f"features/{name}/*.parquet", timestamp_field="event_timestamp")
    return FeatureView(name=name, entities=[pump], ttl=ttl, schema=schema, source=source)


vibration = view("vibration", timedelta(hours=2))
temperature = view("temperature", timedelta(hours=2))


@on_demand_feature_view(sources=[vibration], schema=[Field(name="load", dtype=Float32)], mode="pandas")
def computed(inputs: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame({"load": inputs["vibration"].astype("float32") * 3})


pumps_v1 = FeatureService(name="pumps_v1", features=[vibration, temperature, computed])
"""


class Pumps:
    """Feature repositories made of edited code, all over one lake."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.lake = folder, Lake(root=str(folder / "lake"))
        moments = [NOW - timedelta(minutes=m) for m in (90, 30)]
        for name in ("vibration", "temperature"):
            rows = [
                {"pump": f"P{p}", "event_timestamp": t, name: float(p + t.minute)}
                for p in range(20)
                for t in moments
            ]
            kinds = {"event_timestamp": pl.Datetime("us", "UTC"), name: pl.Float32}
            self.lake.write(f"features/{name}", pl.DataFrame(rows, schema_overrides=kinds))

    def store(self, old: str = "", new: str = "") -> FeatureStoreResource:
        """The store of the repository above with `old` replaced by `new` in its code."""
        text = REPOSITORY.replace(old, new) if old else REPOSITORY
        assert (text != REPOSITORY) == bool(old)
        name = f"pumps_{uuid.uuid4().hex}"
        (self.folder / name).mkdir()
        (self.folder / name / "__init__.py").touch()
        (self.folder / name / "definitions.py").write_text(text)
        store = FeatureStoreResource(
            lake_root=self.lake.root, home=str(self.folder / f"{name}-home"), repository=name
        )
        store.apply()
        return store

    def serve(self, store: FeatureStoreResource) -> ServingLogResource:
        store.materialize(store.views(SERVICE), NOW - timedelta(days=1), NOW)
        rows = pl.DataFrame({"pump": [f"P{p}" for p in range(20)]})
        vectors = store.online_vectors(SERVICE, rows, NOW)
        ids = [uuid.uuid4().hex for _ in range(20)]
        facts = "stops", "1", store.describe(SERVICE), NOW, datetime.now(UTC), ids
        log = ServingLog(self.folder / "serving_log")
        log.append(ServedBatch(*facts, vectors, np.zeros(20)))
        log.close()
        return ServingLogResource(folder=str(log.folder))

    def replay(self, log: ServingLogResource, store: FeatureStoreResource) -> Replayed:
        return replay(log.read("stops", 1000), log.definitions("stops"), store, self.lake)


@pytest.fixture
def pumps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Pumps:
    monkeypatch.syspath_prepend(str(tmp_path))
    return Pumps(tmp_path)


def by_feature(found: Replayed) -> dict[str, set[str]]:
    return {
        feature: set(found.cells.filter(feature=feature)["verdict"])
        for feature in set(found.cells["feature"])
    }


def test_on_demand_code_that_changed_is_named_and_only_its_cells_differ(pumps):
    log = pumps.serve(pumps.store())
    assert pumps.replay(log, pumps.store()).cells.is_empty()
    found = pumps.replay(log, pumps.store("* 3", "* 3.5"))
    assert by_feature(found) == {"load": {CHANGED}}
    assert found.cells.height == 20


def test_a_time_to_live_that_changed_is_named_for_the_view_and_for_what_is_computed_from_it(pumps):
    log = pumps.serve(pumps.store())
    shorter = pumps.store('"vibration", timedelta(hours=2)', '"vibration", timedelta(minutes=10)')
    assert by_feature(pumps.replay(log, shorter)) == {"vibration": {CHANGED}, "load": {CHANGED}}


def test_a_feature_that_is_served_no_more_is_not_compared(pumps):
    log = pumps.serve(pumps.store())
    found = pumps.replay(
        log, pumps.store("features=[vibration, temperature, computed]", "features=[vibration]")
    )
    assert found.cells.is_empty() and set(found.compared) == {"vibration"}


def test_requests_of_a_service_that_is_gone_are_counted_as_refused_with_the_reason(pumps):
    log = pumps.serve(pumps.store())
    found = pumps.replay(log, pumps.store('name="pumps_v1"', 'name="pumps_v2"'))
    assert found.cells.is_empty() and found.refused.total() == 20
    assert "defines no feature service 'pumps_v1'" in next(iter(found.refused))


def test_requests_before_and_after_a_change_are_told_apart(pumps):
    changed = pumps.store("* 3", "* 3.5")
    pumps.serve(pumps.store())
    found = pumps.replay(pumps.serve(changed), changed)
    assert by_feature(found) == {"load": {CHANGED}}
    assert (found.cells.height, found.compared["load"]) == (20, 40)
