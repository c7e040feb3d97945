"""Bodies of requests: JSON, one item or a list, checked against a pydantic model; what is wrong is answered with 422."""

import json
import math
from typing import Any

import pydantic
from fastapi.exceptions import RequestValidationError

from resources.moments import MomentError
from resources.request_forms import readers

LARGEST_BATCH = 1000


def parsed(body: bytes) -> Any:
    """The JSON of a body; what is not JSON is answered like any other wrong request, and so is NaN or 1e999."""
    try:
        content = json.loads(body)
    except ValueError as error:
        raise refusal("json_invalid", f"not JSON: {error}") from error
    if problems := not_finite(content, "body"):
        raise RequestValidationError(problems)
    return content


def not_finite(value: Any, *where: str | int) -> list[dict[str, Any]]:
    """A problem for every NaN and infinity in a JSON value or a pydantic model, located as FastAPI does."""
    if isinstance(value, float):
        return [] if math.isfinite(value) else [_not_finite(value, where)]
    if isinstance(value, pydantic.BaseModel):
        value = vars(value)
    if isinstance(value, dict):
        return [problem for name, part in value.items() for problem in not_finite(part, *where, name)]
    if isinstance(value, list | tuple):
        return [problem for index, part in enumerate(value) for problem in not_finite(part, *where, index)]
    return []


def _not_finite(value: float, where: tuple[str | int, ...]) -> dict[str, Any]:
    message = f"{where[-1]} is {value}, and a request holds finite numbers alone: send a number, or null where it may be unknown"
    return {"type": "finite_number", "loc": where, "msg": message}


def items_of(body: Any) -> list[Any]:
    """One item or a list of them, as a list; a list that is too long is refused."""
    items = body if isinstance(body, list) else [body]
    if len(items) > LARGEST_BATCH:
        raise refusal("too_long", f"{len(items)} items: at most {LARGEST_BATCH}")
    return items


def refusal(kind: str, message: str, *where: str | int) -> RequestValidationError:
    """The answer 422 with one problem, located in the body as FastAPI does."""
    return RequestValidationError([{"type": kind, "loc": ("body", *where), "msg": message}])


def validated(request: type[pydantic.BaseModel], items: list[Any], batch: bool) -> list[pydantic.BaseModel]:
    """The requests, or every field that is wrong, located as FastAPI does (`body`, index in a batch, field)."""
    good: list[pydantic.BaseModel] = []
    problems: list[dict[str, Any]] = []
    for index, item in enumerate(items):
        where = ("body", index) if batch else ("body",)
        item, wrong = _with_moments(request, item)
        try:
            good.append(request.model_validate(item))
            problems += not_finite(good[-1], *where)
        except pydantic.ValidationError as error:
            found = error.errors(include_url=False, include_context=False)
            wrong += [problem for problem in found if problem["loc"] not in [one["loc"] for one in wrong]]
        problems += [{**problem, "loc": (*where, *problem["loc"])} for problem in wrong]
    if problems:
        raise RequestValidationError(problems)
    return good


def _with_moments(request: type[pydantic.BaseModel], item: Any) -> tuple[Any, list[dict[str, Any]]]:
    """The item with its moments and days read, and what is wrong with them: pydantic would guess what numbers mean."""
    read, wrong = {}, []
    for name, reader in readers(request).items():
        if isinstance(item, dict) and item.get(name) is not None:
            try:
                read[name] = reader(item[name])
            except MomentError as error:
                wrong.append({"type": "value_error", "loc": (name,), "msg": str(error), "input": item[name]})
    return (item | read if read else item), wrong
