"""The process that serves has no Feast: it reads what was written down, and a process beside it takes pushes."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import jsonschema
import psutil
import pytest

from mlops_assets.ml.dataset import labelled
from mlops_assets.ml.training.fit import fit
from mlops_assets.use_cases.flights.request import entity_rows
from resources.living import lives
from resources.settings import PROJECT_ROOT
from tests.flights.endpoint_state import NOW, SERVICE, TRAINERS, State

SERVE = """
import sys
from resources.serving import hosting, process

def build(home):
    app = hosting.http_application(home)
    app.add_api_route("/imported", lambda: sorted(sys.modules))
    return app

raise SystemExit(process.main(build))
"""
KEPT_OUT = {"feast", "dagster", "mlflow", "ray", "pandas", "pyarrow", "evidently"}
UP_S = 120


ONLY = {"flight_delay": TRAINERS["flight_delay"]}
"""LightGBM's package imports pandas and pyarrow itself."""


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> State:
    return State(tmp_path_factory.mktemp("served"), trainers=ONLY)


@contextmanager
def serving(
    state: State, port: int, redis: str = "", ends: bool = True
) -> Iterator[tuple[httpx.Client, psutil.Process]]:
    """The endpoint over a state folder, ended when the block ends."""
    names = {"MLOPS_HOME": str(state.home.home), "MLOPS_SERVE_PORT": str(port), "MLOPS_ONLINE_STORE": redis}
    environment = {**os.environ, **names, "PYTHONPATH": str(PROJECT_ROOT)}
    process = subprocess.Popen([sys.executable, "-W", "ignore", "-c", SERVE], env=environment)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=UP_S) as http:
            _until(lambda: _answers(http), "the endpoint answers")
            yield http, psutil.Process(process.pid)
    finally:
        if ends:
            process.send_signal(signal.SIGTERM)
        assert (process.wait(UP_S) == 0) == ends


def _answers(http: httpx.Client) -> bool:
    try:
        return http.get("/healthz").status_code == 200
    except httpx.TransportError:
        return False


def _until(holds: Any, what: str) -> Any:
    deadline = time.monotonic() + UP_S
    while not (found := holds()):
        assert time.monotonic() < deadline, f"not within {UP_S} s: {what}"
        time.sleep(0.05)
    return found


def imported(http: httpx.Client) -> set[str]:
    return {name.partition(".")[0] for name in http.get("/imported").json()}


def ask(http: httpx.Client, body: Any) -> Any:
    reply = http.post("/predict/flight_delay?features=true", json=body)
    assert reply.status_code == 200, reply.text
    return reply.json()


def flights(state: State, count: int) -> list[dict[str, Any]]:
    return [json.loads(request.model_dump_json()) for request in state.requests(count)]


def refuse_feast(http: httpx.Client) -> None:
    assert imported(http) & KEPT_OUT == set()


@pytest.mark.parametrize("kind", ["sqlite", "redis"])
def test_predictions_with_on_demand_features_are_those_by_feast_and_import_neither_it_nor_its_libraries(
    tmp_path: Path, free_port: Any, kind: str, request: pytest.FixtureRequest
) -> None:
    redis = f"redis://127.0.0.1:{request.getfixturevalue('redis_port')}/11" if kind == "redis" else ""
    state = State(tmp_path, redis, ONLY) if redis else request.getfixturevalue("state")
    live = state.by_frames()
    wanted = live.predict(live.served["flight_delay"], state.requests(300), with_features=True)
    with serving(state, free_port(), redis) as (http, _):
        found = [ask(http, body) for body in flights(state, 5)]
        some, many = ask(http, flights(state, 20)), ask(http, flights(state, 300))
        plain = http.post("/predict/flight_delay", json=flights(state, 1)[0]).json()
        refuse_feast(http)
    for answers in (found, some, many):
        for one, other in zip(answers, wanted, strict=False):
            assert {**one, "request_id": ""} == json.loads(json.dumps({**other, "request_id": ""}))
    assert plain["probability"] == wanted[0]["probability"]


def test_a_version_beside_the_one_that_answers_gives_the_numbers_that_it_would_give_in_its_place(
    state: State, free_port: Any
) -> None:
    published = state.endpoint.published("flight_delay")
    assert published is not None
    spec = state.specs["flight_delay"]
    features = state.store.feature_columns(SERVICE)
    joined = state.store.historical(SERVICE, entity_rows(state.flights), "prediction_time")
    rows = labelled(joined, spec, NOW + timedelta(days=9))
    model = fit(rows, spec, features, rounds=5).model
    kept = state.endpoint.keep("flight_delay", 8, model)
    changes = {"version": "8", "model_path": str(kept), "model_sha256": hashlib.sha256(model).hexdigest()}
    other = published.model_copy(update=changes)
    state.endpoint.offer(other)
    live = state.live()
    wanted = live.predict(live.alone(other), state.requests(40), with_features=True)
    with serving(state, free_port()) as (http, process):
        path = "/v1/models/flight_delay/versions/8/predict?features=true"
        for count in (1, 40):
            reply = http.post(path, json=flights(state, count))
            assert reply.status_code == 200, reply.text
            for one, told in zip(reply.json(), wanted, strict=False):
                assert {**one, "request_id": ""} == json.loads(json.dumps({**told, "request_id": ""}))
        [version] = [child for child in process.children() if "resources.serving.versions" in child.cmdline()]
        mapped = {Path(one.path).parts for one in version.memory_maps()}
        assert not any({"pandas", "pyarrow", "feast"} & set(parts) for parts in mapped)
        document = http.get("/openapi.json").json()
        schema = {"$ref": "#/components/schemas/flight_delay.answer", "components": document["components"]}
        for one in reply.json():
            jsonschema.validate(one, schema)
        assert http.post(path.replace("8", "7"), json=flights(state, 1)).json()[0]["version"] == "7"
        refuse_feast(http)
    assert not lives(version.pid)


def event(**values: Any) -> dict[str, Any]:
    moment = (NOW + timedelta(minutes=20)).isoformat()
    return {"origin": "EWR", "event_timestamp": moment, "temp": 71.5} | values


def test_what_is_pushed_counts_at_once_also_after_the_process_that_takes_it_was_killed(
    state: State, free_port: Any
) -> None:
    flight = flights(state, 1)[0] | {"origin": "EWR"}
    with serving(state, free_port()) as (http, process):
        taken = http.post("/push/weather_observation", json=event())
        assert (taken.status_code, taken.json()["new"]) == (200, 1), taken.text
        assert ask(http, flight)["features"]["temp"] == 71.5
        [side] = process.children()
        side.kill()
        side.wait(UP_S)
        again = http.post("/push/weather_observation", json=[event(), event(temp=60.0, origin="JFK")])
        assert (again.status_code, again.json()["new"]) == (200, 1), again.text
        wrong = http.post("/push/weather_observation", json={"origin": "EWR"})
        assert wrong.status_code == 422
        asked = {"features": ["weather:temp"], "entities": {"origin": ["EWR", "JFK"]}}
        question = asked | {"as_of": event()["event_timestamp"]}
        told = http.post("/get-online-features", json=question).json()
        assert told["results"][1]["values"] == [71.5, 60.0]
        refuse_feast(http)
        [side] = _until(process.children, "the side process runs again")
    assert not lives(side.pid)


def test_the_process_beside_it_ends_when_the_endpoint_is_killed(state: State, free_port: Any) -> None:
    with serving(state, free_port(), ends=False) as (http, process):
        assert http.post("/push/weather_observation", json=event()).status_code == 200
        [side] = process.children()
        folder = Path(side.cmdline()[-1]).parent
        assert folder.is_dir()
        process.kill()
    _until(lambda: not lives(side.pid), "the side process has ended")
    assert not folder.exists()


def test_what_is_missing_beside_the_registry_is_written_by_another_process(
    state: State, free_port: Any
) -> None:
    file = state.home.feast / "flights" / "serving.json"
    written = file.read_text()
    file.unlink()
    with serving(state, free_port()) as (http, _):
        assert ask(http, flights(state, 1)[0])["features"]
        refuse_feast(http)
    assert json.loads(file.read_text()) == json.loads(written)
