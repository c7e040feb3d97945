"""Moments among the entity rows: any spelling of ISO 8601 in JSON, datetimes in Python, and no guesses."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from feast import Entity, FeatureStore, Field, RequestSource
from feast.on_demand_feature_view import on_demand_feature_view
from feast.types import Int64, UnixTimestamp
from feast.value_type import ValueType

from resources.serving.http.features import mount
from tests.feature_repo.online.shop import ENGINE, HOUR, NOW, Database, opened, view, write


class Opened:
    """What the route needs of the platform's feature store."""

    use_case = ""

    def __init__(self, store: FeatureStore) -> None:
        self.store = store

    def feast(self) -> FeatureStore:
        return self.store


@pytest.fixture
def hours(tmp_path: Path) -> FeatureStore:
    """Views keyed by a moment, and computed from one that the request names."""
    hour = Entity(name="hour", join_keys=["hour"], value_type=ValueType.UNIX_TIMESTAMP)
    write(tmp_path, "sales", {"hour": [NOW, NOW - HOUR], "sold": [7, 3]}, {"hour": pa.timestamp("us", "UTC")})
    visit = RequestSource(name="visit", schema=[Field(name="came", dtype=UnixTimestamp)])

    @on_demand_feature_view(sources=[visit], schema=[Field(name="at", dtype=Int64)], mode="python")
    def arrival(inputs: dict[str, Any]) -> dict[str, Any]:
        return {"at": [int(came.timestamp()) for came in inputs["came"]]}

    store = opened(
        tmp_path, Database("sqlite", {"path": str(tmp_path / "online.db")}).bulk(), batch_engine=ENGINE
    )
    store.apply([hour, view(tmp_path, "sales", [hour], {"hour": UnixTimestamp, "sold": Int64}), arrival])
    store.materialize(NOW - 5 * HOUR, NOW)
    return store


def asked(store: FeatureStore, question: dict[str, Any]) -> Any:
    with TestClient(mount(FastAPI(), lambda _: Opened(store))) as client:  # type: ignore[arg-type]
        return client.post("/get-online-features", json=question)


def results(reply: Any) -> dict[str, Any]:
    body = reply.json()
    return dict(zip(body["metadata"]["feature_names"], body["results"], strict=True))


def test_moments_among_the_entity_rows_are_read_in_any_spelling_or_refused(hours: FeatureStore) -> None:
    references = ["sales:sold", "arrival:at"]
    spelled = ["2024-05-01T12:00:00Z", "2024-05-01 14:00+02:00", "2024-05-01T11:00:00.000Z"]
    found = results(asked(hours, {"features": references, "entities": {"hour": spelled, "came": spelled}}))
    assert found["sold"]["values"] == [7, 7, 3]
    assert found["at"]["values"] == [int(NOW.timestamp())] * 2 + [int((NOW - HOUR).timestamp())]
    for column in ("hour", "came"):
        for wrong in ("01/05/2024 12:00", "2024-05-01T12:00:00", "1714564800", 1714564800, 1714564800.0):
            entities = {"hour": spelled[:1], "came": spelled[:1]} | {column: [wrong]}
            reply = asked(hours, {"features": references, "entities": entities})
            assert (reply.status_code, f"entities.{column}: {wrong!r} is not a moment" in reply.text) == (
                422,
                True,
            )


@pytest.mark.parametrize("wrong", ["2024-05-01T12:00:00Z", "1714564800", 1714564800.0, True])
def test_in_python_a_moment_is_a_datetime_or_whole_seconds(hours: FeatureStore, wrong: Any) -> None:
    def read(value: Any) -> Any:
        return hours.get_online_features(["sales:sold"], {"hour": [value]}).to_dict()["sold"]

    assert read(NOW) == read(int(NOW.timestamp())) == [7]
    with pytest.raises(ValueError, match="is not a moment: give a datetime"):
        read(wrong)
