"""The fields of a form, made from the model of what is sent: one a name, with its kind, its rules and a value to begin with."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pydantic

from resources.serving.http.forms import example

PLAIN = {"string": "text", "integer": "number", "number": "number", "boolean": "boolean"}
"""JSON schema's types and the kinds of fields; everything else is written as JSON."""


@dataclass(frozen=True)
class FormField:
    """What one field is called and asks for.

    `kind` is text, number, boolean, choice or json; `choices` and `shown` (empty: nothing) are texts as they are typed; `hint`
    says what the value must be.
    """

    name: str
    kind: str
    required: bool
    shown: str
    hint: str
    choices: tuple[str, ...] = ()


def form_fields(request: type[pydantic.BaseModel]) -> list[FormField]:
    """The fields of a request in their order, with the values of its example."""
    schema = request.model_json_schema()
    parts, begun = schema.get("$defs", {}), example(request)
    needed = schema.get("required", [])
    return [
        _field(name, _value(told, parts), name in needed, begun.get(name))
        for name, told in schema.get("properties", {}).items()
    ]


def _value(told: Mapping[str, Any], parts: Mapping[str, Any]) -> Mapping[str, Any]:
    """A field's schema without what it refers to and without null, which an empty field stands for."""
    if "$ref" in told:
        told = dict(parts.get(told["$ref"].rsplit("/", 1)[-1], {})) | {
            k: v for k, v in told.items() if k != "$ref"
        }
    inner = [one for one in told.get("anyOf", []) if one.get("type") != "null"]
    if len(inner) == 1:
        return dict(_value(inner[0], parts)) | {k: v for k, v in told.items() if k != "anyOf"}
    return told


def _field(name: str, told: Mapping[str, Any], required: bool, value: Any) -> FormField:
    values = told.get("enum", [])
    is_choice = bool(values) and all(isinstance(one, str) for one in values)
    kind = "choice" if is_choice else PLAIN.get(told.get("type", ""), "json")
    return FormField(
        name, kind, required, _typed(value, kind), _hint(told), tuple(values) if is_choice else ()
    )


def _typed(value: Any, kind: str) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) and kind != "json" else json.dumps(value, ensure_ascii=False)


def _hint(told: Mapping[str, Any]) -> str:
    """What a value must be, in a few words."""
    moments = {"date-time": "a moment, ISO 8601 with its zone", "date": "a day, YYYY-MM-DD"}
    least = told.get("minimum", told.get("exclusiveMinimum"))
    most = told.get("maximum", told.get("exclusiveMaximum"))
    said = [
        told.get("description", ""),
        moments.get(told.get("format", ""), told.get("format", "")),
        {"integer": "a whole number", "number": "a number"}.get(told.get("type", ""), ""),
        f"from {least}" if least is not None else "",
        f"to {most}" if most is not None else "",
        f"like {told['pattern']}" if "pattern" in told and "description" not in told else "",
    ]
    return ", ".join(part for part in said if part)
