"""Tensors by the short way: the numbers and the form of the long one, together with the rows of the other addresses."""

import asyncio
import json
from dataclasses import replace
from typing import Any

import httpx
import numpy as np
import pytest

from resources.serving.http import together
from tests.resources.endpoint_in_process import TRIP, endpoint
from tests.resources.fast.test_lane import Short

INFER = "/v2/models/trips/infer"


@pytest.fixture
def app(tmp_path, monkeypatch):
    for name in ("READING_S", "PREDICTING_S", "HURRY_S"):
        monkeypatch.setattr(together, name, 60.0)  # however busy the machine is
    made = endpoint(tmp_path)
    models = made.state.models
    models.served = {n: replace(m, fast=Short()) for n, m in models.served.items()}
    made.state.short = models.served["trips"].fast
    return made


def body(distances: list[Any], **more: Any) -> dict[str, Any]:
    count = len(distances)
    inputs = [
        {"name": "distance", "datatype": "FP64", "shape": [count], "data": distances},
        {"name": "leaves_at", "datatype": "BYTES", "shape": [count], "data": [TRIP["leaves_at"]] * count},
    ]
    return {"inputs": inputs, **more}


def ask(app, bodies: list[tuple[str, bytes, dict[str, str]]]) -> list[httpx.Response]:
    async def all_at_once() -> list[httpx.Response]:
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as http:
            asked = [http.post(path, content=content, headers={"content-type": "application/json", **headers}) for path, content, headers in bodies]  # fmt: skip
            return await asyncio.gather(*asked)

    return asyncio.run(all_at_once())


def plain(asked: Any, path: str = INFER) -> tuple[str, bytes, dict[str, str]]:
    return path, json.dumps(asked).encode(), {}


def binary(distances: list[float]) -> tuple[str, bytes, dict[str, str]]:
    raw = np.array(distances, "<f8").tobytes()
    asked = body(distances, parameters={"binary_data_output": True})
    asked["inputs"][0] = {"name": "distance", "datatype": "FP64", "shape": [len(distances)], "parameters": {"binary_data_size": len(raw)}}  # fmt: skip
    said = json.dumps(asked).encode()
    headers = {"inference-header-content-length": str(len(said)), "content-type": "application/octet-stream"}
    return INFER, said + raw, headers


def values(reply: httpx.Response) -> list[float]:
    assert reply.status_code == 200, reply.text
    length = reply.headers.get("inference-header-content-length")
    if length is None:
        return reply.json()["outputs"][0]["data"]
    told = json.loads(reply.content[: int(length)])["outputs"][0]
    start = int(length)
    return np.frombuffer(
        reply.content[start : start + told["parameters"]["binary_data_size"]], "<f8"
    ).tolist()


def test_tensors_as_json_and_as_bytes_are_predicted_together_with_rows(app):
    row = ("/v1/models/trips/predict", json.dumps(TRIP | {"distance": 4.0}).encode(), {})
    replies = ask(app, [plain(body([1.0, 2.0], id="mine")), binary([3.0]), row])
    assert values(replies[0]) == [3.0, 12.0] and replies[0].json()["id"] == "mine"
    assert values(replies[1]) == [27.0]
    assert replies[2].json()["value"] == 48.0
    assert sum(app.state.short.batches) == 4 and len(app.state.short.batches) < 3


def test_the_version_that_answers_may_be_named(app):
    (reply,) = ask(app, [plain(body([2.0]), "/v2/models/trips/versions/1/infer")])
    assert (values(reply), reply.json()["model_version"], app.state.short.batches) == ([12.0], "1", [1])


@pytest.mark.parametrize(
    ("asked", "status"),
    [(body([]), 200), (body([1.0] * 101), 200), (body(["far"]), 422), (body([13.0]), 200), ([1], 422), (body([1.0], outputs=[{"name": "x"}]), 422)],
)  # fmt: skip
def test_what_is_not_plain_is_answered_as_the_route_answers_it(app, asked, status):
    (short,) = ask(app, [plain(asked)])
    models = app.state.models
    if asked != body([13.0]):
        models.served = {n: replace(m, fast=None) for n, m in models.served.items()}
    (long,) = ask(app, [plain(asked)])
    assert short.status_code == long.status_code == status
    if status != 200:
        assert short.json() == long.json()


def test_bad_tensors_fail_alone(app):
    good, bad, other = ask(app, [plain(body([1.0])), plain(body([None])), plain(body([2.0]))])
    assert (values(good), values(other), bad.status_code) == ([3.0], [12.0], 422)
    assert "null is no key" in bad.json()["error"]
