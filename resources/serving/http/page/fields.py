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
        _field(name, _value(field, parts), name in needed, begun.get(name))
        for name, field in schema.get("properties", {}).items()
    ]


def _value(field: Mapping[str, Any], parts: Mapping[str, Any]) -> Mapping[str, Any]:
    """A field's schema without what it refers to and without null, which an empty field stands for."""
    if "$ref" in field:
        field = dict(parts.get(field["$ref"].rsplit("/", 1)[-1], {})) | {
            k: v for k, v in field.items() if k != "$ref"
        }
    inner = [one for one in field.get("anyOf", []) if one.get("type") != "null"]
    if len(inner) == 1:
        return dict(_value(inner[0], parts)) | {k: v for k, v in field.items() if k != "anyOf"}
    return field


def _field(name: str, field: Mapping[str, Any], required: bool, value: Any) -> FormField:
    values = field.get("enum", [])
    is_choice = bool(values) and all(isinstance(one, str) for one in values)
    kind = "choice" if is_choice else PLAIN.get(field.get("type", ""), "json")
    return FormField(
        name, kind, required, _typed(value, kind), _hint(field), tuple(values) if is_choice else ()
    )


def _typed(value: Any, kind: str) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) and kind != "json" else json.dumps(value, ensure_ascii=False)


def _hint(field: Mapping[str, Any]) -> str:
    """What a value must be, in a few words."""
    moments = {"date-time": "a moment, ISO 8601 with its zone", "date": "a day, YYYY-MM-DD"}
    least = field.get("minimum", field.get("exclusiveMinimum"))
    most = field.get("maximum", field.get("exclusiveMaximum"))
    said = [
        field.get("description", ""),
        moments.get(field.get("format", ""), field.get("format", "")),
        {"integer": "a whole number", "number": "a number"}.get(field.get("type", ""), ""),
        f"from {least}" if least is not None else "",
        f"to {most}" if most is not None else "",
        f"like {field['pattern']}" if "pattern" in field and "description" not in field else "",
    ]
    return ", ".join(part for part in said if part)
