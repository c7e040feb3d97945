"""The endpoint's OpenAPI document: every deployed model and each push source by a path and schemas of its own."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pydantic
from fastapi.openapi.utils import get_openapi

from resources.serving.http.model_schemas import REFERENCE, model_schemas, reference
from resources.serving_limits import Limits

if TYPE_CHECKING:
    from fastapi import FastAPI

    from resources.serving.live_models import Served

WHOLE = "{name}"
REFUSALS = {
    "404": "There is no such model; the answer names those that there are.",
    "410": "The model is retired.",
    "413": "The body has too many bytes.",
    "415": "The body is not JSON in UTF-8.",
    "500": "What answers failed; the answer says of what version, and how.",
    "503": "The model cannot be served, or too many requests wait; then the header Retry-After says when to ask again.",
    "504": "There was no answer by the deadline.",
}
REFUSAL = {
    "title": "Refusal",
    "type": "object",
    "properties": {"detail": {"description": "What is wrong, in words"}, "error": {"type": "string"}},
    "required": ["detail"],
}


def described(
    app: "FastAPI",
    served: Mapping[str, "Served"],
    events: Mapping[str, type[pydantic.BaseModel]],
    limits: Limits,
    keys: bool = False,
) -> dict[str, Any]:
    """The document of an application, with the paths of each model and push source in the place of their patterns.

    Where `keys` are asked for, it says how one is sent.
    """
    document = get_openapi(title=app.title, version=app.version, routes=app.routes)
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    schemas["Refusal"] = REFUSAL
    patterns = {path: document["paths"].pop(path) for path in list(document["paths"]) if "{" in path}
    for name, model in sorted(served.items()):
        schemas |= model_schemas(model, limits.rows)
        for pattern, methods in patterns.items():
            if WHOLE in pattern:
                path = pattern.replace(WHOLE, name).replace("{version}", model.record.version)
                document["paths"][path] = {
                    method: _of_model(general, name, path, method) for method, general in methods.items()
                }
    for name, form in sorted(events.items()):
        general = patterns["/push/{source}"]["post"]
        document["paths"][f"/push/{name}"] = {"post": _push(general, name, form, schemas, limits)}
    if keys:
        document["components"]["securitySchemes"] = {
            "bearer": {"type": "http", "scheme": "bearer"},
            "header": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
        }
        document["security"] = [{"bearer": []}, {"header": []}]
    return document


def _of_model(general: Mapping[str, Any], name: str, path: str, method: str) -> dict[str, Any]:
    """An operation of a pattern, as that of one model."""
    kind = path.rsplit("/", 1)[-1]
    parameters = [parameter for parameter in general.get("parameters", []) if parameter["in"] != "path"]
    operation = {
        **general,
        "parameters": parameters,
        "operationId": _operation_id(method, path),
        "tags": [name],
    }
    if method != "post":
        shown = {"type": "object"} if kind == "ready" else reference(name, "metadata")
        return {**operation, "responses": _responses(general, shown, ("404", "410", "503"))}
    forms = ("tensors", "tensor_answer") if kind == "infer" else ("requests", "answers")
    body, answer = (reference(name, form) for form in forms)
    return {**operation, "requestBody": json_body(body), "responses": _responses(general, answer, REFUSALS)}


def _operation_id(method: str, path: str) -> str:
    return f"{method}_{path.strip('/').replace('/', '_')}"


def _responses(general: Mapping[str, Any], answer: Mapping[str, Any], refusals: Any) -> dict[str, Any]:
    refused = {
        status: _answer(REFUSALS[status], {"$ref": REFERENCE.format(model="Refusal")}) for status in refusals
    }
    return {**refused, **general["responses"], "200": _answer("The answer.", answer)}


def _answer(description: str, schema: Mapping[str, Any]) -> dict[str, Any]:
    return {"description": description, "content": {"application/json": {"schema": dict(schema)}}}


def _push(
    general: dict[str, Any],
    name: str,
    form: type[pydantic.BaseModel],
    schemas: dict[str, Any],
    limits: Limits,
) -> dict[str, Any]:
    one = form.model_json_schema(ref_template=REFERENCE)
    schemas |= one.pop("$defs", {})
    parameters = [parameter for parameter in general.get("parameters", []) if parameter["in"] != "path"]
    body = {"anyOf": [one, {"type": "array", "items": one, "maxItems": limits.rows}]}
    named = {"operationId": f"push_{name}", "parameters": parameters, "tags": ["push"]}
    return general | named | {"requestBody": json_body(body)}


def json_body(schema: Mapping[str, Any]) -> dict[str, Any]:
    """A request's body that has to be there, as JSON."""
    return {"required": True, "content": {"application/json": {"schema": dict(schema)}}}
