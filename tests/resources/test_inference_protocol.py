"""The Open Inference Protocol: tensors in and out, as JSON and as bytes, the same numbers as by every other address."""

import json
import math
import struct
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pydantic
import pytest
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.testclient import TestClient
from hypothesis import given
from hypothesis import strategies as st

from resources.serving.http.forms import request_model
from resources.serving.http.protocol.forms import InferRequest, kinds
from resources.serving.http.protocol.rows import requests_of
from resources.serving.http.protocol.tensors import DATATYPES, NUMPY, TensorError, from_bytes, to_bytes
from tests.resources.endpoint_in_process import TRIP, client, endpoint

MODEL = "/v2/models/trips"
INFER = f"{MODEL}/infer"
LEAVES = TRIP["leaves_at"]


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> FastAPI:
    return endpoint(tmp_path_factory.mktemp("endpoint"))


@pytest.fixture(scope="module")
def http(app: FastAPI) -> TestClient:
    return client(app)


def tensor(name: str, datatype: str, data: list[Any], shape: list[int] | None = None) -> dict[str, Any]:
    return {"name": name, "datatype": datatype, "shape": shape or [len(data)], "data": data}


def asked(distances: list[Any], **more: Any) -> dict[str, Any]:
    moments = tensor("leaves_at", "BYTES", [LEAVES] * len(distances))
    return {"inputs": [tensor("distance", "FP64", distances), moments], **more}


def outputs(reply: Any) -> dict[str, list[Any]]:
    assert reply.status_code == 200, reply.text
    return {one["name"]: one["data"] for one in reply.json()["outputs"]}


def test_the_server_and_its_models_describe_themselves(http):
    assert http.get("/v2").json()["extensions"] == ["binary_tensor_data"]
    assert http.get("/v2/health/live").json() == {"live": True}
    assert http.get("/v2/health/ready").json() == {"ready": True}
    for path in (MODEL, f"{MODEL}/versions/1"):
        told = http.get(path).json()
        assert (told["name"], told["versions"]) == ("trips", ["1"])
        assert [(one["name"], one["datatype"], one["shape"]) for one in told["inputs"]] == [
            ("distance", "FP64", [-1]),
            ("leaves_at", "BYTES", [-1]),
        ]
        assert [one["name"] for one in told["outputs"]] == ["value", "as_of", "request_id", "warnings"]
        assert http.get(f"{path}/ready").json() == {"name": "trips", "ready": True}


def test_tensors_are_answered_with_the_numbers_of_the_other_addresses_and_the_id_comes_back(http):
    reply = http.post(INFER, json=asked([1.0, 2.0, 3.5], id="mine"))
    rows = [{"distance": d, "leaves_at": LEAVES} for d in (1.0, 2.0, 3.5)]
    wanted = [answer["value"] for answer in http.post("/v1/models/trips/predict", json=rows).json()]
    assert outputs(reply)["value"] == wanted
    said = reply.json()
    assert (said["id"], said["model_name"], said["model_version"]) == ("mine", "trips", "1")
    assert len(set(outputs(reply)["request_id"])) == 3 and outputs(reply)["warnings"] == [""] * 3


def test_without_an_id_none_comes_back_and_of_the_outputs_only_those_that_are_asked_for(http):
    reply = http.post(f"{MODEL}/versions/1/infer", json=asked([2.0], outputs=[{"name": "value"}]))
    assert outputs(reply) == {"value": [8.0]} and "id" not in reply.json()


def test_a_column_may_be_flat_or_a_list_of_rows(http):
    for data in ([1.0, 2.0], [[1.0], [2.0]]):
        body = asked([1.0, 2.0])
        body["inputs"][0] = tensor("distance", "FP32", data, [2, 1])
        assert outputs(http.post(INFER, json=body))["value"] == [2.0, 8.0]


def test_bytes_behind_the_json_are_read_and_answered(http):
    distances = np.array([1.0, 2.5], "<f4").tobytes()
    texts = to_bytes("BYTES", [LEAVES, LEAVES])
    inputs = [
        {"name": "distance", "datatype": "FP32", "shape": [2], "parameters": {"binary_data_size": len(distances)}},
        {"name": "leaves_at", "datatype": "BYTES", "shape": [2], "parameters": {"binary_data_size": len(texts)}},
    ]  # fmt: skip
    said = json.dumps({"inputs": inputs, "parameters": {"binary_data_output": True}}).encode()
    headers = {"inference-header-content-length": str(len(said)), "content-type": "application/octet-stream"}
    reply = http.post(INFER, content=said + distances + texts, headers=headers)
    assert reply.status_code == 200, reply.text
    length = int(reply.headers["inference-header-content-length"])
    told = json.loads(reply.content[:length])
    size = told["outputs"][0]["parameters"]["binary_data_size"]
    assert np.frombuffer(reply.content[length : length + size], "<f8").tolist() == [2.0, 12.5]
    assert sum(one["parameters"]["binary_data_size"] for one in told["outputs"]) == len(
        reply.content[length:]
    )


def changed(**changes: Any) -> dict[str, Any]:
    body = asked([1.0, 2.0])
    body["inputs"][0] |= changes
    return body


@pytest.mark.parametrize(
    ("body", "where", "said"),
    [
        (changed(data=[1.0, None]), ["body", "inputs", "distance", 1], "null is no key"),
        (changed(data=[1.0, "far"]), ["body", "inputs", "distance"], "value 1: 'far' is no number"),
        (changed(data=[1.0, True]), ["body", "inputs", "distance"], "value 1: True is no number"),
        (changed(data=[1.0]), ["body", "inputs", "distance"], "has 2 values, and data has 1"),
        (changed(datatype="BYTES"), ["body", "inputs", "distance"], "the datatype is BYTES: send FP64"),
        (changed(datatype="INT64"), ["body", "inputs", "distance"], "the datatype is INT64: send FP64"),
        (changed(shape=[2, 2]), ["body", "inputs", "distance"], "the shape is [2, 2]"),
        (changed(shape=[1001]), ["body", "inputs", "distance"], "1001 rows: at most 1000"),
        (changed(shape=[-1]), ["body", "inputs", 0, "shape", 0], "greater than or equal to 0"),
        (changed(name="speed"), ["body", "inputs", "speed"], "is no input of this model"),
        (changed(name="leaves_at", datatype="BYTES"), ["body", "inputs", "leaves_at"], "is sent twice"),
        (changed(parameters={"shared_memory_region": "x"}), ["body", "inputs", 0, "parameters", "shared_memory_region"], "Extra inputs"),
        (changed(parameters={"binary_data_size": 3}), ["body", "inputs", "distance"], "send either data or"),
        ({**asked([1.0]), "parameters": {"priority": 1}}, ["body", "parameters", "priority"], "Extra inputs"),
        ({**asked([1.0]), "outputs": [{"name": "score"}]}, ["body", "outputs", 0, "name"], "is no output of this model"),
        ({"inputs": []}, ["body", "inputs"], "no input"),
        ({"inputs": asked([1.0])["inputs"][:1]}, ["body", "inputs", "leaves_at"], "is needed"),
        ([1], ["body"], "valid dictionary"),
    ],
)  # fmt: skip
def test_what_is_not_clear_gets_422_with_the_input_named(http, body, where, said):
    reply = http.post(INFER, json=body)
    assert reply.status_code == 422, reply.text
    assert where in [one["loc"] for one in reply.json()["detail"]]
    assert said in " ".join(one["msg"] for one in reply.json()["detail"])
    assert all(str(part) in reply.json()["error"] for part in where)


def test_a_number_that_is_none_is_refused_in_bytes_too(http):
    raw = struct.pack("<d", math.nan)
    body = asked([1.0])
    body["inputs"][0] = {
        "name": "distance",
        "datatype": "FP64",
        "shape": [1],
        "parameters": {"binary_data_size": 8},
    }
    said = json.dumps(body).encode()
    for content, problem in ((said + raw, "finite number"), (said, "1 values of FP64 have 8 bytes")):
        reply = http.post(
            INFER,
            content=content,
            headers={"inference-header-content-length": str(len(said)), "content-type": "application/json"},
        )
        assert reply.status_code == 422 and problem in reply.json()["error"], reply.text


@pytest.mark.parametrize("length", ["", "x", "-1", "9" * 30, "²"])
def test_a_wrong_length_of_the_json_is_told(http, length):
    headers = [(b"inference-header-content-length", length.encode()), (b"content-type", b"application/json")]
    reply = http.post(INFER, content=json.dumps(asked([1.0])), headers=headers)
    assert (reply.status_code, "Inference-Header-Content-Length" in reply.json()["error"]) == (422, True)


def test_what_there_is_not_is_told_under_the_name_that_clients_of_the_protocol_read(http):
    for path in ("/v2/models/nobody", f"{MODEL}/versions/7", f"{MODEL}/versions/7/ready", "/v2/nothing"):
        reply = http.get(path)
        assert (reply.status_code, bool(reply.json()["error"])) == (404, True), path
    assert "version 1 answers" in http.post(f"{MODEL}/versions/7/infer", json=asked([1.0])).json()["error"]
    failed = http.post(INFER, json=asked([-1.0]))
    assert (failed.status_code, "feature store away" in failed.json()["error"]) == (500, True)


def test_no_rows_are_answered_with_none(http):
    assert outputs(http.post(INFER, json=asked([])))["value"] == []


def test_a_client_that_names_no_type_is_let_in_and_a_page_is_not(http):
    content = json.dumps(asked([2.0]))
    assert http.post(INFER, content=content).status_code == 200
    assert http.post(INFER, content=content, headers={"origin": "http://localhost"}).status_code == 415
    assert http.post("/v1/models/trips/predict", content=json.dumps(TRIP)).status_code == 415


def test_the_endpoint_is_not_ready_while_a_published_model_is_neither_loaded_nor_refused(app, http):
    folder = app.state.models.folder
    (folder / "later.json").write_text("{}")
    try:
        reply = http.get("/v2/health/ready")
        assert (reply.status_code, "'later' is published and not loaded yet" in reply.json()["error"]) == (503, True)  # fmt: skip
        app.state.models.look()
        assert http.get("/v2/health/ready").status_code == 200
    finally:
        (folder / "later.json").unlink()
        app.state.models.look()


class EveryKind(pydantic.BaseModel):
    flag: bool
    count: int | None = None
    codes: list[int]
    more: dict[str, int] | None = None


def test_a_missing_value_is_null_or_an_input_left_out_and_lists_have_a_second_dimension():
    assert {name: (kind.datatype, kind.listed, kind.optional) for name, kind in kinds(EveryKind).items()} == {
        "flag": ("BOOL", False, False),
        "count": ("INT64", False, True),
        "codes": ("INT64", True, False),
    }
    inputs = [tensor("flag", "BOOL", [True, False]), tensor("codes", "INT32", [[1, 2, 3], [4, 5, 6]], [2, 3])]
    without = InferRequest.model_validate({"inputs": inputs})
    some = InferRequest.model_validate({"inputs": [*inputs, tensor("count", "INT64", [None, 7])]})
    assert [row.count for row in requests_of(without, b"", EveryKind, 10)] == [None, None]  # type: ignore[attr-defined]
    found = requests_of(some, b"", EveryKind, 10)
    assert [(row.count, row.codes) for row in found] == [(None, [1, 2, 3]), (7, [4, 5, 6])]  # type: ignore[attr-defined]


def test_a_model_whose_request_no_tensor_holds_says_where_it_is_asked():
    needed = pydantic.create_model("needed", more=(dict[str, int], ...))
    with pytest.raises(RequestValidationError) as refused:
        requests_of(InferRequest.model_validate({"inputs": [tensor("x", "FP64", [1.0])]}), b"", needed, 10)
    assert "no tensor holds it: ask by /v1/models" in str(refused.value.errors())


def test_a_moment_of_a_model_is_a_text():
    request = request_model("asked", {"at": datetime, "town": str})
    inputs = [tensor("at", "BYTES", ["2014-01-06T05:10:00Z"]), tensor("town", "BYTES", ["Ribe"])]
    (row,) = requests_of(InferRequest.model_validate({"inputs": inputs}), b"", request, 10)
    assert row.at == datetime(2014, 1, 6, 5, 10, tzinfo=UTC)  # type: ignore[attr-defined]


@st.composite
def columns(draw: st.DrawFn) -> tuple[str, list[Any]]:
    datatype = draw(st.sampled_from(DATATYPES))
    if datatype == "BYTES":
        value: st.SearchStrategy[Any] = st.text(st.characters(exclude_categories=["Cs"]))
    elif datatype == "BOOL":
        value = st.booleans()
    elif datatype.startswith("FP"):
        value = st.floats(width={"FP16": 16, "FP32": 32, "FP64": 64}[datatype], allow_nan=False)  # type: ignore[arg-type]
    else:
        limits = np.iinfo(NUMPY[datatype])
        value = st.integers(int(limits.min), int(limits.max))
    return datatype, draw(st.lists(value, max_size=5))


@given(columns())
def test_values_come_out_of_their_bytes_as_they_went_in(column):
    datatype, values = column
    assert from_bytes(datatype, to_bytes(datatype, values), len(values)) == values


@given(st.sampled_from(DATATYPES), st.binary(max_size=40), st.integers(0, 8))
def test_other_bytes_are_refused_in_words_or_are_values(datatype, raw, count):
    try:
        assert len(from_bytes(datatype, raw, count)) == count
    except TensorError as why:
        assert str(why)
