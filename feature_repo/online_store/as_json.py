"""An answer as the JSON that `feast serve` gives, written from its columns.

The reference is feast/feature_server_utils.py: values as native types, statuses by name, times as RFC 3339.
"""

import json
from functools import lru_cache
from typing import Any

from feast.feature_server_utils import _value_to_native
from feast.value_type import ValueType

from .moment import moment_of
from .response import BulkOnlineResponse, Column, Stored, read_all

NAMES = ("INVALID", "PRESENT", "NULL_VALUE", "NOT_FOUND", "OUTSIDE_MAX_AGE")
NATIVE = {
    ValueType.FLOAT,
    ValueType.DOUBLE,
    ValueType.INT32,
    ValueType.INT64,
    ValueType.STRING,
    ValueType.BOOL,
}
"""Types whose Python values are their JSON values."""

_encoded = json.JSONEncoder(allow_nan=False, separators=(",", ":"), ensure_ascii=False).encode


def written(answer: BulkOnlineResponse) -> bytes:
    """The body of a reply."""
    read_all(answer.columns.values())
    times: dict[int, str] = {}
    results = [_result(column, times) for column in answer.columns.values()]
    metadata: dict[str, Any] = {"feature_names": list(answer.columns)}
    if answer.versions:
        metadata["feature_view_metadata"] = [_version(name, number) for name, number in answer.versions]
    return f'{{"results":[{",".join(results)}],"metadata":{_encoded(metadata)}}}'.encode()


def _version(name: str, number: int) -> dict[str, Any]:
    return {"name": name, "version": number} if number else {"name": name}


def _result(column: Column, times: dict[int, str]) -> str:
    """One column; what all features of a view share is written once."""
    shared = id(column.sight) if isinstance(column, Stored) else -1
    if shared not in times:
        times[shared] = _encoded([_moment(time) for time in column.times()])
    return f'{{"values":{_values(column)},"statuses":{_statuses(column)},"event_timestamps":{times[shared]}}}'


def _values(column: Column) -> str:
    kind = column.kind if isinstance(column, Stored) else column.given.kind
    if kind in NATIVE:
        try:
            return _encoded(column.values)
        except ValueError:
            pass  # Not a number or infinite: Feast has words for them.
    return _encoded([_value_to_native(proto) for proto in column.protos()])


def _statuses(column: Column) -> str:
    if isinstance(column, Stored) and column.sight.whole and None not in column.cells:
        return _all_present(len(column.sight.places or column.cells))
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
