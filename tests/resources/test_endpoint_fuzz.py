"""Whatever is sent to the endpoint, it never answers 500: requests made from its OpenAPI document, and raw bytes.

`make test` sends some 600 requests, the same each time, `make fuzz` twenty times as many, new ones.
"""

import json
import math
from datetime import datetime
from typing import Any

import polars as pl
import pytest
import schemathesis
from fastapi import FastAPI
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode

from resources.features.vectors import OnlineVectors
from tests.feature_repo.online.shop import Database
from tests.resources.endpoint_in_process import EVENT, TRIP, client, endpoint
from tests.resources.serving_fakes import FakeFeatures
from tests.resources.test_features_http import Shop

TIMES = 20 if settings.get_current_profile_name() == "fuzz" else 1
FROM_THE_DOCUMENT = settings(
    max_examples=30 * TIMES,
    suppress_health_check=[
        HealthCheck.too_slow,
        HealthCheck.filter_too_much,
        HealthCheck.function_scoped_fixture,
    ],
)
QUESTION = {"features": ["towns:people"], "entities": {"town": ["Ribe", "Mols"]}}
TENSORS = {
    "id": "mine",
    "inputs": [
        {"name": "distance", "datatype": "FP64", "shape": [1], "data": [3.0]},
        {"name": "leaves_at", "datatype": "BYTES", "shape": [1], "data": [TRIP["leaves_at"]]},
    ],
    "outputs": [{"name": "value"}],
}
DOORS: dict[str, dict[str, Any]] = {
    "/v2/models/trips/infer": TENSORS,
    "/v2/models/trips/versions/1/infer": TENSORS,
    "/v1/models/trips/predict": TRIP,
    "/predict/trips": TRIP,
    "/push/readings": EVENT,
    "/get-online-features": QUESTION,
}


READ = (
    *("/models", "/healthz", "/", "/v2", "/v2/health/live", "/v2/health/ready"),
    *("/v2/models/trips", "/v2/models/trips/ready", "/v2/models/trips/versions/1"),
)


class Steady(FakeFeatures):
    """A feature store that is there for every distance, and knows none too long for a model."""

    def online_vectors(self, service: str, rows: pl.DataFrame, as_of: datetime) -> OnlineVectors:
        return super().online_vectors(
            service, rows.with_columns(pl.col("distance").abs().clip(0, 1e9)), as_of
        )


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> FastAPI:
    home = tmp_path_factory.mktemp("fuzzed")
    shop = Shop(home, Database("sqlite", {"path": str(home / "online.db")}))
    return endpoint(home, store=shop, features=Steady())


@pytest.fixture(scope="module")
def http(app: FastAPI) -> TestClient:
    return client(app)


@pytest.fixture(scope="module")
def described(app: FastAPI) -> Any:
    return schemathesis.openapi.from_asgi("/openapi.json", app, headers={"host": "localhost"})


def test_the_document_has_every_door_with_the_fields_of_what_it_takes(http):
    document = http.get("/openapi.json").json()
    for door, body in DOORS.items():
        content = document["paths"][door]["post"]["requestBody"]["content"]
        schema = followed(document, content["application/json"]["schema"])
        assert set(body) <= set(followed(document, schema.get("anyOf", [schema])[0])["properties"])


def followed(document: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    name = schema.get("$ref", "").rsplit("/", 1)[-1]
    return document["components"]["schemas"][name] if name else schema


@pytest.mark.parametrize("door", DOORS)
def test_an_answer_is_one_of_those_that_the_document_describes(http, described, door):
    operation = described[door]["POST"]
    asked = {"features": True} if "predict" in door else {}
    for query in ({}, asked):
        case = operation.Case(body=DOORS[door], query=query, media_type="application/json")
        reply = case.call(headers={"host": "localhost"})
        assert reply.status_code == 200, reply.text
        operation.validate_response(reply)


@pytest.mark.parametrize("door", [*DOORS, *READ])
@FROM_THE_DOCUMENT
@given(data=st.data())
def test_no_request_made_from_the_document_gets_500(http, described, door, data):
    operation = described[door]["POST" if door in DOORS else "GET"]
    case = data.draw(operation.as_strategy(generation_mode=data.draw(st.sampled_from(GenerationMode))))
    reply = case.call(headers={"host": "localhost"})
    assert reply.status_code < 500, reply.text


def written(value: Any) -> str:
    """JSON in which texts that begin with a bar stand as they are."""
    if isinstance(value, str):
        return value[1:] if value.startswith("|") else json.dumps(value)
    if isinstance(value, list):
        return f"[{','.join(written(part) for part in value)}]"
    if isinstance(value, dict):
        return f"{{{','.join(f'{written(name)}:{written(part)}' for name, part in value.items())}}}"
    return json.dumps(value)


ODD = st.sampled_from(
    [
        *("|NaN", "|-Infinity", "|1e999", f"|{2**63}", f"|{-(2**63) - 1}", f"|{'9' * 5000}", "|-0.0", "|1e-400"),
        *('|"\\ud800"', '|"\\u0000"', "|" + "[" * 2000, "|" + "[" * 30 + "]" * 30, "|tru", "|", "2014-02-30", "0001-01-01T00:00:00+14:00"),
        *("9999-12-31T23:59:59-12:00", "2014-01-06T05:10:00Z", "towns:people", "towns:", ":", "everything:longs", "🂡" * 300),
    ]
)  # fmt: skip
NUMBERS = (
    st.integers()
    | st.floats()
    | st.sampled_from([2**31, 2**53 + 1, 2**63 - 1, -(2**63), math.pi, 1e38, 1e39])
)
VALUES = st.recursive(
    ODD | NUMBERS | st.none() | st.booleans() | st.text(max_size=8),
    lambda parts: st.lists(parts, max_size=4) | st.dictionaries(st.text(max_size=4), parts, max_size=3),
    max_leaves=8,
)


@st.composite
def changed(draw: st.DrawFn, body: dict[str, Any]) -> bytes:
    """A right body with some of its fields, or those of a part of it, replaced, doubled or left out."""
    made = json.loads(json.dumps(body))
    parts = [part for value in made.values() for part in (value if isinstance(value, list) else [value])]
    place = draw(st.sampled_from([made, *(part for part in parts if isinstance(part, dict))]))
    for name in draw(st.lists(st.sampled_from([*place, "more", '|"\\ud800"']), min_size=1, max_size=3)):
        place[name] = draw(VALUES)
    text = written(draw(st.sampled_from([made, [made], [body, made]])))
    return text.encode("utf-8", "surrogatepass")


def sent(http: TestClient, door: str, body: bytes, **headers: str) -> None:
    told = {"content-type": "application/json"} | {
        name.replace("_", "-"): text for name, text in headers.items()
    }
    reply = http.post(door, content=body, headers=told)
    assert reply.status_code < 500, (body[:500], reply.text)
    assert len(reply.content) < 500_000


@pytest.mark.parametrize("door", DOORS)
@settings(max_examples=100 * TIMES, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_no_right_request_with_odd_values_gets_500(http, door, data):
    sent(http, door, data.draw(changed(DOORS[door])))


@settings(max_examples=60 * TIMES, suppress_health_check=list(HealthCheck))
@given(
    door=st.sampled_from(
        [
            *DOORS,
            "/predict/nobody",
            "/v1/models/nobody/predict",
            "/v1/models//predict",
            "/push/%ff",
            "/predict/%00",
        ]
    ),
    body=st.binary(max_size=200) | VALUES.map(lambda value: written(value).encode("utf-8", "surrogatepass")),
    content_encoding=st.sampled_from(
        ["identity", "gzip", "br, gzip", "é".encode("latin-1").decode("latin-1")]
    ),
    content_type=st.sampled_from(
        ["application/json", "text/plain", "application/json; charset=latin-1", ";"]
    ),
    host=st.sampled_from(["localhost", "[::1", "localhost:99999999", "a" * 5000]),
)
def test_no_bytes_get_500(http, door, body, content_encoding, content_type, host):
    sent(http, door, body)
    encoding = content_encoding.encode("latin-1")
    reply = http.post(
        door,
        content=body,
        headers=[
            (b"content-type", content_type.encode()),
            (b"content-encoding", encoding),
            (b"host", host.encode()),
        ],
    )
    assert reply.status_code < 500
