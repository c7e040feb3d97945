"""Bodies of requests: JSON, one item or a list, checked against a pydantic model; what is wrong is answered with 422."""

import itertools
import json
import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any

import pydantic
from fastapi.exceptions import RequestValidationError

from resources.moments import MomentError
from resources.serving.http.forms import readers
from resources.serving_limits import LARGEST_BATCH

DEEPEST = 32
"""So many lists and objects may stand within each other."""

MOST_PROBLEMS = 100
"""So many problems are told of one body."""

LONGEST_SHOWN = 200
INT64 = range(-(2**63), 2**63)
SURROGATE = re.compile("[\ud800-\udfff]")


def parsed(body: bytes, most: int = LARGEST_BATCH) -> Any:
    """The JSON of a body; what is not JSON, or could be read in two ways, is answered like any other wrong request.

    So are NaN and 1e999, half a character, and a list of more than `most` items. Not for the event loop: a large body takes a while.
    """
    try:
        content = DECODER.decode(body.decode("utf-8"))
    except RecursionError:
        raise refusal("json_invalid", f"more than {DEEPEST} lists and objects within each other") from None
    except UnicodeDecodeError as error:
        raise refusal("json_invalid", f"not UTF-8: {error.reason} at byte {error.start}") from error
    except ValueError as error:
        raise refusal("json_invalid", f"not JSON: {error}") from error
    if isinstance(content, list):
        items_of(content, most)
    elif type(content) is dict and _all_fit(content) and _all_fit(content.values()):
        return content
    refuse(unfit(content, "body"))
    return content


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        [(twice, _)] = Counter(name for name, _ in pairs).most_common(1)
        raise ValueError(
            f"the name {_text(twice)} stands twice in one object, and only one value can be meant"
        )
    return members


DECODER = json.JSONDecoder(object_pairs_hook=_object)


def unfit(value: Any, *where: str | int) -> Iterator[dict[str, Any]]:
    """A problem for everything in a JSON value or a pydantic model that no column could hold, located as FastAPI does."""
    if isinstance(value, str):
        if SURROGATE.search(value):
            yield _problem("string_unicode", where, f"{_text(value)} holds half a character: send whole ones")
    elif isinstance(value, int):
        if value not in INT64:
            message = (
                f"{_text(value)} does not fit into 64 bits: if it need not be exact, write it as 1e19 is"
            )
            yield _problem("int_64", where, message)
    elif isinstance(value, float):
        if not math.isfinite(value):
            message = f"{where[-1]} is {value}, and a request holds finite numbers alone: send a number, or null where it may be unknown"
            yield _problem("finite_number", where, message)
    elif isinstance(value, pydantic.BaseModel):
        yield from _unfit_parts(vars(value).items(), where)
    elif isinstance(value, dict):
        for name in value:
            if not _fits(name):
                yield from unfit(name, *where)
        yield from _unfit_parts(value.items(), where)
    elif isinstance(value, list | tuple):
        yield from _unfit_parts(enumerate(value), where)


def refuse(problems: Iterable[Mapping[str, Any]]) -> None:
    """Raise the answer 422 with the first problems, in few words however long the body was; nothing where there is none."""
    if lines := [_shortened(problem) for problem in itertools.islice(problems, MOST_PROBLEMS)]:
        raise RequestValidationError(lines)


def _shortened(problem: Mapping[str, Any]) -> dict[str, Any]:
    where = [_whole(part[:LONGEST_SHOWN]) if isinstance(part, str) else part for part in problem["loc"]]
    short = {**problem, "loc": where, "msg": _whole(problem["msg"][: 5 * LONGEST_SHOWN])}
    shown = short.get("input")
    if isinstance(shown, dict | list) or len(str(shown)) > LONGEST_SHOWN:
        del short["input"]
    return short


def _whole(text: str) -> str:
    """The text with a mark in the place of every half character, which no answer could hold."""
    return SURROGATE.sub("\ufffd", text)


def _unfit_parts(
    parts: Iterable[tuple[str | int, Any]], where: tuple[str | int, ...]
) -> Iterator[dict[str, Any]]:
    if len(where) > DEEPEST:
        yield _problem("json_invalid", where[:3], f"more than {DEEPEST} lists and objects within each other")
        return
    for name, part in parts:
        if not _fits(part):
            yield from unfit(part, *where, name)


def _fits(value: Any) -> bool:
    """Whether a value is, at a glance, one of the many that need no second look."""
    kind = type(value)
    if kind is float:
        return math.isfinite(value)
    if kind is str:
        return value.isascii()
    return value is None or kind is bool or (kind is int and value in INT64)


def _all_fit(values: Iterable[Any]) -> bool:
    """Whether all of some values need no second look."""
    for value in values:
        kind = type(value)
        if kind is str:
            if not value.isascii():
                return False
        elif kind is float:
            if not math.isfinite(value):
                return False
        elif kind is int:
            if value not in INT64:
                return False
        elif value is not None and kind is not bool and kind is not datetime:
            return False
    return True


def _problem(kind: str, where: tuple[str | int, ...], message: str) -> dict[str, Any]:
    return {"type": kind, "loc": where, "msg": message}


def _text(value: Any) -> str:
    text = ascii(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def items_of(body: Any, most: int = LARGEST_BATCH) -> list[Any]:
    """One item or a list of them, as a list; a list that is too long is refused."""
    items = body if isinstance(body, list) else [body]
    if len(items) > most:
        raise refusal("too_long", f"{len(items)} items: at most {most}")
    return items


def refusal(kind: str, message: str, *where: str | int, part: str = "body") -> RequestValidationError:
    """The answer 422 with one problem, located in a part of the request (the body, or its query) as FastAPI does."""
    return RequestValidationError([_shortened(_problem(kind, (part, *where), message))])


def validated(request: type[pydantic.BaseModel], items: list[Any], batch: bool) -> list[pydantic.BaseModel]:
    """The requests, or every field that is wrong, located as FastAPI does (`body`, index in a batch, field)."""
    good: list[pydantic.BaseModel] = []
    problems: list[dict[str, Any]] = []
    for index, item in enumerate(items):
        where = ("body", index) if batch else ("body",)
        item, wrong = _with_moments(request, item)
        try:
            good.append(model := request.model_validate(item))
            if not _all_fit(vars(model).values()):
                problems += itertools.islice(unfit(model, *where), MOST_PROBLEMS)
        except pydantic.ValidationError as error:
            errors = error.errors(include_url=False, include_context=False)
            wrong += [problem for problem in errors if problem["loc"] not in [one["loc"] for one in wrong]]
        problems += [{**problem, "loc": (*where, *problem["loc"])} for problem in wrong]
    if problems:
        refuse(problems)
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
