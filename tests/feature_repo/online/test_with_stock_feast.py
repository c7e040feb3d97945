"""Stock Feast and the bulk stores share a database: each reads what the other wrote, and both answer alike."""

import asyncio
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import pytest
from feast import FeatureStore
from feast.feature_server_utils import convert_response_to_dict
from feast.protos.feast.serving.ServingService_pb2 import FieldStatus

from feature_repo.online_store.response import BulkOnlineResponse
from tests.feature_repo.online.shop import ENGINE, HOUR, NOW, TYPES, Database, crowd, opened, services

SPAN = (NOW - 5 * HOUR, NOW)
ROWS = {
    "plain": {"customer_id": [1, 2, 3, 4, 2, 99], "town": ["Ribe", "Ribe", "Mols", "none", "Ribe", "Mols"]},
    "computed": {
        "customer_id": [1, 3, 99],
        "town": ["Mols", "Ribe", "none"],
        "amount": [10.0, 2.5, 1.0],
        "code": [5, 6, 7],
    },
    "renamed": {"town": ["Ribe", "Mols", "none"], "home_town": ["Mols", "Mols", "Ribe"]},
}


@pytest.fixture
def stores(database: Database, tmp_path: Path) -> dict[str, FeatureStore]:
    """Feast's store and ours over one registry and one database, with all definitions applied."""
    bulk = opened(tmp_path, database.bulk(), batch_engine=ENGINE)
    bulk.apply(services(tmp_path))
    return {"bulk": bulk, "stock": opened(tmp_path, database.stock())}


def read(store: FeatureStore, service: str, rows: dict[str, list[Any]]) -> Any:
    """A service's answer; one that has a view twice needs full names."""
    asked = store.get_feature_service(service)
    return store.get_online_features(asked, dict(rows), full_feature_names=service == "renamed")


def alike(answer: dict[str, list[Any]]) -> dict[str, list[Any]]:
    return {name: answer[name] for name in sorted(answer)}


@pytest.mark.parametrize("writer", ["bulk", "stock"])
@pytest.mark.parametrize("service", ROWS)
def test_both_read_what_either_wrote(stores: dict[str, FeatureStore], writer: str, service: str) -> None:
    stores[writer].materialize(*SPAN)
    ours, theirs = (read(stores[name], service, ROWS[service]) for name in ("bulk", "stock"))
    assert isinstance(ours, BulkOnlineResponse) and not isinstance(theirs, BulkOnlineResponse)
    assert alike(ours.to_dict()) == alike(theirs.to_dict())
    assert alike(ours.to_dict(True)) == alike(theirs.to_dict(True))
    assert ours.to_arrow().select(sorted(ours.columns)) == theirs.to_arrow().select(sorted(ours.columns))


def test_hundreds_of_rows_of_either_writer_missing_ones_and_twice_asked_ones(
    stores: dict[str, FeatureStore], tmp_path: Path
) -> None:
    crowd(tmp_path, range(200))
    stores["bulk"].materialize(*SPAN)
    crowd(tmp_path, range(100, 250), NOW - HOUR / 2)
    stores["stock"].materialize(*SPAN)
    people, places = [*range(180), *range(120, 300)], ["Ribe", "Mols", "none"]
    asked = {"customer_id": people, "town": [places[n % 7 % 3] for n in range(len(people))]}
    ours, theirs = (read(stores[name], "plain", asked) for name in ("bulk", "stock"))
    assert alike(ours.to_dict()) == alike(theirs.to_dict())
    known = [n < 250 for n in people]
    assert [status == FieldStatus.PRESENT for status in ours.columns["words"].statuses] == known


@pytest.mark.parametrize("service", ROWS)
def test_the_message_is_the_one_that_stock_feast_makes(stores: dict[str, FeatureStore], service: str) -> None:
    stores["bulk"].materialize(*SPAN)
    rows = {name: values[:2] for name, values in ROWS[service].items()}
    ours, theirs = (read(store, service, rows).proto for store in stores.values())
    by_name = [
        dict(zip(message.metadata.feature_names.val, message.results, strict=True))
        for message in (ours, theirs)
    ]
    assert by_name[0].keys() == by_name[1].keys()
    for name, vector in by_name[1].items():
        if name not in ("coded", "spelled", "per_head"):
            assert by_name[0][name] == vector, name


def test_full_names_and_references_answer_as_stock_feast_does(stores: dict[str, FeatureStore]) -> None:
    stores["bulk"].materialize(*SPAN)
    references = ["towns:people", "everything:words", "towns:rain", "world:price_level", "per_head:per_head"]
    rows = [
        {"customer_id": 1, "town": "Ribe", "amount": 1.0, "code": 1},
        {"customer_id": 9, "town": "Mols", "amount": 2.0, "code": 1},
    ]
    for full_names in (False, True):
        ours, theirs = (
            store.get_online_features(references, [dict(row) for row in rows], full_feature_names=full_names)
            for store in stores.values()
        )
        assert alike(ours.to_dict()) == alike(theirs.to_dict())


def test_the_order_of_the_answer_is_the_order_of_the_question(stores: dict[str, FeatureStore]) -> None:
    references = ["towns:rain", "everything:words", "towns:people", "everything:longs"]
    answer = stores["bulk"].get_online_features(references, {"town": ["Ribe"], "customer_id": [1]}).to_dict()
    assert list(answer) == ["town", "customer_id", "rain", "people", "words", "longs"]


@pytest.mark.parametrize("service", ROWS)
def test_asynchronous_reads_answer_the_same(stores: dict[str, FeatureStore], service: str) -> None:
    store = stores["bulk"]
    store.materialize(*SPAN)
    expected = read(store, service, ROWS[service]).to_dict()
    asked, full_names = store.get_feature_service(service), service == "renamed"

    async def twice() -> list[Any]:
        reads = [store.get_online_features_async(asked, dict(ROWS[service]), full_names) for _ in range(2)]
        return [answer.to_dict() for answer in await asyncio.gather(*reads)]

    assert asyncio.run(twice()) == [expected, expected]
    assert asyncio.run(twice()) == [expected, expected]


def test_values_of_every_type_come_back_as_they_were(stores: dict[str, FeatureStore]) -> None:
    stores["bulk"].materialize(*SPAN)
    answer = stores["bulk"].get_online_features(
        stores["bulk"].get_feature_service("plain"), {"customer_id": [1, 2, 3, 4], "town": ["Ribe"] * 4}
    )
    found = answer.to_dict()
    for name, (_, _, values) in TYPES.items():
        if name == "tickets":
            values = [value and UUID(value) for value in values]
        if name == "floats":
            values = [value and float(np.float32(value)) for value in values]
        assert found[name] == values, name


def test_the_json_of_stock_feast_can_be_made_of_the_message(stores: dict[str, FeatureStore]) -> None:
    stores["bulk"].materialize(*SPAN)
    ours, theirs = (
        convert_response_to_dict(
            store.get_online_features(["towns:people"], {"town": ["Ribe", "Mols"]}).proto
        )
        for store in stores.values()
    )
    assert ours == theirs
