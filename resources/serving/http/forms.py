"""Pydantic models of what is sent to an endpoint: turned into rows, and an example of each."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from types import NoneType
from typing import TYPE_CHECKING, Annotated, Any, get_args

import polars as pl
import pydantic

from feature_repo.online_store.codec.key_values import key_value
from resources.moments import read_day, read_moment

if TYPE_CHECKING:
    from resources.records.deployment import Deployment
    from resources.serving.parts import Features

INSTANT = pl.Datetime("us", "UTC")
KINDS: dict[str, tuple[Any, Any]] = {
    "boolean": (pl.Boolean, False),
    "integer": (pl.Int64, 1),
    "number": (pl.Float64, 1.0),
    "string": (pl.String, "A"),
    "date-time": (INSTANT, "2024-06-03T12:00:00Z"),
}
"""JSON schema's types: the column's type in a frame, and a value to show."""


def _declared(kind: Any) -> Any:
    """A request field's type; a whole number or a text is told by its value, and nothing is cut off to be one."""
    if kind not in (int, str):
        return kind
    return Annotated[kind, pydantic.BeforeValidator(lambda v: v if v is None else key_value(v, kind))]


COLUMNS: dict[str, Any] = {"int": int, "float": float, "str": str, "bool": bool}
"""What the words for a column's type mean in a request."""


def request_model(
    name: str, fields: Mapping[str, Any], columns: Mapping[str, str] | None = None
) -> type[pydantic.BaseModel]:
    """The model of a request with these fields and no other; one of a type `... | None` may be null or left out.

    `columns` are those that the model is given as they are, each in a word for its type (`float | null`). What is null or
    left out is a missing value, as one in the training rows is.
    """
    declared: dict[str, Any] = {field: _field(kind) for field, kind in fields.items()}
    declared |= {field: _column(word) for field, word in (columns or {}).items()}
    return pydantic.create_model(name, __config__=pydantic.ConfigDict(extra="forbid"), **declared)


def _column(word: str) -> tuple[Any, Any]:
    kind, nullable = COLUMNS[word.partition("|")[0].strip()], "|" in word
    return _field(kind | None) if nullable else (_declared(kind), ...)


def _field(kind: Any) -> tuple[Any, Any]:
    inner = [part for part in get_args(kind) if part is not NoneType]
    if NoneType not in get_args(kind):
        return Annotated[_declared(kind), pydantic.BeforeValidator(_key_there)], ...  # type: ignore[valid-type]
    declared = _declared(inner[0])
    shown = _kind(pydantic.TypeAdapter(inner[0]).json_schema())[1]
    return declared | None, pydantic.Field(default=None, examples=[shown])


def _key_there(value: Any) -> Any:
    if value is None:
        raise ValueError(
            "null is no key, and what is asked about is named by it: send it, or give the model a request of its own in "
            "prediction.request where it may be missing"
        )
    return value


@lru_cache(maxsize=64)
def fields(request: type[pydantic.BaseModel]) -> dict[str, dict[str, Any]]:
    """Each field's JSON schema; of an optional field, that of its value."""
    properties = request.model_json_schema().get("properties", {})
    return {
        name: next((part for part in field.get("anyOf", []) if part.get("type") != "null"), {}) | field
        for name, field in properties.items()
    }


READERS: dict[str, Callable[[Any], Any]] = {"date-time": read_moment, "date": read_day}


@lru_cache(maxsize=64)
def readers(request: type[pydantic.BaseModel]) -> dict[str, Callable[[Any], Any]]:
    """The fields that hold moments or days, whatever type the model gives them, and what reads each of them."""
    return {
        name: READERS[field["format"]]
        for name, field in fields(request).items()
        if field.get("format") in READERS
    }


def _kind(field: dict[str, Any]) -> tuple[Any, Any]:
    if field.get("type") == "array":
        inner, shown = _kind(field.get("items", {}))
        return (None, []) if inner is None else (pl.List(inner), [shown])
    return KINDS.get(field.get("format", ""), KINDS.get(field.get("type", ""), (None, None)))


def request_frame(requests: Sequence[pydantic.BaseModel], time_column: str, now: datetime) -> pl.DataFrame:
    """Requests as rows, instants in UTC, with `now` in the column of the prediction's moment."""
    columns = [
        pl.Series(name, [_utc(getattr(request, name)) for request in requests], dtype=_kind(field)[0])
        for name, field in fields(type(requests[0])).items()
    ]
    return pl.DataFrame(columns).with_columns(pl.lit(now.astimezone(UTC), dtype=INSTANT).alias(time_column))


def _utc(value: Any) -> Any:
    if isinstance(value, list):
        return [_utc(one) for one in value]
    return value.astimezone(UTC) if isinstance(value, datetime) else value


def example(request: type[pydantic.BaseModel], also: Sequence[str] = ()) -> dict[str, Any]:
    """A request to show and to warm a model with: its own example if it has one, else a value of each field's type.

    Of the optional fields it has those that have an example of their own, and those that `also` names.
    """
    own = request.model_json_schema().get("examples")
    if own:
        return dict(own[0])
    schemas = fields(request)
    required = {*also, *(name for name, field in request.model_fields.items() if field.is_required())}
    return {
        name: field["examples"][0] if "examples" in field else _kind(field)[1]
        for name, field in schemas.items()
        if name in required or "examples" in field
    }


def default_request(record: "Deployment", features: "Features") -> type[pydantic.BaseModel]:
    """What is asked of a model that names no request of its own: the columns that its features need."""
    fields = features.request_fields(record.feature_service)
    columns = {name: kind for name, kind in fields.items() if name != record.time}
    return request_model(f"{record.name}_request", columns, record.columns)
