"""Predictions in the event loop: those that arrived together are one batch, and what is wrong goes the long way."""

import asyncio
import json
from dataclasses import replace
from typing import Any

import httpx
import numpy as np
import pydantic
import pytest

from resources.features.column_vectors import ColumnVectors
from resources.serving.http import together
from resources.serving.http.together import MOST_ROWS
from resources.serving.parts import Answered
from tests.resources.endpoint_in_process import TRIP, endpoint


class Short:
    """Stands in for a compiled model: three times the square of the distance, a distance of 13 being one it fails on."""

    def __init__(self) -> None:
        self.batches: list[int] = []

    def answered(self, requests: Any, now: Any) -> Any:
        self.batches.append(len(requests))
        distances = [request.distance for request in requests]
        if 13.0 in distances:
            return None
        columns: dict[str, Any] = {"distance": distances}
        vectors = ColumnVectors(columns, {}, [], None, {})  # type: ignore[arg-type]
        return Answered(vectors, 3.0 * np.square(distances), {})


@pytest.fixture
def app(tmp_path, monkeypatch):
    for name in ("READING_S", "PREDICTING_S", "HURRY_S"):
        monkeypatch.setattr(together, name, 60.0)  # however busy the machine is
    made = endpoint(tmp_path)
    models = made.state.models
    models.served = {n: replace(m, fast=Short()) for n, m in models.served.items()}
    made.state.short = models.served["trips"].fast
    return made


def ask(
    app, bodies: list[Any], query: str = "", door: str = "/v1/models/trips/predict"
) -> list[httpx.Response]:
    async def all_at_once() -> list[httpx.Response]:
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as http:
            return await asyncio.gather(*[http.post(f"{door}{query}", json=one) for one in bodies])

    return asyncio.run(all_at_once())


def trip(distance: float) -> dict[str, Any]:
    return TRIP | {"distance": distance}


def test_what_has_arrived_is_predicted_together_and_answered_apart(app):
    replies = ask(app, [trip(1.0), [trip(2.0), trip(3.0)], trip(4.0)])
    assert [reply.status_code for reply in replies] == [200] * 3
    assert replies[0].json()["value"] == 3.0 and replies[2].json()["value"] == 48.0
    assert [answer["value"] for answer in replies[1].json()] == [12.0, 27.0]
    assert sum(app.state.short.batches) == 4 and len(app.state.short.batches) < 3


def test_what_comes_alone_is_answered_in_the_turn_of_the_event_loop_in_which_it_came(app):
    async def begun(distance: float) -> tuple[asyncio.Task[None], list[Any]]:
        sent: list[Any] = []

        async def receive() -> Any:
            return {"type": "http.request", "body": json.dumps(trip(distance)).encode(), "more_body": False}

        async def send(message: Any) -> None:
            sent.append(message)

        headers = [(b"host", b"localhost"), (b"content-type", b"application/json")]
        scope = {"type": "http", "method": "POST", "path": "/v1/models/trips/predict", "query_string": b""}
        return asyncio.ensure_future(app(scope | {"headers": headers}, receive, send)), sent

    async def one_after_the_other() -> list[float]:
        values = []
        for distance in (1.0, 2.0, 3.0):
            task, sent = await begun(distance)
            await asyncio.sleep(0)
            assert task.done() and await task is None
            values.append(json.loads(sent[1]["body"])["value"])
            await asyncio.sleep(0)
        return values

    assert asyncio.run(one_after_the_other()) == [3.0, 12.0, 27.0]


def test_a_request_that_came_alone_is_answered_later_where_its_turn_was_over_before_it_was_read(
    app, monkeypatch
):
    async def asked_while_nothing_can_be_read() -> list[int]:
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as http:
            monkeypatch.setattr(together, "READING_S", -1.0)
            asked = [asyncio.ensure_future(http.post("/predict/trips", json=trip(2.0))) for _ in range(2)]
            for _ in range(20):
                await asyncio.sleep(0)
            assert not any(one.done() for one in asked)
            monkeypatch.setattr(together, "READING_S", 60.0)
            return [reply.status_code for reply in await asyncio.wait_for(asyncio.gather(*asked), 20)]

    assert asyncio.run(asked_while_nothing_can_be_read()) == [200, 200]


def test_a_crowd_after_a_single_request_is_predicted_together(app):
    ask(app, [trip(1.0)])
    replies = ask(app, [trip(float(distance)) for distance in range(10)])
    assert [reply.json()["value"] for reply in replies] == [3.0 * n * n for n in range(10)]
    assert len(app.state.short.batches) <= 4


def test_both_addresses_of_a_model_give_the_same_answer_by_the_same_way(app):
    (old,), (new,) = (
        ask(app, [trip(2.0)], door=door) for door in ("/predict/trips", "/v1/models/trips/predict")
    )
    assert app.state.short.batches == [1, 1]
    answers = [{k: v for k, v in one.json().items() if k != "request_id"} for one in (old, new)]
    assert answers[0] == answers[1] and old.headers == new.headers


def test_a_request_that_the_short_way_cannot_answer_is_answered_by_frames(app):
    (reply,) = ask(app, [trip(13.0)])
    assert reply.json()["value"] == 338.0


def test_a_bad_request_fails_alone(app):
    good, bad, other = ask(app, [trip(1.0), trip(-13.0) | {"speed": 1}, trip(2.0)])
    assert [good.json()["value"], other.json()["value"]] == [3.0, 12.0]
    assert (bad.status_code, bad.json()["detail"][0]["loc"]) == (422, ["body", "speed"])


def test_a_batch_that_fails_is_predicted_one_by_one(app, monkeypatch):
    models = app.state.models
    whole = models.predict

    def failing(model: Any, requests: Any, *given: Any, **named: Any) -> Any:
        if any(request.distance == 7.0 for request in requests):
            raise OSError("disk away")
        return whole(model, requests, *given, **named)

    monkeypatch.setattr(models, "predict", failing)
    one, bad, two = ask(app, [trip(1.0), trip(7.0), trip(2.0)])
    assert [one.json()["value"], two.json()["value"]] == [3.0, 12.0]
    assert bad.status_code == 500 and "disk away" in bad.json()["detail"]


@pytest.mark.parametrize("body", [[], [trip(1.0)] * (MOST_ROWS + 1), 7, {"distance": 1.0}])
def test_what_is_no_plain_request_goes_the_long_way(app, body):
    (reply,) = ask(app, [body])
    assert reply.status_code in (200, 422)
    assert len(reply.json()) == len(body) if isinstance(body, list) else reply.status_code == 422


def test_features_are_shown_by_the_route_behind(app, monkeypatch):
    models = app.state.models
    models.served = {n: replace(m, fast=None) for n, m in models.served.items()}
    (reply,) = ask(app, [trip(2.0)], "?features=true")
    assert reply.json()["features"]["distance_squared"] == 4.0


def test_a_request_model_is_asked_once(app):
    seen: list[str] = []

    def validate(value: Any) -> Any:
        seen.append(value["distance"])
        return value

    models = app.state.models
    model = models.served["trips"]
    validators: Any = {"count": pydantic.model_validator(mode="before")(validate)}
    counted = pydantic.create_model("counted", __base__=model.request, __validators__=validators)
    models.served = {"trips": replace(model, request=counted)}
    ask(app, [trip(2.0)])
    assert seen == [2.0]
