"""Predictions answered on their connection: byte by byte what the application would have answered, counted alike."""

import asyncio
import json
import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from resources.records.split import Split
from resources.serving.connection import Connection, Plain
from resources.serving.http import together
from resources.serving.http.guard import MOST_KNOWN, Known
from resources.serving.http.keys import key_hash, new_key
from resources.serving.http.straight import MOST_HEADS, Head, Heads, Place
from resources.serving_limits import Limits
from tests.resources.endpoint_in_process import TRIP, endpoint
from tests.resources.fast.test_lane import Short
from tests.resources.fast.wire import Wire, written

PATH = "/v1/models/trips/predict"
HEAD = {"Host": "localhost", "Content-Type": "application/json"}
KEY = new_key()


def made(folder: Any, **named: Any) -> Any:
    app = endpoint(folder, **named)
    models = app.state.models
    models.served = {name: replace(model, fast=Short()) for name, model in models.served.items()}
    return app


@pytest.fixture
def app(tmp_path, monkeypatch):
    for name in ("READING_S", "PREDICTING_S", "HURRY_S"):
        monkeypatch.setattr(together, name, 60.0)  # however busy the machine is
    return made(tmp_path)


def request(
    body: Any, path: str = PATH, method: str = "POST", head: dict[str, str] = HEAD, version: str = "1.1"
) -> bytes:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = [f"{method} {path} HTTP/{version}", *(f"{name}: {value}" for name, value in head.items())]
    return "\r\n".join([*lines, f"Content-Length: {len(content)}", "", ""]).encode() + content


def trip(distance: float) -> dict[str, Any]:
    return TRIP | {"distance": distance}


def told(found: tuple[bytes, bool]) -> tuple[bytes, bool]:
    """Without what differs every time."""
    return re.sub(rb'("request_id": ?")[0-9a-f]{32}', rb"\1", found[0]), found[1]


def taken(app: Any, monkeypatch: Any) -> list[str]:
    """The paths of the requests that are answered on their connection, as they come."""
    paths: list[str] = []
    whole = Plain.answer

    def answer(self: Plain, *given: Any) -> bool:
        paths.append(self.prediction.head.place.path)
        return whole(self, *given)

    monkeypatch.setattr(Plain, "answer", answer)
    return paths


def test_a_form_that_was_let_through_before_is_answered_on_the_connection(app, monkeypatch):
    paths = taken(app, monkeypatch)
    first, second = (told(written(app, Connection, [request(trip(2.0))])) for _ in range(2))
    assert first == second and first[0].endswith(b"}") and b'"value":12.0' in first[0]
    assert paths == [PATH]


def test_a_head_that_is_known_is_not_taken_apart_again(app, monkeypatch):
    parsed, whole = [], Connection.on_message_begin
    monkeypatch.setattr(Connection, "on_message_begin", lambda self: (parsed.append(1), whole(self)))
    found = [told(written(app, Connection, [request(trip(distance))])) for distance in (1.0, 2.0, 3.0, 4.0)]
    assert [b'"value":%.1f' % (3 * n * n) in answer for n, (answer, _) in enumerate(found, 1)] == [True] * 4
    assert len(parsed) == 2
    split = [request(trip(2.0))[:40], request(trip(2.0))[40:]]
    assert told(written(app, Connection, split)) == found[1] and len(parsed) == 3
    assert told(written(app, Connection, [request(trip(2.0)) * 2]))[0] == found[1][0] * 2


bodies = st.one_of(
    st.floats(0.0, 9.0).map(trip),
    st.lists(st.floats(0.0, 9.0).map(trip), max_size=3),
    st.sampled_from([trip(13.0), trip(-1.0), {"distance": 1.0}, 7, b"{", b"", b"\xff", trip(1.0) | {"a": 1}]),
)
heads = st.dictionaries(
    st.sampled_from(["X-Trace", "Connection", "Origin", "Accept", "Expect", "Cookie", "Host", "Upgrade"]),
    st.sampled_from(
        [
            "1",
            "close",
            "keep-alive",
            "http://localhost",
            "*/*",
            "100-continue",
            "localhost",
            "websocket",
            "Upgrade",
        ]
    ),
    max_size=2,
).map(lambda more: HEAD | more)
requests = st.builds(
    request,
    bodies,
    st.sampled_from([PATH, PATH, PATH, "/predict/trips", "/predict/nobody", f"{PATH}?features=false", "/x"]),
    st.sampled_from(["POST", "POST", "POST", "GET", "PUT"]),
    heads,
    st.sampled_from(["1.1", "1.1", "1.1", "1.0"]),
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(requests, min_size=1, max_size=4), st.lists(st.integers(1, 600), max_size=4))
def test_whatever_comes_in_whatever_pieces_is_answered_as_the_application_answers_it(app, some, cuts):
    written(app, Connection, [request(trip(1.0))])
    whole, pieces = b"".join(some), []
    for cut in cuts:
        pieces, whole = [*pieces, whole[:cut]], whole[cut:]
    pieces = [piece for piece in [*pieces, whole] if piece]
    assert told(written(app, Connection, pieces)) == told(written(app, HttpToolsProtocol, pieces))


def test_both_ways_are_counted_alike(tmp_path):
    def counted(protocol: Any) -> Any:
        app = made(tmp_path / protocol.__name__)
        counts: Sequence[Any] = [trip(1.0), trip(2.0), trip(13.0), {"distance": 1.0}, [trip(3.0)], 7]
        for body in counts:
            written(app, protocol, [request(body)])
        meter = app.state.straight.meter
        assert meter.counts.in_progress == 0
        return {place: found.outcomes for place, found in meter.counts.answers.items()}

    assert counted(Connection) == counted(HttpToolsProtocol)


def test_who_has_no_key_is_left_to_the_application(tmp_path, monkeypatch):
    app = made(tmp_path, keys=(f"partner:{key_hash(KEY)}",))
    paths, right = taken(app, monkeypatch), HEAD | {"X-API-Key": KEY}
    for _ in range(2):
        assert written(app, Connection, [request(trip(1.0), head=right)])[0].startswith(b"HTTP/1.1 200")
    assert paths == [PATH]
    for head in (HEAD, HEAD | {"X-API-Key": new_key()}):
        assert written(app, Connection, [request(trip(1.0), head=head)])[0].startswith(b"HTTP/1.1 401")
    assert paths == [PATH]


def test_one_that_may_not_wait_is_turned_away_on_its_connection_as_the_application_would(
    tmp_path, monkeypatch
):
    app = made(tmp_path, limits=Limits(wait_s=0.0))
    written(app, Connection, [request(trip(1.0))])
    paths, short = taken(app, monkeypatch), app.state.admissions["short"]
    for _ in range(together.AT_ANY_RATE):
        short.admit("trips", 100)
    found = [
        told(written(app, protocol, [request(trip(1.0))])) for protocol in (Connection, HttpToolsProtocol)
    ]
    assert found[0] == found[1] and found[0][0].startswith(b"HTTP/1.1 503")
    assert b"retry-after: 1" in found[0][0].lower() and paths == [PATH]
    again = [written(app, protocol, [request(trip(1.0))] * 3) for protocol in (Connection, HttpToolsProtocol)]
    assert again[0] == again[1] == (found[0][0] * 3, False) and paths == [PATH] * 2


def test_a_connection_on_which_requests_are_turned_away_is_kept_as_long_as_any_other(tmp_path):
    app = made(tmp_path, limits=Limits(wait_s=0.0))

    async def story() -> list[bool]:
        wire = Wire(app, Connection)
        for _ in range(2):
            wire.bring(request(trip(1.0)))
            await wire.settle()
        for _ in range(together.AT_ANY_RATE):
            app.state.admissions["short"].admit("trips", 100)
        wire.bring(request(trip(1.0)))
        assert wire.socket.pieces[-1].startswith(b"HTTP/1.1 503")
        wire.protocol.timeout_keep_alive_handler()
        closed = [wire.socket.closed]
        wire.protocol._heard -= 2 * wire.protocol.timeout_keep_alive
        wire.protocol.timeout_keep_alive_handler()
        return [*closed, wire.socket.closed]

    assert asyncio.run(story()) == [False, True]


def test_one_that_waits_too_long_is_told_so_on_its_connection(tmp_path, monkeypatch):
    app = made(tmp_path, limits=Limits(deadline_s=-1.0))
    first, second = (written(app, Connection, [request(trip(1.0))])[0] for _ in range(2))
    assert first == second and first.startswith(b"HTTP/1.1 504")


def test_who_leaves_before_the_answer_is_counted_as_gone_and_written_nothing(app):
    async def story() -> bytes:
        wires = [Wire(app, Connection) for _ in range(2)]
        for wire in wires:
            wire.bring(request(trip(1.0)))
            await wire.settle()
            wire.socket.pieces.clear()
        for wire in wires:
            wire.bring(request(trip(1.0)))
        wires[1].protocol.connection_lost(OSError("reset"))
        for wire in wires:
            await wire.settle()
        assert wires[0].socket.written.startswith(b"HTTP/1.1 200")
        return wires[1].socket.written

    assert asyncio.run(story()) == b""
    answers = app.state.straight.meter.counts.answers["trips", "/v1/models/{name}/predict"]
    assert answers.outcomes[("none", "disconnected")] == 1


def test_a_server_that_ends_answers_what_waits_and_then_ends_the_connection(app):
    async def story() -> tuple[bytes, bool]:
        wires = [Wire(app, Connection) for _ in range(2)]
        for wire in wires:
            wire.bring(request(trip(1.0)))
            await wire.settle()
            wire.socket.pieces.clear()
        for wire in wires:
            wire.bring(request(trip(1.0)))
        wires[1].protocol.shutdown()
        await wires[1].settle()
        return wires[1].socket.written, wires[1].socket.closed

    found, closed = asyncio.run(story())
    assert closed and found.startswith(b"HTTP/1.1 200") and b"connection: close" in found


class Other:
    """Another version, which answers the trips that are longer than two."""

    def __init__(self) -> None:
        self.counted: list[float] = []

    def takes(self, question: Any) -> bool:
        if question.requests[0].distance <= 2.0:
            return False
        question.tell_all([{"model": "trips", "version": "9", "value": 0.5}])
        return True

    def answered(self, question: Any) -> None:
        self.counted.append(question.requests[0].distance)


def test_requests_to_a_model_that_is_divided_are_answered_on_the_connection_by_either_version(
    app, monkeypatch
):
    paths, other = taken(app, monkeypatch), Other()
    written(app, Connection, [request(trip(1.0))])
    plain = told(written(app, Connection, [request(trip(2.0))]))
    monkeypatch.setattr(app.state.straight.together, "_elsewhere", other)
    assert b'"version":"9"' not in written(app, Connection, [request(trip(3.0))])[0], "nothing is divided yet"
    app.state.models.splits = {"trips": Split(name="trips", version="9", share=0.5)}
    assert told(written(app, Connection, [request(trip(2.0))])) == plain
    assert written(app, Connection, [request(trip(3.0))])[0].endswith(b'"version":"9","value":0.5}')
    assert paths == [PATH] * 4 and other.counted == [2.0]


def test_heads_are_forgotten_where_there_are_too_many():
    heads, place = Heads(), Place(PATH, "trips", PATH)
    for number in range(MOST_HEADS + 1):
        assert (heads.of(b"0\r\n\r\n{}") is None) == (number in (0, MOST_HEADS + 1))
        heads.add(b"%d\r\n\r\n{}" % number, Head(place, [], 2))
    assert heads.of(b"%d\r\n\r\n{}" % MOST_HEADS) and heads.of(b"0\r\n\r\n{}") is None
    heads.add(b"1\r\n\r\n{}{}", Head(place, [], 2))
    assert heads.of(b"1\r\n\r\n{}") is None, "another request came behind it"


def test_forms_that_were_let_through_are_forgotten_where_there_are_too_many():
    known = Known()
    for number in range(MOST_KNOWN):
        known.add(("GET", f"/{number}"))
    assert known.has(("GET", "/0"))
    known.add(("GET", "/one-more"))
    assert known.has(("GET", "/one-more")) and not known.has(("GET", "/0"))
