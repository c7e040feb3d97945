"""An answer as the JSON that `feast serve` gives, written from its columns.

The reference is feast/feature_server_utils.py: values as native types, statuses by name, times as RFC 3339.
"""

import json
from functools import lru_cache
from itertools import chain
from typing import Any

import polars as pl
from feast.feature_server_utils import _value_to_native
from feast.value_type import ValueType

from .moment import moment_of
from .response import BulkOnlineResponse, Column, Stored

NAMES = ("INVALID", "PRESENT", "NULL_VALUE", "NOT_FOUND", "OUTSIDE_MAX_AGE")
FLOATS = {ValueType.FLOAT, ValueType.DOUBLE}
NATIVE = {*FLOATS, ValueType.INT32, ValueType.INT64, ValueType.STRING, ValueType.BOOL}
"""Types whose Python values are their JSON values."""

MANY = 200
"""From so many floating-point numbers on, polars writes them faster than Python does."""

_encoded = json.JSONEncoder(allow_nan=False, separators=(",", ":"), ensure_ascii=False).encode


def written(answer: BulkOnlineResponse) -> bytes:
    """The body of a reply."""
    times: dict[int, str] = {}
    columns = answer.columns
    floats = _floats({name: column.values for name, column in columns.items() if column.kind in FLOATS})
    results = [
        _result(column, floats.get(name) or _values(column), times) for name, column in columns.items()
    ]
    metadata: dict[str, Any] = {"feature_names": list(columns)}
    if answer.versions:
        metadata["feature_view_metadata"] = [_version(name, number) for name, number in answer.versions]
    return f'{{"results":[{",".join(results)}],"metadata":{_encoded(metadata)}}}'.encode()


def _floats(columns: dict[str, list[Any]]) -> dict[str, str]:
    """Columns of numbers, written all at once; left out is what JSON has no word for, and all if they are few or mixed."""
    numbers = list(chain.from_iterable(columns.values()))
    if len(numbers) < MANY or not {float, type(None)}.issuperset(map(type, numbers)):
        return {}
    words = pl.Series(numbers, dtype=pl.Float64).cast(pl.String).fill_null("null").to_list()
    found, start = {}, 0
    for name, values in columns.items():
        found[name] = f"[{','.join(words[start : start + len(values)])}]"
        start += len(values)
    return {name: text for name, text in found.items() if "NaN" not in text and "inf" not in text}


def _version(name: str, number: int) -> dict[str, Any]:
    return {"name": name, "version": number} if number else {"name": name}


def _result(column: Column, values: str, times: dict[int, str]) -> str:
    """One column; what all features of a view share is written once."""
    shared = id(column.sight) if isinstance(column, Stored) else -1
    if shared not in times:
        times[shared] = _encoded([_moment(time) for time in column.times()])
    return f'{{"values":{values},"statuses":{_statuses(column)},"event_timestamps":{times[shared]}}}'


def _values(column: Column) -> str:
    if column.kind in NATIVE:
        try:
            return _encoded(column.values)
        except ValueError:
            pass  # Not a number or infinite: Feast has words for them.
    return _encoded([_value_to_native(proto) for proto in column.protos()])


def _statuses(column: Column) -> str:
    if isinstance(column, Stored) and column.sight.whole and column.complete:
        return _all_present(len(column.values))
    return _encoded([NAMES[status] for status in column.statuses])


@lru_cache(maxsize=256)
def _all_present(rows: int) -> str:
    return _encoded(["PRESENT"] * rows)


@lru_cache(maxsize=1 << 16)
def _moment(time: int | None) -> str:
    if not time:
        return "1970-01-01T00:00:00Z"
    fraction = time % 1_000_000
    places = "seconds" if not fraction else "microseconds" if fraction % 1000 else "milliseconds"
    return moment_of(time).replace(tzinfo=None).isoformat(timespec=places) + "Z"
