"""Schemas of what one model is asked with and answers, from its request model, its feature service and its task."""

from typing import Any

import polars as pl

from resources.serving.answers import ANSWERS
from resources.serving.http.protocol.forms import InferRequest, kinds, outputs
from resources.serving.http.protocol.tensors import TAKEN
from resources.serving.live_models import Served

REFERENCE = "#/components/schemas/{model}"
NULL = {"type": "null"}
WORDS = {"int": "integer", "float": "number", "str": "string", "bool": "boolean"}
"""JSON schema's types of the columns that a request brings."""


def reference(name: str, form: str) -> dict[str, str]:
    """Where the schema of a form of a model stands."""
    return {"$ref": REFERENCE.format(model=f"{name}.{form}")}


def model_schemas(model: Served, most: int) -> dict[str, Any]:
    """By name: a request and up to `most` of them, an answer and a list of them, tensors, and the answer in tensors."""
    name = model.record.name
    request = model.request.model_json_schema(ref_template=REFERENCE.format(model=f"{name}.{{model}}"))
    tensors = InferRequest.model_json_schema(ref_template=REFERENCE)
    parts = {f"{name}.{part}": schema for part, schema in request.pop("$defs", {}).items()}
    parts |= tensors.pop("$defs", {})
    own = {
        "request": request,
        "requests": _one_or_many(reference(name, "request"), most),
        "answer": _answer(model),
        "answers": _one_or_many(reference(name, "answer"), most),
        "tensors": _tensors(model, tensors, most),
        "tensor_answer": _tensor_answer(model),
        "metadata": _metadata(),
    }
    return parts | {f"{name}.{form}": schema for form, schema in own.items()}


def _one_or_many(one: dict[str, Any], most: int) -> dict[str, Any]:
    return {"anyOf": [one, {"type": "array", "items": one, "maxItems": most}]}


def _answer(model: Served) -> dict[str, Any]:
    number = ANSWERS[model.record.task]
    shown = {"type": "number", **({"minimum": 0, "maximum": 1} if number == "probability" else {})}
    features = _features(model)
    properties = {
        "model": {"const": model.record.name},
        "version": {"type": "string"},
        number: shown,
        "as_of": {"type": "string", "format": "date-time", "description": "The moment of the features"},
        "request_id": {"type": "string", "description": "The id under which the row is logged"},
        "warnings": {"type": "array", "items": {"type": "string"}},
        "features": {"type": "object", "properties": features, "description": "With ?features=true"},
    }
    required = ["model", "version", number, "as_of", "request_id"]
    return _object(f"An answer of {model.record.name}", properties, required)


def _features(model: Served) -> dict[str, Any]:
    """What each cell of `features` may be; any feature may be missing."""
    types = model.features.feature_types(model.record.feature_service)
    cells = {name: _cell(types[name]) for name in model.service.features}
    for name, word in model.record.columns.items():
        kind, nullable = {"type": WORDS[word.partition("|")[0].strip()]}, "|" in word
        cells[name] = {"anyOf": [kind, NULL]} if nullable else kind
    return {
        name: cell if name in model.record.columns else {"anyOf": [cell, NULL]}
        for name, cell in cells.items()
    }


def _cell(dtype: Any) -> dict[str, Any]:
    """A value of a polars type, as an answer has it."""
    if isinstance(dtype, pl.List | pl.Array):
        inner = _cell(dtype.inner)
        return {"type": "array", "items": {"anyOf": [inner, NULL]}}
    if dtype == pl.Boolean:
        return {"type": "boolean"}
    if dtype == pl.Date or dtype == pl.Datetime:
        return {"type": "string", "format": "date" if dtype == pl.Date else "date-time"}
    if isinstance(dtype, pl.Struct):
        return {"type": "object"}
    if dtype.is_integer():
        return {"type": "integer"}
    return {"type": "number" if dtype.is_numeric() else "string"}


def _tensors(model: Served, general: dict[str, Any], most: int) -> dict[str, Any]:
    """The protocol's request, with the inputs that the model has."""
    schemas = []
    for name, kind in kinds(model.request).items():
        value = (
            {"anyOf": [_value(kind.datatype), {"type": "null"}]} if kind.optional else _value(kind.datatype)
        )
        shape = {"type": "array", "items": {"type": "integer", "minimum": 0, "maximum": most}, "minItems": 1}
        properties = {
            "name": {"const": name},
            "datatype": {"enum": sorted(TAKEN[kind.datatype])},
            "shape": {**shape, "maxItems": 2},
            "parameters": {"$ref": REFERENCE.format(model="TensorParameters")},
            "data": {"type": "array", "items": {"anyOf": [value, {"type": "array", "items": value}]}},
        }
        schemas.append(_object(name, properties, ["name", "datatype", "shape"]))
    inputs = {"type": "array", "items": {"anyOf": schemas} if schemas else False}
    return {**general, "properties": {**general["properties"], "inputs": inputs}}


def _tensor_answer(model: Served) -> dict[str, Any]:
    schemas = [
        _object(
            name,
            {
                "name": {"const": name},
                "datatype": {"const": datatype},
                "shape": {"type": "array", "items": {"type": "integer"}},
                "data": {"type": "array", "items": _value(datatype)},
            },
            ["name", "datatype", "shape"],
        )
        for name, datatype in outputs(model).items()
    ]
    properties = {
        "model_name": {"const": model.record.name},
        "model_version": {"type": "string"},
        "id": {"type": "string", "description": "As it was sent"},
        "outputs": {"type": "array", "items": {"anyOf": schemas}},
    }
    return _object("An answer in tensors", properties, ["model_name", "model_version", "outputs"])


def _metadata() -> dict[str, Any]:
    tensors = {"type": "array", "items": {"type": "object"}}
    texts = {"type": "array", "items": {"type": "string"}}
    properties = {
        "name": {"type": "string"},
        "versions": texts,
        "platform": {"type": "string"},
        "inputs": tensors,
        "outputs": tensors,
    }
    return _object("A model's inputs and outputs", properties, list(properties))


def _value(datatype: str) -> dict[str, Any]:
    return {"type": {"BOOL": "boolean", "INT64": "integer", "FP64": "number"}.get(datatype, "string")}


def _object(title: str, properties: dict[str, Any], required: list[str]) -> dict[str, Any]:
    return {"title": title, "type": "object", "properties": properties, "required": required}
