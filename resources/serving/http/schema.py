"""The endpoint's OpenAPI document: what each deployed model is asked with, and each push source is sent, by their own schemas."""

import re
from typing import TYPE_CHECKING, Any

import pydantic
from fastapi.openapi.utils import get_openapi

from resources.serving.http.limits import LARGEST_BATCH

if TYPE_CHECKING:
    from fastapi import FastAPI

REFERENCE = "#/components/schemas/{model}"


def described(
    app: "FastAPI",
    requests: dict[str, type[pydantic.BaseModel]],
    events: dict[str, type[pydantic.BaseModel]],
) -> dict[str, Any]:
    """The document of an application, with a path for each model and each push source in the place of their patterns."""
    document = get_openapi(title=app.title, version=app.version, routes=app.routes)
    patterns = (
        ("/v1/models/{name}/predict", requests),
        ("/predict/{name}", requests),
        ("/push/{source}", events),
    )
    for pattern, forms in patterns:
        general = document["paths"].pop(pattern)["post"]
        for name, form in sorted(forms.items()):
            path = re.sub("{.*}", name, pattern)
            document["paths"][path] = {"post": _operation(general, path, form, document)}
    return document


def _operation(
    general: dict[str, Any], path: str, form: type[pydantic.BaseModel], document: dict[str, Any]
) -> dict[str, Any]:
    one = form.model_json_schema(ref_template=REFERENCE)
    document.setdefault("components", {}).setdefault("schemas", {}).update(one.pop("$defs", {}))
    asked = [parameter for parameter in general.get("parameters", []) if parameter["in"] != "path"]
    body = {"anyOf": [one, {"type": "array", "items": one, "maxItems": LARGEST_BATCH}]}
    named = {"operationId": path.strip("/").replace("/", "_"), "parameters": asked}
    return general | named | {"requestBody": json_body(body)}


def json_body(schema: dict[str, Any]) -> dict[str, Any]:
    """A request's body that has to be there, as JSON."""
    return {"required": True, "content": {"application/json": {"schema": schema}}}
