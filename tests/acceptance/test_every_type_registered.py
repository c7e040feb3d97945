"""What is defined and not registered, or not as it is defined now, is answered by the asset that registers it at every door."""

import hashlib
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from fastapi import FastAPI, HTTPException
from fastapi.testclient import TestClient

from mlops_assets.stages.skew_replay import replay
from resources.features import feature_repository, registered_services
from resources.features.push import Pusher
from resources.features.pushed_moments import PushedMoments
from resources.features.store import FeatureStoreError, FeatureStoreResource
from resources.serving.http.features import mount
from resources.serving.http.forms import request_frame, request_model
from resources.serving.http.push import take
from resources.serving.live_models import LiveModels
from resources.serving.log import ServedBatch, ServingLogResource
from resources.serving.log_writer import ServingLog
from resources.serving.ray_serve import Endpoint
from tests.acceptance.test_every_type import LOAD, NOW, READINGS, SEEN
from tests.every_type.kinds import NOON
from tests.every_type.repo import services
from tests.resources.serving_fakes import declared

SERVICE, REPOSITORY = "pump_loads_v1", "tests.every_type.repo"
FIX = "materialize the asset features/registry of the use case"


def made(folder: Path) -> FeatureStoreResource:
    """A lake with readings, and a feature store where nothing was applied."""
    table = folder / "lake" / "features" / "readings"
    table.mkdir(parents=True)
    pl.DataFrame(SEEN, schema=READINGS, orient="row").write_parquet(table / "2024-01-01.parquet")
    return FeatureStoreResource(
        lake_root=str(folder / "lake"), home=str(folder / "feast"), repository=REPOSITORY
    )


def rows(store: FeatureStoreResource) -> pl.DataFrame:
    request = request_model("asked", store.request_fields(SERVICE))
    return request_frame([request.model_validate(LOAD)], "asked_at", NOW)


def materialized(store: FeatureStoreResource) -> None:
    store.materialize(["readings"], NOON - timedelta(days=1), NOW)


def pushed(to: Any) -> Any:
    def push(store: FeatureStoreResource) -> None:
        pusher = Pusher(store, PushedMoments(Path(store.home) / "pushed"), lambda *_: NOW, lambda _: NOW)
        event = {"pump": "a", "event_timestamp": NOW.isoformat(), "starts": 1}
        take(pusher, "pump_reading", event, to)

    return push


DOORS = {
    "a training set": lambda store: store.historical(SERVICE, rows(store), "asked_at"),
    "a served vector": lambda store: store.online(SERVICE, rows(store), NOW),
    "the service": lambda store: store.registered(SERVICE),
    "the online store": materialized,
    "how far the online store is": lambda store: store.online_until(["readings"]),
    "a push online": pushed("online"),
    "a push offline": pushed("offline"),
}


@pytest.mark.parametrize("door", DOORS)
def test_what_is_defined_and_not_registered_is_answered_with_the_asset_that_does_it(tmp_path, door):
    store = made(tmp_path)
    with pytest.raises((FeatureStoreError, HTTPException)) as refused:
        DOORS[door](store)
    said = str(getattr(refused.value, "detail", refused.value))
    assert "is defined but not registered: " in said and FIX in said
    store.apply()
    materialized(store)
    DOORS[door](store)


def test_the_endpoint_names_the_asset_for_a_model_whose_service_is_not_registered(tmp_path):
    store = made(tmp_path)
    model = tmp_path / "serving" / "pumps.model"
    model.parent.mkdir()
    model.write_bytes(b'{"slope": 1}')
    record = {
        "name": "pumps",
        "version": "1",
        "task": "regression",
        "model_path": str(model),
        "model_sha256": hashlib.sha256(b'{"slope": 1}').hexdigest(),
        "scorer": "tests.resources.serving_fakes:FakeScorer",
        "feature_service": SERVICE,
        "time": "asked_at",
        "moment": NOW.isoformat(),
    }
    Endpoint(folder=str(tmp_path / "serving")).publish(record)
    models = LiveModels(tmp_path / "serving", store, declared)
    models.look()
    assert FIX in models.problems["pumps"]


@pytest.mark.parametrize("asked", [{"feature_service": SERVICE}, {"features": ["readings:bar"]}])
def test_features_by_http_name_the_asset(tmp_path, asked):
    store = made(tmp_path)
    with TestClient(mount(FastAPI(), lambda _: store)) as client:
        answer = client.post("/get-online-features", json={"entities": {"pump": ["a"]}} | asked)
    assert answer.status_code in (404, 422) and FIX in answer.json()["detail"]


def test_a_skew_report_counts_the_requests_that_nothing_registered_can_replay(tmp_path):
    store = made(tmp_path)
    store.apply()
    materialized(store)
    log, service = ServingLog(tmp_path / "log"), store.describe(SERVICE)
    vectors = store.online_vectors(SERVICE, rows(store), NOW)
    log.append(ServedBatch("pumps", "1", service, NOW, datetime.now(UTC), ["one"], vectors, np.zeros(1)))
    log.close()
    kept, fresh = ServingLogResource(folder=str(log.folder)), made(tmp_path / "fresh")
    found = replay(kept.read("pumps", 9), kept.definitions("pumps"), fresh, Path(fresh.lake_root))
    assert [FIX in reason for reason in found.refused] == [True] and found.refused.total() == 1


def test_definitions_that_changed_since_are_refused_where_history_is_made_until_they_are_applied(
    tmp_path, monkeypatch
):
    store = made(tmp_path)
    store.apply()
    monkeypatch.setattr(services.readings, "ttl", timedelta(days=3))
    for door in ("a training set", "the online store"):
        with pytest.raises(FeatureStoreError, match=f"was changed since it was registered: {FIX}"):
            DOORS[door](store)
    store.apply()
    for door in ("the online store", "a training set"):
        DOORS[door](store)


def test_a_service_that_has_more_features_than_are_registered_is_refused_with_their_names(
    tmp_path, monkeypatch
):
    store, service = made(tmp_path), services.pump_loads_v1
    with monkeypatch.context() as earlier:
        for parts in ("feature_view_projections", "_features"):
            earlier.setattr(service, parts, getattr(service, parts)[:-1])
        store.apply()
    feature_repository.needs.cache_clear()
    registered_services._services.clear()
    with pytest.raises(FeatureStoreError, match=f"registered without letters, .*: {FIX}"):
        DOORS["a served vector"](store)
    store.apply()
    materialized(store)
    DOORS["a served vector"](store)


def test_a_registry_that_an_earlier_release_applied_is_taken_and_what_it_has_is_written_down(tmp_path):
    store = made(tmp_path)
    store.apply()
    (Path(store.home) / "applied.json").unlink()
    DOORS["a training set"](store)
    store.apply()
    assert (Path(store.home) / "applied.json").exists()


def test_a_service_that_nothing_defines_is_no_matter_of_registering(tmp_path):
    with pytest.raises(FeatureStoreError, match="defines no feature service 'pump_loads_v9'; there are: "):
        made(tmp_path).registered("pump_loads_v9")
