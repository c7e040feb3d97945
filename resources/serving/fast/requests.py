"""Requests as columns of Python values: what `request_frame` and a rows function make of them, without the frame."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import polars as pl
import pydantic

from resources.serving.http.forms import request_frame

OneRow = Callable[[Mapping[str, Any]], Mapping[str, Any]]
PLAIN = (pl.Boolean, pl.Int64, pl.Float64, pl.String, pl.Datetime)
"""Types of a request's columns whose values come out of a frame as they went in."""


def as_asked(request: Mapping[str, Any]) -> Mapping[str, Any]:
    """The rows of a model without a rows function are its requests."""
    return request


class RequestColumns:
    """Makes columns of the requests of one model."""

    def __init__(self, request: type[pydantic.BaseModel], time_column: str, one_row: OneRow) -> None:
        self._names = tuple(request.model_fields)
        self._time, self._one_row = time_column, one_row

    def of(self, requests: Sequence[pydantic.BaseModel], now: datetime) -> dict[str, list[Any]]:
        """The columns, a value a request."""
        moment = now.astimezone(UTC)
        rows = [self._one_row(self._values(request, moment)) for request in requests]
        return {name: [row[name] for row in rows] for name in rows[0]}

    def row(self, request: pydantic.BaseModel, now: datetime) -> Mapping[str, Any]:
        """The values of one request by column."""
        return self._one_row(self._values(request, now.astimezone(UTC)))

    def _values(self, request: pydantic.BaseModel, now: datetime) -> dict[str, Any]:
        values = {
            name: value.astimezone(UTC) if isinstance(value := getattr(request, name), datetime) else value
            for name in self._names
        }
        values[self._time] = now
        return values


def schema_of(request: pydantic.BaseModel, time_column: str, now: datetime) -> dict[str, Any]:
    """Types of the columns of a frame of requests."""
    return dict(request_frame([request], time_column, now).schema)


def is_plain(schema: Mapping[str, Any]) -> bool:
    """Whether a frame of requests holds nothing but values that are the same in Python and in it."""
    return all(kind in PLAIN for kind in schema.values())
