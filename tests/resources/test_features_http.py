"""`POST /get-online-features` takes the request of `feast serve` and gives its reply."""

import json
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from pydantic import ValidationError

from resources.serving.http.features import Question, mount
from tests.feature_repo.online.shop import (
    ENGINE,
    HOUR,
    NOW,
    Database,
    crowd,
    everything,
    opened,
    services,
)
from tests.feature_repo.online.test_with_stock_feast import ROWS

JSON = {"content-type": "application/json"}


class Shop:
    """What the route needs of the platform's feature store, over the shop's definitions."""

    use_case = ""

    def __init__(self, folder: Path, database: Database) -> None:
        self.store = opened(folder, database.bulk(), batch_engine=ENGINE)
        self.store.apply(services(folder))
        self.store.materialize(NOW - 5 * HOUR, NOW)

    def feast(self) -> Any:
        return self.store

    def registered(self, service: str) -> Any:
        return self.store.get_feature_service(service, allow_cache=True)

    def unregistered_view(self, names: Any) -> None:
        """The shop's code is its registry."""


def opened_shop(folder: Path, redis_port: int | None, number: int) -> Shop:
    """A shop online in SQLite, or in one of the databases of a Redis, which is emptied first."""
    if redis_port is None:
        return Shop(folder, Database("sqlite", {"path": str(folder / "online.db")}))
    import redis

    with redis.Redis(port=redis_port, db=number) as client:
        client.flushdb()
    return Shop(folder, Database("redis", {"connection_string": f"127.0.0.1:{redis_port},db={number}"}))


@pytest.fixture(scope="module", params=["sqlite", "redis"])
def redis_or_not(request: pytest.FixtureRequest) -> int | None:
    return request.getfixturevalue("redis_port") if request.param == "redis" else None


@pytest.fixture(scope="module")
def shop(redis_or_not: int | None, tmp_path_factory: pytest.TempPathFactory) -> Shop:
    """The shop of all tests that only ask."""
    return opened_shop(tmp_path_factory.mktemp("shop"), redis_or_not, 6)


@pytest.fixture
def own_shop(redis_or_not: int | None, tmp_path: Path) -> Shop:
    """A shop for a test that writes to it."""
    return opened_shop(tmp_path, redis_or_not, 7)


def ours(shop: Shop, question: dict[str, Any], moment: Any = None) -> Any:
    with TestClient(mount(FastAPI(), lambda _: shop, lambda _: moment)) as client:  # type: ignore[arg-type]
        return client.post("/get-online-features", json=question)


def theirs(shop: Shop, question: dict[str, Any]) -> Any:
    from feast.feature_server import get_app

    with TestClient(get_app(shop.store, registry_ttl_sec=0)) as client:
        return client.post("/get-online-features", json=question)


def by_name(reply: Any) -> dict[str, Any]:
    body = reply.json()
    return dict(zip(body["metadata"]["feature_names"], body["results"], strict=True))


@pytest.mark.parametrize("service", ROWS)
def test_the_reply_is_that_of_feast_serve_over_the_same_store(shop: Shop, service: str) -> None:
    question = {
        "feature_service": service,
        "entities": ROWS[service],
        "full_feature_names": service == "renamed",
    }
    mine, other = ours(shop, question), theirs(shop, question)
    assert (mine.status_code, other.status_code) == (200, 200), mine.text
    assert mine.headers["content-type"] == other.headers["content-type"]
    assert by_name(mine) == by_name(other)
    assert mine.json().keys() == other.json().keys()


def test_references_and_versions_are_answered_as_feast_serve_does(shop: Shop) -> None:
    question = {
        "features": ["towns:people", "everything:doubles"],
        "entities": {"town": ["Ribe", "none"], "customer_id": [1, 2]},
        "include_feature_view_version_metadata": True,
    }
    mine, other = ours(shop, question), theirs(shop, question)
    assert by_name(mine) == by_name(other)
    assert mine.json()["metadata"] == other.json()["metadata"]


def test_numbers_that_json_does_not_have_are_written_as_feast_writes_them(
    own_shop: Shop, tmp_path: Path
) -> None:
    import pyarrow as pa

    view = everything(tmp_path)
    table = pa.table(
        {"customer_id": [7], "event_timestamp": [NOW], **{f.name: pa.nulls(1) for f in view.features}}
    ).set_column(2, "floats", pa.array([float("-inf")]))
    own_shop.store._get_provider().online_store.write_table(own_shop.store.config, view, table)  # type: ignore[attr-defined]
    question = {"features": ["everything:floats", "everything:longs"], "entities": {"customer_id": [7]}}
    mine = by_name(ours(own_shop, question))
    assert mine == by_name(theirs(own_shop, question))
    assert mine["floats"]["values"] == ["-Infinity"]


@pytest.mark.parametrize("customers", [range(10), range(300)])
def test_many_numbers_are_written_as_feast_writes_them(
    own_shop: Shop, tmp_path: Path, customers: range
) -> None:
    crowd(tmp_path, customers)
    own_shop.store.materialize(NOW - 5 * HOUR, NOW)
    features = [f"everything:{name}" for name in ("floats", "doubles", "longs", "shorts", "words", "flags")]
    question = {"features": features, "entities": {"customer_id": [*customers, 10_000]}}
    mine, other = (by_name(answer(own_shop, question)) for answer in (ours, theirs))
    for result in (mine, other):
        for column in result.values():
            column["statuses"].pop()  # Of the unknown customer, in which Feast's stores differ.
    assert json.dumps(mine, sort_keys=True) == json.dumps(other, sort_keys=True)


def test_the_moment_of_the_models_is_answered_for_and_a_request_may_name_another(shop: Shop) -> None:
    question = {"features": ["towns:people"], "entities": {"town": ["Ribe"]}}
    before, after = NOW - 2 * HOUR, NOW
    assert by_name(ours(shop, question, before))["people"]["statuses"] == ["NOT_FOUND"]
    assert by_name(ours(shop, question, after))["people"]["values"] == [8000]
    named = question | {"as_of": before.isoformat()}
    assert by_name(ours(shop, named, after))["people"]["statuses"] == ["NOT_FOUND"]


@pytest.mark.parametrize(
    ("question", "status", "said"),
    [
        ({"entities": {"town": "Ribe"}, "features": ["towns:people"]}, 422, "entities"),
        ({"entities": {"town": ["Ribe"]}, "features": []}, 422, "No features specified"),
        ({"entities": {"customer_id": [1]}, "features": ["towns:people"]}, 422, "Missing join key values"),
        (
            {"entities": {"town": ["Ribe"], "customer_id": [1, 2]}, "features": ["towns:people"]},
            422,
            "same columns",
        ),
        ({"entities": {"town": ["Ribe"]}, "features": ["nowhere:people"]}, 404, "nowhere"),
        ({"entities": {"town": ["Ribe"]}, "feature_service": "none"}, 404, "none"),
    ],
)
def test_a_wrong_question_is_told_what_is_wrong_with_it(
    shop: Shop, question: dict[str, Any], status: int, said: str
) -> None:
    reply = ours(shop, question)
    assert (reply.status_code, said in reply.text) == (status, True), reply.text


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_a_number_that_is_not_finite_is_refused_and_its_place_named(shop: Shop, number: str) -> None:
    question = json.dumps({"features": ["everything:longs"], "entities": {"customer_id": [1, "here"]}})
    with TestClient(mount(FastAPI(), lambda _: shop)) as client:  # type: ignore[arg-type]
        reply = client.post("/get-online-features", content=question.replace('"here"', number), headers=JSON)
        other = client.post(
            "/get-online-features", content=question.replace('[1, "here"]', number), headers=JSON
        )
    assert (reply.status_code, other.status_code) == (422, 422), reply.text
    assert reply.json()["detail"][0]["loc"] == ["body", "entities", "customer_id", 1]
    assert "finite number" in reply.json()["detail"][0]["msg"]


def test_many_rows_and_rows_twice_keep_their_order(shop: Shop) -> None:
    towns = ["Ribe", "Mols", "none", None] * 50
    reply = by_name(ours(shop, {"features": ["towns:people"], "entities": {"town": towns}}))
    expected = {"Ribe": 8000, "Mols": 300}
    assert reply["people"]["values"] == [expected.get(town) if town else None for town in towns]


@pytest.mark.parametrize(
    "as_of", [1706781600, 1706781600.5, True, "1706781600", "01/02/2024 10:00", "2024-05-01"]
)
def test_a_moment_to_answer_for_that_could_be_two_is_refused(as_of: Any) -> None:
    with pytest.raises(ValidationError, match="is not a moment"):
        Question.model_validate_json(json.dumps({"entities": {"town": ["Ribe"]}, "as_of": as_of}))
