"""`?explain=true`: what each feature added to an answer's score, over HTTP, of a model as it is deployed."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl
import pytest

from resources.serving.explanations import MOST_ROWS
from resources.serving.http.predict import application
from resources.serving.ray_serve import Endpoint
from tests.flights.endpoint_state import NOW, State, as_of
from tests.resources.endpoint_in_process import TRIP, client, endpoint
from tests.resources.serving_fakes import FakeScorer

ADDRESSES = ("/predict/trips", "/v1/models/trips/predict")


class Explaining(FakeScorer):
    """Twice the squared distance, told as a base of 1 and the rest; an unknown feature adds nothing."""

    features = ("unknown", "distance_squared")

    def contributions(self, frame: pl.DataFrame) -> Any:
        rest = frame["distance_squared"].to_numpy() * self.slope - 1
        values = np.stack([np.zeros(frame.height), rest], axis=1)
        return SimpleNamespace(link="identity", base=np.ones(frame.height), values=values)


@pytest.fixture
def app(tmp_path):
    made = endpoint(tmp_path)
    models = made.state.models
    models.served = {n: replace(m, scorer=Explaining(b'{"slope": 2.0}')) for n, m in models.served.items()}
    return made


@pytest.mark.parametrize("address", ADDRESSES)
def test_an_explanation_stands_beside_the_answer_the_largest_part_first(app, address):
    http = client(app)
    answer = http.post(f"{address}?explain=true", json=TRIP).raise_for_status().json()
    assert answer["value"] == 18.0 and "features" not in answer
    assert answer["explanation"] == {
        "link": "identity",
        "formula": "base + contributions = raw = value",
        "base": 1.0,
        "raw": 18.0,
        "value": 18.0,
        "contributions": [
            {"feature": "distance_squared", "value": 9.0, "contribution": 17.0},
            {"feature": "unknown", "value": None, "contribution": 0.0},
        ],
    }
    assert "explanation" not in http.post(address, json=TRIP).json()
    assert "explanation" not in http.post(f"{address}?explain=false", json=TRIP).json()


@pytest.mark.parametrize("address", ADDRESSES)
def test_each_row_of_a_batch_has_its_own_and_features_may_be_asked_for_too(app, address):
    trips = [TRIP | {"distance": float(number)} for number in range(3)]
    answers = client(app).post(f"{address}?explain=true&features=true", json=trips).json()
    assert [answer["explanation"]["raw"] for answer in answers] == [0.0, 2.0, 8.0]
    assert [answer["features"]["distance_squared"] for answer in answers] == [0.0, 1.0, 4.0]


def test_more_rows_than_are_explained_at_once_are_refused_before_anything_is_predicted(app):
    http = client(app)
    reply = http.post("/predict/trips?explain=true", json=[TRIP] * (MOST_ROWS + 1))
    assert reply.status_code == 422
    assert f"with explain=true at most {MOST_ROWS}" in reply.json()["detail"][0]["msg"]
    assert len(http.post("/predict/trips?explain=true", json=[TRIP] * MOST_ROWS).json()) == MOST_ROWS
    assert len(http.post("/predict/trips", json=[TRIP] * (MOST_ROWS + 1)).json()) == MOST_ROWS + 1


def test_a_model_that_cannot_be_explained_says_so(tmp_path):
    http = client(endpoint(tmp_path))
    reply = http.post("/predict/trips?explain=true", json=TRIP)
    assert (reply.status_code, "ask without explain=true" in reply.text) == (422, True)
    assert reply.json()["detail"][0]["loc"] == ["query", "explain"]
    wrong = http.post("/predict/trips?explain=true", json={})
    assert wrong.status_code == 422, "what is sent wrong is told first"


@pytest.fixture(scope="module")
def flights(tmp_path_factory: pytest.TempPathFactory) -> State:
    state = State(tmp_path_factory.mktemp("explained"))
    Endpoint(folder=str(state.home.serving)).advance(NOW, "flights")
    return state


@pytest.mark.parametrize("name", ["flight_delay", "arrival_minutes"])
def test_the_flights_are_explained_by_names_and_values_that_a_user_knows(flights, name):
    app = application(as_of(flights.live(), NOW), "http://localhost")
    bodies = [request.model_dump(mode="json") for request in flights.requests(20)]
    answers = client(app).post(f"/predict/{name}?explain=true&features=true", json=bodies)
    for body, answer in zip(bodies, answers.raise_for_status().json(), strict=True):
        told = answer["explanation"]
        parts = {part["feature"]: part for part in told["contributions"]}
        assert parts["carrier"]["value"] == body["carrier"]
        assert {feature: part["value"] for feature, part in parts.items()}.items() <= (
            answer["features"].items()
            | {(f, parts[f]["value"]) for f in parts.keys() - answer["features"].keys()}
        )
        raw = told["base"] + sum(part["contribution"] for part in parts.values())
        assert told["raw"] == pytest.approx(raw)
        if name == "flight_delay":
            assert told["link"] == "logit" and "log-odds" in told["formula"]
            assert answer["probability"] == pytest.approx(1 / (1 + np.exp(-raw)), abs=1e-5)
        else:
            assert told["link"] == "identity" and answer["value"] == pytest.approx(raw, abs=1e-3)
        sizes = [abs(part["contribution"]) for part in told["contributions"]]
        assert sizes == sorted(sizes, reverse=True) and len(parts) == len(sizes) > 20
