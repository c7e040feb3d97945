"""The endpoint under a real Ray Serve: answers, refusals, and models that change while requests run.

The models and the feature store behind it are those of `serving_fakes`; everything between a request and them is real.
"""

import html
import json
import math
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import polars as pl
import psutil
import pytest

from resources.records.reader import RecordError
from resources.serving.answers import with_vectors
from resources.serving.log_writer import EVERY_S
from resources.serving.ray_serve import Endpoint
from tests.resources.endpoint_process import JSON, MOMENT, TRIP, Server, ask, logged, running, wait_until_up
from tests.resources.serving_fakes import PATIENT


@pytest.fixture(scope="module")
def server(tmp_path_factory, free_port):
    with running(tmp_path_factory.mktemp("serving"), free_port(), how="ray_serve") as up:
        yield up


@pytest.fixture
def trips(server):
    server.withdraw_all()
    server.publish()
    server.until(lambda models: models.get("trips", {}).get("version") == "1")
    return server


def test_before_any_deployment_the_answer_says_what_to_do(server):
    server.withdraw_all()
    reply = server.http.post("/predict/trips", json=TRIP)
    assert reply.status_code == 503
    assert "materialize the asset trips/deployment" in reply.json()["detail"]


def test_an_answer_names_model_version_request_and_moment(trips):
    reply = trips.http.post("/predict/trips", json=TRIP)
    answer = reply.raise_for_status().json()
    assert len(answer.pop("request_id")) == 32
    assert answer == {"model": "trips", "version": "1", "value": 18.0, "as_of": MOMENT}


def test_a_classifier_answers_with_a_probability(trips):
    trips.publish("risk", task="classification", slope=0.05)
    trips.until(lambda models: "risk" in models)
    assert trips.http.post("/predict/risk", json=TRIP).json()["probability"] == pytest.approx(0.45)


def test_features_are_shown_on_request_and_only_those(trips):
    answer = trips.http.post("/predict/trips?features=true", json=TRIP).json()
    assert answer["features"] == {"distance_squared": 9.0, "age_hours": 1, "unknown": None}


def test_a_list_of_requests_is_answered_by_a_list_in_the_same_order(trips):
    batch = [{**TRIP, "distance": float(d)} for d in range(50)]
    answers = trips.http.post("/predict/trips", json=batch).json()
    assert [answer["value"] for answer in answers] == [2.0 * d * d for d in range(50)]
    assert len({answer["request_id"] for answer in answers}) == 50
    assert trips.http.post("/predict/trips", json=[]).json() == []


@pytest.mark.parametrize(
    ("body", "where"),
    [
        ({"distance": "far", "leaves_at": TRIP["leaves_at"]}, ["body", "distance"]),
        ({"distance": 3.0}, ["body", "leaves_at"]),
        ({**TRIP, "speed": 1}, ["body", "speed"]),
        ([TRIP, {"distance": 3.0}], ["body", 1, "leaves_at"]),
        (7, ["body"]),
        ([TRIP] * 1001, ["body"]),
    ],
)
def test_a_malformed_request_gets_422_with_the_field_named(trips, body, where):
    reply = trips.http.post("/predict/trips", json=body)
    assert reply.status_code == 422
    assert reply.json()["detail"][0]["loc"] == where


def test_a_body_that_is_not_json_gets_422(trips):
    reply = trips.http.post("/predict/trips", content=b"{distance: 3", headers=JSON)
    assert (reply.status_code, reply.json()["detail"][0]["type"]) == (422, "json_invalid")


def with_distance(number: str) -> str:
    return json.dumps(TRIP).replace("3.0", number)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999", '"nan"', '"-inf"'])
def test_a_number_that_is_not_finite_gets_422_with_the_field_named(trips, number):
    for body, where in (
        (with_distance(number), ["body", "distance"]),
        (f"[{with_distance('1')}, {with_distance(number)}]", ["body", 1, "distance"]),
    ):
        reply = trips.http.post("/predict/trips", content=body, headers=JSON)
        assert reply.status_code == 422, reply.text
        assert [problem["loc"] for problem in reply.json()["detail"]] == [where]
        assert "finite number" in reply.json()["detail"][0]["msg"]


def test_a_model_that_gives_no_finite_number_gets_500_in_words_and_not_null(trips):
    batch = f"[{with_distance('1')}, {with_distance('1e200')}, {with_distance('-0.0')}]"
    reply = trips.http.post("/predict/trips", content=batch, headers=JSON)
    assert reply.status_code == 500
    said = reply.json()["detail"]
    assert "version 1 of trips failed" in said
    assert "no finite number for 1 of 3 requests, the first is request 1 (inf)" in said
    assert trips.http.post("/predict/trips", json=TRIP).status_code == 200


def test_what_json_cannot_say_is_null_among_the_features_shown():
    frame = pl.DataFrame({"speed": [1.5, math.nan, math.inf, -math.inf, None], "stops": [1, 2, 3, 4, None]})
    shown = with_vectors([{}] * 5, frame)
    assert [answer["features"]["speed"] for answer in shown] == [1.5, None, None, None, None]
    assert [answer["features"]["stops"] for answer in shown] == [1, 2, 3, 4, None]


def test_an_unknown_model_gets_404_with_the_models_there_are(trips):
    reply = trips.http.post("/predict/trip", json=TRIP)
    assert (reply.status_code, reply.json()["detail"]["models"]) == (404, ["trips"])


def test_a_failure_behind_the_model_is_told_and_does_not_stop_it(trips):
    reply = trips.http.post("/predict/trips", json={**TRIP, "distance": -1})
    assert (reply.status_code, "feature store away" in reply.json()["detail"]) == (500, True)
    assert trips.http.post("/predict/trips", json=TRIP).status_code == 200


def test_a_model_may_bring_its_own_request_and_rows(trips):
    trips.publish("routes", rows="serving_fakes:trip_rows", request="serving_fakes:TripRequest")
    trips.until(lambda models: "routes" in models)
    request = {"route": "JFK-LAX", "leaves_at": TRIP["leaves_at"]}
    assert trips.http.post("/predict/routes", json=request).json()["value"] == 98.0
    assert trips.http.post("/predict/routes", json={**request, "route": "x"}).status_code == 422


def test_the_page_shows_a_curl_line_that_works(trips):
    page = trips.http.get("/")
    assert page.headers["content-type"].startswith("text/html")
    body = html.unescape(page.text).split("-d '")[1].split("'")[0]
    assert trips.http.post("/predict/trips", json=json.loads(body)).status_code == 200


def test_requests_through_a_swap_are_all_answered_by_the_old_or_the_new_version(trips):
    answers, swapped = [], threading.Event()

    def ask(number):
        if number == 60:
            trips.publish(version="2", slope=3.0)
            swapped.set()
        if number > 60:
            time.sleep(0.08)
        reply = trips.http.post("/predict/trips", json=TRIP)
        answers.append((reply.status_code, reply.json()["version"], reply.json()["value"]))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(ask, range(200)))
    assert swapped.is_set() and len(answers) == 200
    assert set(answers) == {(200, "1", 18.0), (200, "2", 27.0)}
    trips.until(lambda models: models["trips"]["version"] == "2", seconds=10)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"slope": -1.0}, "slope -1.0 is negative"),
        ({"model_sha256": "0" * 64}, "the record says " + "0" * 64),
        ({"model_path": "/nowhere/model"}, "model_path '/nowhere/model' lies outside of"),
        ({"rows": "os:system"}, "rows 'os:system' is not what the spec in the repository declares"),
        ({"request": "os:system"}, "request 'os:system' is not what the spec"),
        ({"scorer": "serving_fakes:trip_rows"}, "scorer 'serving_fakes:trip_rows' is not what the spec"),
    ],
)
def test_a_bad_record_leaves_the_old_version_serving_and_is_shown(trips, change, problem):
    trips.publish(version="2", **change)
    trips.until(lambda models: models["trips"]["problem"])
    shown = trips.models()["trips"]
    assert problem in shown["problem"] and shown["version"] == "1"
    assert trips.http.post("/predict/trips", json=TRIP).json()["version"] == "1"
    trips.publish(version="3", slope=4.0)
    trips.until(lambda models: models["trips"]["version"] == "3" and not models["trips"]["problem"])


def test_a_first_record_that_is_bad_gets_503_with_the_reason(trips):
    (trips.home / "serving" / "broken.json").write_text('{"name": "broken"}')
    trips.until(lambda models: "broken" in models)
    reply = trips.http.post("/predict/broken", json=TRIP)
    assert (reply.status_code, "field version" in reply.json()["detail"]) == (503, True)


def test_a_new_moment_is_taken_up_without_loading_the_model_again(trips):
    since = trips.models()["trips"]["since"]
    assert trips.endpoint.advance(datetime(2014, 1, 7, 5, tzinfo=UTC))
    trips.until(lambda models: models["trips"]["as_of"].startswith("2014-01-07"))
    assert trips.models()["trips"]["since"] == since


def test_a_withdrawn_model_is_gone(trips):
    trips.publish("risk", task="classification")
    trips.until(lambda models: "risk" in models)
    assert trips.endpoint.withdraw("risk") and not trips.endpoint.withdraw("risk")
    trips.until(lambda models: "risk" not in models)
    assert trips.http.post("/predict/risk", json=TRIP).status_code == 404


def test_nothing_listens_beyond_the_loopback_address(trips):
    family = [psutil.Process(trips.process.pid)]
    family += family[0].children(recursive=True)
    listening = {
        (connection.laddr.ip, process.name())
        for process in family
        for connection in process.net_connections(kind="inet")
        if connection.status == psutil.CONN_LISTEN
    }
    assert {ip for ip, _ in listening} <= {"127.0.0.1", "::1", "::ffff:127.0.0.1"}, listening
    assert listening


def test_records_are_checked_when_they_are_published(tmp_path):
    endpoint = Endpoint(folder=str(tmp_path))
    with pytest.raises(RecordError, match=r"a deployment record to publish: field .*: Field required"):
        endpoint.publish({"name": "trips", "version": 1})
    assert endpoint.records() == {}


def replica(server: Server) -> psutil.Process:
    family = psutil.Process(server.process.pid).children(recursive=True)
    return next(process for process in family if "ServeReplica" in " ".join(process.cmdline()))


def test_what_was_served_is_logged_though_the_replica_is_killed_and_the_server_told_to_stop(server):
    """The last test here: the server that the others asked ends in it. A model of its own has a log of its own."""
    server.publish("walks")
    server.until(lambda models: "walks" in models)
    early = ask(server, 20, "walks")
    time.sleep(EVERY_S + 2.0)
    late = ask(server, 5, "walks")
    (server.home / PATIENT).touch()
    replica(server).kill()
    assert early <= logged(server.home, "walks") <= early | late
    wait_until_up(server)
    server.until(lambda models: "walks" in models, seconds=60)
    last = ask(server, 20, "walks")
    server.stop()
    assert early | last <= logged(server.home, "walks") <= early | late | last
