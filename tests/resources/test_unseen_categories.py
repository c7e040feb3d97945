"""A category that no training row had is told in the answer that met it, and counted without growing for ever."""

import hashlib
import json
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from fastapi.testclient import TestClient
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops_assets.ml.dataset import Encoding
from resources.serving.code import Code
from resources.serving.http.predict import application
from resources.serving.live_models import LiveModels
from resources.serving.ray_serve import Endpoint
from resources.serving.unseen_categories import LONGEST_VALUE, MOST_VALUES, UnseenCategories
from tests.resources.serving_fakes import FakeFeatures, FakeScorer, declared

MORNING = "2014-01-05T23:00:00-05:00"


class RouteScorer(FakeScorer):
    """Knows two routes, as a model does whose training rows had no other."""

    unseen = staticmethod(Encoding(("route",), {"route": ("EWR-SFO", "JFK-LAX")}).unseen)


def routes(name: str) -> Code:
    """The fakes' repository, with a scorer that knows some routes."""
    here = frozenset({"tests.resources.test_unseen_categories:RouteScorer"})
    known = declared(name)
    return replace(known, names={**known.names, "scorer": here}, scorer=RouteScorer)


@pytest.fixture
def http(tmp_path):
    model = tmp_path / "serving" / "trips.model"
    model.parent.mkdir()
    model.write_bytes(b'{"slope": 1}')
    record = {
        "name": "trips",
        "version": "1",
        "task": "regression",
        "model_path": str(model),
        "model_sha256": hashlib.sha256(b'{"slope": 1}').hexdigest(),
        "scorer": "tests.resources.test_unseen_categories:RouteScorer",
        "feature_service": "trips_v1",
        "request": "tests.resources.serving_fakes:TripRequest",
        "rows": "tests.resources.serving_fakes:trip_rows",
        "time": "asked_at",
        "moment": "2014-01-06T05:00:00+00:00",
    }
    Endpoint(folder=str(tmp_path / "serving")).publish(record)
    models = LiveModels(tmp_path / "serving", FakeFeatures(), routes)
    models.look()
    with TestClient(application(models, "http://here"), base_url="http://localhost") as client:
        yield client


def ask(http: TestClient, *routes: str) -> list[dict[str, Any]]:
    body = [{"route": route, "leaves_at": MORNING} for route in routes]
    return http.post("/predict/trips", json=body).raise_for_status().json()


def test_an_answer_has_warnings_only_where_its_own_request_has_an_unseen_category(http):
    known, unseen = ask(http, "JFK-LAX", "LHR-CDG")
    assert "warnings" not in known
    assert unseen["warnings"] == ["route 'LHR-CDG' was not in the training rows"]
    assert {**unseen, "warnings": 0}.keys() - known.keys() == {"warnings"}


def test_one_request_is_warned_as_a_list_is(http):
    answer = http.post("/predict/trips", json={"route": "LHR-CDG", "leaves_at": MORNING}).json()
    assert answer["warnings"] == ["route 'LHR-CDG' was not in the training rows"]


def test_what_was_unseen_is_counted_by_model_and_column_at_healthz(http):
    assert http.get("/healthz").json()["unseen_categories"] == {}
    ask(http, *["LHR-CDG", "JFK-LAX", "CDG-LHR"] * 5)
    assert http.get("/healthz").json()["unseen_categories"] == {
        "trips": {"route": {"answers": 10, "values": {"LHR-CDG": 5, "CDG-LHR": 5}, "with_other_values": 0}}
    }


@settings(max_examples=50)
@given(st.lists(st.lists(st.text(max_size=3) | st.text(min_size=LONGEST_VALUE + 1), max_size=30), max_size=8))
def test_every_answer_is_counted_and_few_values_are_remembered(batches):
    counted = UnseenCategories()
    for batch in batches:
        told = counted.count("trips", {row: {"route": value} for row, value in enumerate(batch)})
        assert set(told) == set(range(len(batch)))
    sent = Counter(value[:LONGEST_VALUE] for batch in batches for value in batch)
    found = (
        counted.status().get("trips", {}).get("route", {"answers": 0, "values": {}, "with_other_values": 0})
    )
    assert found["answers"] == sent.total() == sum(found["values"].values()) + found["with_other_values"]
    assert len(found["values"]) == min(MOST_VALUES, len(sent))
    assert all(count == sent[value[:LONGEST_VALUE]] for value, count in found["values"].items())
    assert max(map(len, found["values"]), default=0) <= LONGEST_VALUE + 1
    assert json.loads(json.dumps(counted.status())) == counted.status()
