"""`python -m resources.serving` as it is shipped, over a small real state: lake, Feast, a fitted model, real requests."""

import hashlib
import os
import signal
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path

import httpx
import polars as pl
import pytest
import yaml
from polars.testing import assert_frame_equal

from mlops_assets.ml.dataset import labelled
from mlops_assets.ml.training.fit import Scorer, fit
from mlops_assets.spec.model import ModelSpec
from mlops_assets.use_cases.flights.request import EXAMPLE, REQUEST_COLUMNS, FlightRequest, entity_rows
from resources.features.stores import FeatureStores
from resources.serving.http.forms import example
from resources.serving.ray_serve import Endpoint
from resources.settings import PROJECT_ROOT, settings
from tests.flights import lakes

START, NOW = lakes.bounds(lakes.MONDAYS[0])[0], lakes.bounds(lakes.MONDAYS[1])[1]
SERVICE = "flight_delay_v1"
FIELDS = list(FlightRequest.model_fields)


def flight_spec() -> ModelSpec:
    attributes = yaml.safe_load(
        (PROJECT_ROOT / "mlops_assets/use_cases/flights/models/flight_delay/defs.yaml").read_text()
    )
    spec = attributes["attributes"] | {"calendar": {"cadence": "weekly", "start": "2013-01-07"}}
    spec["trainer"] = {"categories": ["carrier", "origin"], "rounds": 5}
    return ModelSpec.model_validate(spec)


@pytest.fixture(scope="module")
def state(tmp_path_factory):
    """A lake of two random weeks, its online store, and a model fitted on them."""
    home = settings({"MLOPS_HOME": str(tmp_path_factory.mktemp("flights"))})
    flights = lakes.random_flights(11, 600)
    lakes.write(Path(home.lake), flights, lakes.random_weather(11), lakes.some_planes())
    store = FeatureStores(lake_root=home.lake, home=str(home.feast)).of("flights")
    store.apply()
    store.materialize(store.views(SERVICE), START, NOW)
    spec = flight_spec()
    joined = store.historical(SERVICE, entity_rows(flights), "prediction_time")
    model = fit(labelled(joined, spec, NOW + timedelta(days=9)), spec, store.feature_columns(SERVICE)).model
    return home, flights, store, spec, model


@pytest.fixture(scope="module")
def client(state, free_port):
    home, _, _, spec, model = state
    path = home.serving / "flight_delay.ubj"
    path.parent.mkdir(parents=True)
    path.write_bytes(model)
    endpoint = Endpoint(folder=str(home.serving))
    endpoint.advance(NOW, "flights")
    endpoint.publish(
        {
            "name": spec.name,
            "version": 7,
            "task": spec.task,
            "model_path": str(path),
            "model_sha256": hashlib.sha256(model).hexdigest(),
            "scorer": "mlops_assets.ml.training.fit:Scorer",
            "feature_service": spec.feature_service,
            "rows": spec.prediction.rows,
            "request": spec.prediction.request,
            "key": spec.prediction.key,
            "time": spec.prediction.time,
            "owner": spec.owner,
        }
    )
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "resources.serving"],
        cwd=PROJECT_ROOT,
        env={**os.environ, "MLOPS_HOME": str(home.home), "MLOPS_SERVE_PORT": str(port)},
        start_new_session=True,
    )
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as http:
            _wait_for_the_model(http, process)
            yield http
    finally:
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=60) == 0


def _wait_for_the_model(http: httpx.Client, process: subprocess.Popen) -> None:
    deadline = time.monotonic() + 120
    while True:
        assert process.poll() is None and time.monotonic() < deadline
        try:
            models = http.get("/models").json()
        except (httpx.HTTPError, ValueError):
            models = []
        if models:
            assert models[0]["problem"] is None, models
            return
        time.sleep(0.2)


def as_requests(flights: pl.DataFrame) -> list[dict]:
    return [
        {name: value.isoformat() if name.startswith("scheduled_") else value for name, value in row.items()}
        for row in flights.select(FIELDS).to_dicts()
    ]


def test_served_features_and_scores_equal_the_offline_join_at_the_same_moment(client, state):
    _, flights, store, _, model = state
    asked = flights.head(500)
    answers = client.post("/predict/flight_delay?features=true", json=as_requests(asked)).json()
    rows = entity_rows(asked.with_columns(pl.lit(NOW).alias("prediction_time")))
    offline = store.historical(SERVICE, rows, "prediction_time")
    names = store.feature_columns(SERVICE)
    served = pl.DataFrame([answer["features"] for answer in answers], schema=offline.select(names).schema)
    assert_frame_equal(served, offline.select(names), check_exact=True)
    assert [answer["probability"] for answer in answers] == Scorer(model).predict(offline).tolist()
    assert served.select(pl.all().is_not_null().any()).row(0).count(True) > 20
    assert {answer["version"] for answer in answers} == {"7"}


def test_one_flight_is_answered_like_the_same_flight_in_a_list(client):
    alone = client.post("/predict/flight_delay?features=true", json=EXAMPLE).json()
    listed = client.post("/predict/flight_delay?features=true", json=[EXAMPLE, EXAMPLE]).json()
    for answer in (alone, *listed):
        answer.pop("request_id")
    assert listed == [alone, alone]


def test_an_airline_that_no_training_row_had_is_answered_with_a_warning_and_counted(client):
    answer = client.post("/predict/flight_delay", json=EXAMPLE | {"carrier": "ZZ"}).json()
    assert "carrier 'ZZ' was not in the training rows" in answer["warnings"]
    counted = client.get("/healthz").json()["unseen_categories"]["flight_delay"]["carrier"]
    assert counted["values"]["ZZ"] == 1


def test_flights_asked_as_tensors_are_answered_like_the_same_flights_in_a_list(client):
    flights = [EXAMPLE, EXAMPLE | {"carrier": "ZZ", "tailnum": None}]
    told = client.get("/v2/models/flight_delay").json()
    inputs = [
        {
            "name": one["name"],
            "datatype": one["datatype"],
            "shape": [2],
            "data": [f[one["name"]] for f in flights],
        }
        for one in told["inputs"]
    ]
    reply = client.post("/v2/models/flight_delay/versions/7/infer", json={"inputs": inputs})
    columns = {one["name"]: one["data"] for one in reply.raise_for_status().json()["outputs"]}
    answers = client.post("/v1/models/flight_delay/predict", json=flights).json()
    assert columns["probability"] == [answer["probability"] for answer in answers]
    assert columns["warnings"][0] == "" and "carrier 'ZZ' was not" in columns["warnings"][1]
    arrival = next(one for one in inputs if one["name"] == "scheduled_arrival")
    arrival["data"] = [EXAMPLE["scheduled_departure"]] * 2
    refused = client.post("/v2/models/flight_delay/infer", json={"inputs": inputs})
    assert refused.json()["detail"][0]["loc"] == ["body", "inputs", 0]


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"origin": "New York"}, ["body", "origin"]),
        ({"scheduled_departure": "2014-01-06T08:00:00"}, ["body", "scheduled_departure"]),
        ({"distance": 944}, ["body", "distance"]),
        ({"scheduled_arrival": EXAMPLE["scheduled_departure"]}, ["body"]),
    ],
)
def test_a_malformed_flight_gets_422_with_the_field_named(client, change, where):
    reply = client.post("/predict/flight_delay", json={**EXAMPLE, **change})
    assert (reply.status_code, reply.json()["detail"][0]["loc"]) == (422, where)


def test_the_page_offers_a_flight_to_try(client):
    page = client.get("/").text
    assert "flight_delay" in page and str(EXAMPLE["flight"]) in page and "version 7" in page


def test_without_a_form_of_its_own_a_model_asks_for_what_its_feature_service_reads(state):
    from mlops_assets.stages.served import declared
    from resources.serving.live_models import LiveModels

    home, _, store, _, _ = state
    record = Endpoint(folder=str(home.serving)).records()["flight_delay"]
    plain = record.model_copy(update={"rows": None, "request": None})
    models = LiveModels(home.serving, store, declared)
    models.look()
    model = models._load(plain)
    assert list(model.request.model_fields) == store.input_columns(SERVICE)
    with pytest.raises(ValueError, match="departure_hour"):
        model.request.model_validate({"origin": "JFK"})
    keys = {k: v for k, v in example(model.request).items() if k not in REQUEST_COLUMNS}
    assert model.request.model_validate(keys).model_dump(include={*REQUEST_COLUMNS}) == dict.fromkeys(
        REQUEST_COLUMNS
    )
    (answer,) = models.predict(model, [model.request.model_validate(keys)], with_features=True)
    assert answer["features"]["trip_minutes"] is None
