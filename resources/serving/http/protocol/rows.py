"""Tensors of a request turned into rows of a model's own request, and wrong ones named by input and row."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pydantic
from fastapi.exceptions import RequestValidationError

from resources.serving.http.bodies import parsed, refuse, validated
from resources.serving.http.protocol.forms import InferInput, InferRequest, InputKind, kinds
from resources.serving.http.protocol.tensors import TAKEN, TensorError, from_bytes, misfit

INPUTS = ("body", "inputs")


def read(content: bytes, header_length: str | None) -> tuple[InferRequest, bytes]:
    """The request's JSON, and the bytes of its tensors behind it; a length of the JSON is sent where there are any."""
    if header_length is None:
        return _request(parsed(content)), b""
    if not (header_length.isascii() and header_length.isdigit()) or int(header_length[:12]) > len(content):
        _refuse(
            f"Inference-Header-Content-Length is {header_length[:20]!r}, and the body has {len(content)} bytes: send "
            "the number of bytes of its JSON",
            "body",
        )
    length = int(header_length)
    return _request(parsed(content[:length])), content[length:]


def _request(content: Any) -> InferRequest:
    try:
        return InferRequest.model_validate(content)
    except pydantic.ValidationError as error:
        problems = error.errors(include_url=False, include_context=False)
        refuse({**problem, "loc": ("body", *problem["loc"])} for problem in problems)
        raise


def requests_of(
    form: InferRequest, raw: bytes, request: type[pydantic.BaseModel], most: int
) -> list[pydantic.BaseModel]:
    """The rows that tensors hold, validated as requests of a model; raises the answer 422 with input and row of what is wrong.

    An input that is left out is left out of every row. All have as many rows as their shape says, at most `most`.
    """
    known = kinds(request)
    refuse(_wrong_inputs(form.inputs, known, request, most))
    columns = _columns(form.inputs, raw, known)
    rows = form.inputs[0].shape[0] if form.inputs else 0
    items = [{name: column[row] for name, column in columns.items()} for row in range(rows)]
    try:
        return validated(request, items, batch=True)
    except RequestValidationError as error:
        raise RequestValidationError([_relocated(problem) for problem in error.errors()]) from error


def _relocated(problem: Mapping[str, Any]) -> dict[str, Any]:
    """A problem with a field of a row, located at the row of the input; one of the whole row stays with the row."""
    _, row, *where = problem["loc"]
    return {**problem, "loc": [*INPUTS, where[0], row, *where[1:]] if where else [*INPUTS, row]}


def _wrong_inputs(
    inputs: Sequence[InferInput],
    known: Mapping[str, InputKind],
    request: type[pydantic.BaseModel],
    most: int,
) -> Iterator[dict[str, Any]]:
    if not inputs:
        yield _problem("no input: send a tensor for each field of a row")
    seen: set[str] = set()
    for one in inputs:
        kind = known.get(one.name)
        if message := _wrong_input(one, kind, inputs[0].shape[0], most):
            yield _problem(message, one.name)
        elif one.name in seen:
            yield _problem("is sent twice, and only one can be meant", one.name)
        seen.add(one.name)
    for name, field in request.model_fields.items():
        if field.is_required() and name not in seen:
            beyond = "is needed" if name in known else "is needed, and no tensor holds it: ask by /v1/models"
            yield _problem(beyond, name)


def _wrong_input(one: InferInput, kind: InputKind | None, rows: int, most: int) -> str | None:
    if kind is None:
        return "is no input of this model: its metadata names those that it has"
    if one.datatype not in TAKEN[kind.datatype]:
        return f"the datatype is {one.datatype}: send {kind.datatype}"
    if one.shape[0] > most:
        return f"{one.shape[0]} rows: at most {most}"
    if one.shape[0] != rows:
        return f"the shape says {one.shape[0]} rows, and that of the first input {rows}: send as many of each"
    dimensions = 2 if kind.listed else 1
    if len(one.shape) != dimensions and (kind.listed or one.shape[1:] != [1]):
        return f"the shape is {one.shape}: send {'[rows, values a row]' if kind.listed else '[rows] or [rows, 1]'}"
    if (one.data is None) == (one.parameters.binary_data_size is None):
        return "send either data or, with the bytes behind the JSON, the parameter binary_data_size"
    return None


def _columns(
    inputs: Sequence[InferInput], raw: bytes, known: Mapping[str, InputKind]
) -> dict[str, list[Any]]:
    """A value of each row by input; the bytes of those that are sent as bytes lie one behind the other."""
    columns, at, problems = {}, 0, []
    for one in inputs:
        size = one.parameters.binary_data_size or 0
        try:
            values = _values(one, raw[at : at + size])
            columns[one.name] = _by_row(values, one.shape) if known[one.name].listed else values
        except TensorError as error:
            problems.append(_problem(str(error), one.name))
        at += size
    if at != len(raw):
        problems.append(_problem(f"{at} bytes are announced behind the JSON, and {len(raw)} were sent"))
    refuse(problems)
    return columns


def _by_row(values: list[Any], shape: list[int]) -> list[Any]:
    return [values[row * shape[1] : (row + 1) * shape[1]] for row in range(shape[0])]


def _values(one: InferInput, raw: bytes) -> list[Any]:
    """The tensor's values, row by row."""
    count = one.shape[0] * (one.shape[1] if len(one.shape) > 1 else 1)
    if one.data is None:
        return from_bytes(one.datatype, raw, count)
    values = _flat(one.data, one.shape)
    if len(values) != count:
        raise TensorError(f"the shape {one.shape} has {count} values, and data has {len(values)}")
    for row, value in enumerate(values):
        if wrong := misfit(one.datatype, value):
            raise TensorError(f"value {row}: {wrong}")
    return values


def _flat(data: list[Any], shape: list[int]) -> list[Any]:
    """The values of a tensor of two dimensions that is sent as a list of its rows; others as they are."""
    if len(shape) == 1 or not any(isinstance(row, list) for row in data):
        return data
    if len(data) != shape[0] or any(not isinstance(row, list) or len(row) != shape[1] for row in data):
        raise TensorError(f"the shape is {shape}, and data has other rows")
    return [value for row in data for value in row]


def _problem(message: str, *where: str | int) -> dict[str, Any]:
    return {"type": "value_error", "loc": (*INPUTS, *where), "msg": message}


def _refuse(message: str, *where: str) -> None:
    refuse([{"type": "value_error", "loc": where, "msg": message}])
