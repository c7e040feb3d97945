"""The endpoint under a real Ray Serve: answers, refusals, and models that change while requests run.

The models and the feature store behind it are those of `serving_fakes`; everything between a request and them is real.
"""

import hashlib
import html
import json
import math
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import httpx
import polars as pl
import psutil
import pytest

from resources.records.reader import RecordError
from resources.serving.answers import with_vectors
from resources.serving.log import ServingLogResource
from resources.serving.log_writer import EVERY_S
from resources.serving.ray_serve import Endpoint
from resources.settings import PROJECT_ROOT
from tests.resources.serving_fakes import PATIENT

SERVE = "from resources.serving import ray_serve; import serving_fakes; raise SystemExit(ray_serve.main(serving_fakes.build))"
TRIP = {"distance": 3.0, "leaves_at": "2014-01-05T23:00:00-05:00"}
JSON = {"content-type": "application/json"}
MOMENT = "2014-01-06T05:00:00+00:00"


class Server:
    """A running endpoint, its records, and a client."""

    def __init__(self, home: Path, port: int, process: subprocess.Popen) -> None:
        self.home, self.process, self.address = home, process, f"http://127.0.0.1:{port}"
        self.endpoint = Endpoint(folder=str(home / "serving"), address=self.address)
        self.http = httpx.Client(base_url=self.address, timeout=30)

    def publish(self, name="trips", version="1", slope=2.0, **changes):
        content = json.dumps({"slope": slope}).encode()
        path = self.home / "serving" / f"{name}-{version}.model"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
        record = {
            "name": name,
            "version": version,
            "task": "regression",
            "model_path": str(path),
            "model_sha256": hashlib.sha256(content).hexdigest(),
            "scorer": "serving_fakes:FakeScorer",
            "feature_service": "trips_v1",
            "time": "asked_at",
            "moment": MOMENT,
            "owner": "team@example.org",
        }
        return self.endpoint.publish({**record, **changes})

    def models(self):
        return {model["name"]: model for model in self.http.get("/models").json()}

    def until(self, holds, seconds=10.0):
        deadline = time.monotonic() + seconds
        while not holds(self.models()):
            assert time.monotonic() < deadline, f"not within {seconds} s: {self.models()}"
            time.sleep(0.05)

    def stop(self):
        """Tell it to stop, if it has not been told; it must end with 0."""
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(timeout=60) == 0

    def withdraw_all(self):
        for path in (self.home / "serving").glob("*.json"):
            path.unlink()
        self.until(lambda models: not models)


@contextmanager
def running(home: Path, port: int) -> Iterator[Server]:
    """A server of its own, up; it must end with 0 when it is told to stop."""
    process = subprocess.Popen(
        [sys.executable, "-c", SERVE],
        env={
            **os.environ,
            "MLOPS_HOME": str(home),
            "MLOPS_SERVE_PORT": str(port),
            "PYTHONPATH": os.pathsep.join([str(PROJECT_ROOT), str(Path(__file__).parent)]),
        },
        start_new_session=True,
    )
    server = Server(home, port, process)
    try:
        _wait_until_up(server)
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="module")
def server(tmp_path_factory, free_port):
    with running(tmp_path_factory.mktemp("serving"), free_port()) as up:
        yield up


def _wait_until_up(server):
    deadline = time.monotonic() + 120
    while True:
        assert server.process.poll() is None, "the endpoint ended while it started"
        try:
            return server.http.get("/healthz").raise_for_status()
        except httpx.HTTPError:
            assert time.monotonic() < deadline
            time.sleep(0.2)


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


def logged(home: Path, model: str = "trips") -> set[str]:
    log = ServingLogResource(folder=str(home / "serving_log")).read(model, 1000)
    return set(log["__request_id"]) if log.width else set()


def replica(server: Server) -> psutil.Process:
    family = psutil.Process(server.process.pid).children(recursive=True)
    return next(process for process in family if "ServeReplica" in " ".join(process.cmdline()))


def ask(server: Server, count: int, model: str = "trips") -> set[str]:
    return {server.http.post(f"/predict/{model}", json=TRIP).json()["request_id"] for _ in range(count)}


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
    _wait_until_up(server)
    server.until(lambda models: "walks" in models, seconds=60)
    last = ask(server, 20, "walks")
    server.stop()
    assert early | last <= logged(server.home, "walks") <= early | late | last
