"""What one request may ask, and for how long: each limit is a setting, and beyond it the answer says which."""

import asyncio
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from hypothesis import given
from hypothesis import strategies as st

from resources.serving.http.admission import Admission, FullError
from resources.serving.http.behind import THREADS
from resources.serving.http.together import AT_ANY_RATE
from resources.serving_limits import Limits
from resources.settings import settings
from tests.resources.endpoint_in_process import TRIP, client, endpoint
from tests.resources.fast.test_lane import Short

PREDICT = "/v1/models/trips/predict"
TENSORS = {
    "inputs": [
        {"name": "distance", "datatype": "FP64", "shape": [1], "data": [3.0]},
        {"name": "leaves_at", "datatype": "BYTES", "shape": [1], "data": [TRIP["leaves_at"]]},
    ]
}
DOORS = {PREDICT: TRIP, "/predict/trips": TRIP, "/v2/models/trips/infer": TENSORS}


def quick(app: FastAPI, model: Any = None) -> FastAPI:
    """The application with a model that answers by the short way."""
    models = app.state.models
    models.served = {n: replace(m, fast=model or Short()) for n, m in models.served.items()}
    return app


def all_at_once(app: FastAPI, asked: list[tuple[str, Any]]) -> list[httpx.Response]:
    async def ask() -> list[httpx.Response]:
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as http:
            return await asyncio.gather(*[http.post(path, json=body) for path, body in asked])

    return asyncio.run(ask())


@pytest.mark.parametrize("door", [PREDICT, "/predict/trips"])
@pytest.mark.parametrize("short", [True, False])
def test_rows_beyond_the_setting_get_422_by_either_way(tmp_path, door, short):
    app = endpoint(tmp_path, limits=Limits(rows=3))
    http = client(quick(app) if short else app)
    assert http.post(door, json=[TRIP] * 3).status_code == 200
    reply = http.post(door, json=[TRIP] * 4)
    assert (reply.status_code, "4 items: at most 3" in reply.text) == (422, True)


def test_rows_of_tensors_and_bytes_of_a_body_beyond_the_setting_are_refused(tmp_path):
    http = client(endpoint(tmp_path, limits=Limits(rows=1, body_bytes=1000)))
    many = {"inputs": [one | {"shape": [2], "data": one["data"] * 2} for one in TENSORS["inputs"]]}
    assert "2 rows: at most 1" in http.post("/v2/models/trips/infer", json=many).json()["error"]
    for door in DOORS:
        reply = http.post(door, content=b" " * 1001, headers={"content-type": "application/json"})
        assert (reply.status_code, "1000 bytes" in reply.json()["detail"]) == (413, True)


class Held:
    """A feature store that answers when it is let go."""

    def __init__(self, app: FastAPI, monkeypatch: pytest.MonkeyPatch) -> None:
        self.go, self.asked = threading.Event(), 0
        models = app.state.models
        whole = models.predict

        def predict(*given: Any, **named: Any) -> Any:
            self.asked += 1
            self.go.wait(20)
            return whole(*given, **named)

        monkeypatch.setattr(models, "predict", predict)


@pytest.mark.parametrize("door", DOORS)
def test_what_has_no_answer_by_the_deadline_gets_504(tmp_path, monkeypatch, door):
    app = endpoint(tmp_path, limits=Limits(deadline_s=0.05))
    held = Held(app, monkeypatch)
    (reply,) = all_at_once(app, [(door, DOORS[door])])
    held.go.set()
    assert (reply.status_code, "no answer within 0.05 s" in reply.json()["detail"]) == (504, True)


def test_what_waited_too_long_for_those_before_it_gets_504_from_the_short_way(tmp_path):
    class Slow(Short):
        def answered(self, requests: Any, now: Any) -> Any:
            time.sleep(0.3)
            return super().answered(requests, now)

    app = quick(endpoint(tmp_path, limits=Limits(deadline_s=0.1)), Slow())
    replies = all_at_once(app, [(PREDICT, [TRIP] * 100)] * 6)
    statuses = [reply.status_code for reply in replies]
    assert statuses[0] == 200 and set(statuses) == {200, 504}


def test_beyond_what_may_wait_the_answer_is_503_and_when_to_come_again(tmp_path, monkeypatch):
    app = endpoint(tmp_path, limits=Limits(wait_s=1e-9))
    held = Held(app, monkeypatch)
    doors = [*DOORS, *DOORS, *DOORS]

    async def ask() -> list[httpx.Response]:
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as http:
            waiting = [asyncio.ensure_future(http.post(door, json=DOORS[door])) for door in doors]
            done, _ = await asyncio.wait(waiting, timeout=10, return_when=asyncio.FIRST_COMPLETED)
            while len(done) < len(doors) - THREADS:
                done, _ = await asyncio.wait(waiting, timeout=0.01)
            assert not held.go.is_set() and held.asked <= THREADS
            held.go.set()
            return await asyncio.gather(*waiting)

    replies = asyncio.run(ask())
    told = [reply for reply in replies if reply.status_code == 503]
    assert [reply.status_code for reply in replies].count(200) == THREADS
    assert len(told) == len(doors) - THREADS
    assert all(reply.headers["retry-after"] == "1" for reply in told)
    assert all("MLOPS_SERVE_WAIT_MS" in reply.json()["detail"] for reply in told)
    assert [one.status_code for one in all_at_once(app, list(DOORS.items()))] == [200] * len(DOORS)


def test_the_short_way_lets_in_what_may_wait_and_turns_the_rest_away(tmp_path):
    app = quick(endpoint(tmp_path, limits=Limits(wait_s=1e-9)))
    replies = all_at_once(app, [(PREDICT, TRIP)] * 200)
    statuses = [reply.status_code for reply in replies]
    assert set(statuses) == {200, 503} and statuses[:AT_ANY_RATE] == [200] * AT_ANY_RATE
    assert all(reply.json()["value"] == 27.0 for reply in replies if reply.status_code == 200)
    assert all("retry-after" in reply.headers for reply in replies if reply.status_code == 503)
    assert [one.status_code for one in all_at_once(app, [(PREDICT, TRIP)] * 3)] == [200] * 3
    assert [one.waiting for one in app.state.admissions.values()] == [0, 0]


STEPS = st.lists(st.tuples(st.integers(0, 10_000), st.floats(0, 1) | st.none(), st.booleans()), max_size=40)


@given(STEPS, st.floats(1e-6, 1), st.integers(0, 4))
def test_what_was_let_in_and_given_back_leaves_nothing_waiting(steps, wait_s, at_any_rate):
    admission = Admission(wait_s, at_any_rate)
    out = []
    for size, took_s, keep in steps:
        try:
            ticket = admission.admit("trips", size)
        except FullError as full:
            assert admission.waiting_s > wait_s and admission.waiting >= at_any_rate
            assert int(full.retry_after) >= 1
            continue
        if keep:
            out.append((ticket, took_s))
        else:
            admission.give_back(ticket, took_s)
            admission.give_back(ticket, took_s)
    assert admission.waiting == len(out)
    for ticket, took_s in out:
        admission.give_back(ticket, took_s)
    assert (admission.waiting, admission.waiting_s) == (0, 0.0)
    admission.admit("trips", 10_000)


def test_each_limit_is_a_setting(tmp_path: Path):
    read = settings(
        {
            "MLOPS_SERVE_MAX_BYTES": "10",
            "MLOPS_SERVE_MAX_ROWS": "2",
            "MLOPS_SERVE_DEADLINE_S": "3",
            "MLOPS_SERVE_WAIT_MS": "40",
        }
    )
    assert (read.serve_max_bytes, read.serve_max_rows, read.serve_deadline_s, read.serve_wait_ms) == (10, 2, 3, 40)  # fmt: skip
    told = settings({})
    assert (told.serve_max_bytes, told.serve_max_rows) == (Limits().body_bytes, Limits().rows)
    assert (told.serve_deadline_s, told.serve_wait_ms / 1000) == (Limits().deadline_s, Limits().wait_s)


def test_what_came_at_once_may_wait_whole_and_what_stands_all_the_time_only_a_share(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])
    admission = Admission(wait_s=1.0, at_any_rate=0, standing=0.5)
    for _ in range(50):
        admission.give_back(admission.admit("trips", 10), took_s=0.1)

    def let_in() -> list[Any]:
        tickets = []
        while not admission.is_full:
            tickets.append(admission.admit("trips", 10))
        return tickets

    at_once = let_in()
    assert 10 <= len(at_once) <= 12
    now[0] += 1.5
    for ticket in at_once[:-1]:
        admission.give_back(ticket)
    standing = let_in()
    assert 5 <= len(standing) + 1 <= 7
    for ticket in [at_once[-1], *standing]:
        admission.give_back(ticket)
    assert len(let_in()) == len(at_once)


@pytest.mark.parametrize("door", [*DOORS, f"{PREDICT}?features=true"])
def test_what_is_turned_away_is_not_read_and_nothing_else_is_turned_away(tmp_path, door):
    app = quick(endpoint(tmp_path))
    http = client(app)
    admission = app.state.admissions["behind" if "?" in door else "short"]
    waiting = []
    while not admission.is_full:
        waiting.append(admission.admit("trips", 10**6))
    reply = http.post(door, content=b"not read", headers={"content-type": "application/json"})
    assert (reply.status_code, reply.headers["retry-after"].isdigit()) == (503, True)
    assert "MLOPS_SERVE_WAIT_MS" in reply.json()["detail"]
    assert ("error" in reply.json()) == door.startswith("/v2")
    for other in ("/healthz", "/metrics", "/v2/models/trips", "/models"):
        assert http.get(other).status_code == 200
    nobody = http.post("/v1/models/nobody/predict", json=TRIP)
    assert nobody.status_code == (503 if "?" in door else 404)
    assert 'kind="overloaded"' in http.get("/metrics").text
    for ticket in waiting:
        admission.give_back(ticket)
    assert http.post(door, content=b"read", headers={"content-type": "application/json"}).status_code == 422


def test_one_turn_predicts_no_more_than_takes_some_milliseconds(tmp_path):
    """A model whose row takes ten milliseconds is asked for a few at a time once that is known, so that others are heard meanwhile."""

    class Slow(Short):
        def answered(self, requests: Any, now: Any) -> Any:
            time.sleep(0.01 * len(requests))
            return super().answered(requests, now)

    model = Slow()
    app = quick(endpoint(tmp_path, limits=Limits(wait_s=10)), model)
    for _ in range(2):
        assert {one.status_code for one in all_at_once(app, [(PREDICT, TRIP)] * 30)} == {200}
    assert sum(model.batches) == 60
    assert max(model.batches[-5:]) <= 4
