"""No body brings the endpoint down, and no web page reaches it: both are refused in words, before anything is done."""

import asyncio
import json
import threading

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from resources.serving.http import answering, bodies, predict
from resources.serving.http.guard import LARGEST_BODY, Guard
from tests.resources.endpoint_in_process import EVENT, TRIP, client, endpoint

JSON = {"content-type": "application/json"}
DOORS = {
    "/predict/trips": (TRIP, "distance"),
    "/v1/models/trips/predict": (TRIP, "distance"),
    "/push/readings": (EVENT, "temp"),
}


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> FastAPI:
    return endpoint(tmp_path_factory.mktemp("endpoint"), ("models.example.org",))


@pytest.fixture(scope="module")
def http(app: FastAPI) -> TestClient:
    return client(app)


def said(body: dict, field: str, value: str) -> bytes:
    return json.dumps(body | {field: "HERE"}).replace('"HERE"', value).encode()


VALUES = [
    *("NaN", "Infinity", "-Infinity", "1e999", str(2**63), str(-(2**63) - 1), "9" * 400, "9" * 10_000),
    *('"\\ud800"', '"\\udfff"', '{"a": 1}', "[[]]", '"\\u0000"', "[" * 40 + "]" * 40),
]
WHOLE = {
    "nothing": b"",
    "brackets": b"[" * 100_000,
    "closed brackets": b"[" * 100_000 + b"]" * 100_000,
    "objects": b'{"a":' * 100_000,
    "no UTF-8": b'{"distance": "\xff\xfe"}',
    "UTF-16": json.dumps(TRIP).encode("utf-16"),
    "a mark before": b"\xef\xbb\xbf" + json.dumps(TRIP).encode(),
    "two": json.dumps(TRIP).encode() * 2,
    "many items": b"[" + b"1," * 2000 + b"1]",
    "one long name": json.dumps({"x" * 1_000_000: 1}).encode(),
    "many names": json.dumps({f"x{n}": "y" * 100 for n in range(10_000)}).encode(),
    "half a name": b'{"\\ud800": 1}',
    "null": b"null",
    "a text": b'"\\ud83d\\ude00"',
}


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("value", VALUES, ids=lambda value: value[:20])
def test_a_value_that_no_column_holds_gets_422(http, door, value):
    body, field = DOORS[door]
    reply = http.post(door, content=said(body, field, value), headers=JSON)
    assert (reply.status_code, len(reply.content) < 5000) == (422, True), reply.text


@pytest.mark.parametrize("door", [*DOORS, "/get-online-features"])
@pytest.mark.parametrize("body", WHOLE.values(), ids=WHOLE)
def test_a_body_that_is_no_request_gets_422_in_few_words(http, door, body):
    reply = http.post(door, content=body, headers=JSON)
    assert (reply.status_code, len(reply.content) < 100_000) == (422, True), reply.text[:1000]


def test_a_name_that_stands_twice_is_refused_and_named(http):
    twice = json.dumps(TRIP)[:-1] + ', "distance": 4.0}'
    reply = http.post("/predict/trips", content=twice, headers=JSON)
    assert reply.status_code == 422
    assert "'distance' stands twice in one object" in reply.json()["detail"][0]["msg"]


@pytest.mark.parametrize("door", [*DOORS, "/get-online-features", "/predict/nobody"])
def test_a_body_above_the_limit_gets_413_by_its_length_and_by_counting(http, door):
    large = b" " * (LARGEST_BODY + 1)
    for content in (large, iter([large[: 2**20]] * 9)):
        reply = http.post(door, content=content, headers=JSON)
        assert (reply.status_code, str(LARGEST_BODY) in reply.json()["detail"]) == (413, True)


def test_of_a_body_above_the_limit_no_more_is_read_than_shows_it():
    read, answered = [], []

    async def receive():
        read.append(1)
        return {"type": "http.request", "body": b"x" * 100, "more_body": True}

    async def send(message):
        answered.append(message)

    async def nobody(*_):
        raise AssertionError("the application was asked")

    scope = {"type": "http", "method": "POST", "path": "/", "headers": [(b"host", b"localhost")]}
    scope["headers"].append((b"content-type", b"application/json"))
    asyncio.run(Guard(nobody, largest=1000)(scope, receive, send))  # type: ignore[arg-type]
    assert (answered[0]["status"], len(read)) == (413, 11)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"content-type": "text/plain"}, 415),
        ({"content-type": "application/x-www-form-urlencoded"}, 415),
        ({"content-type": "multipart/form-data; boundary=application/json"}, 415),
        ({"content-type": "text/plain; application/json"}, 415),
        ({"content-type": "application/json; charset=utf-16"}, 415),
        ({"content-type": "application/jsonp"}, 415),
        ({}, 415),
        (JSON | {"content-encoding": "gzip"}, 415),
        (JSON | {"host": "evil.example.org"}, 403),
        (JSON | {"host": "localhost.evil.example.org"}, 403),
        (JSON | {"host": "evil@localhost"}, 403),
        (JSON | {"host": "127.0.0.1.nip.io:8000"}, 403),
        (JSON | {"host": ""}, 403),
        (JSON | {"origin": "http://evil.example.org"}, 403),
        (JSON | {"origin": "http://localhost:3000"}, 403),
        (JSON | {"origin": "null"}, 403),
        (JSON | {"sec-fetch-site": "cross-site"}, 403),
    ],
)
@pytest.mark.parametrize("door", [*DOORS, "/get-online-features", "/a/later/route"])
def test_what_a_web_page_could_send_is_refused_at_every_door(http, door, headers, status):
    body = json.dumps(DOORS.get(door, ({}, ""))[0])
    reply = http.post(door, content=body, headers=headers)
    assert (reply.status_code, bool(reply.json()["detail"])) == (status, True)


@pytest.mark.parametrize(
    "host", ["localhost", "127.0.0.1:8000", "[::1]:9", "LOCALHOST:1", "models.example.org"]
)
def test_it_answers_to_the_names_of_the_loopback_address_and_to_those_that_are_allowed(http, host):
    for headers in ({"host": host}, {"host": host, "origin": f"http://{host}"}):
        assert http.post("/predict/trips", json=TRIP, headers=headers).status_code == 200
        assert http.get("/models", headers=headers).status_code == 200


def test_nothing_is_shown_to_a_page_whose_name_was_bound_to_this_machine(http):
    for path in ("/", "/models", "/healthz", "/openapi.json"):
        assert http.get(path, headers={"host": "evil.example.org"}).status_code == 403


def test_a_json_type_of_a_kind_and_a_charset_of_utf_8_are_json(http):
    for kind in ("application/json; charset=utf-8", "application/vnd.trips+json", "Application/JSON"):
        body = json.dumps(TRIP)
        reply = http.post("/predict/trips", content=body, headers={"content-type": kind})
        assert reply.status_code == 200, kind


def test_no_body_is_read_on_the_event_loop(app, monkeypatch):
    threads: list[threading.Thread] = []

    def noted(body: bytes, *most: int):
        threads.append(threading.current_thread())
        return bodies.parsed(body, *most)

    monkeypatch.setattr(predict, "parsed", noted)
    monkeypatch.setattr(answering, "parsed", noted)
    monkeypatch.setattr("resources.serving.http.features.parsed", noted)
    loop: list[threading.Thread] = []
    app.router.routes.append(_where_the_loop_runs(loop))
    with client(app) as asked:
        asked.get("/loop")
        for door in (*DOORS, "/get-online-features"):
            asked.post(door, json=DOORS.get(door, ({}, ""))[0])
    app.router.routes.pop()
    assert len(threads) == 4 and loop[0] not in threads


def _where_the_loop_runs(seen: list[threading.Thread]):
    from starlette.responses import Response
    from starlette.routing import Route

    async def note(_):
        seen.append(threading.current_thread())
        return Response()

    return Route("/loop", note)
