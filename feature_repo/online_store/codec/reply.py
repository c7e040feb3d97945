"""An answer as the JSON that `feast serve` gives, written from its columns.

The reference is feast/feature_server_utils.py: values as native types, statuses by name, times as RFC 3339.
"""

from functools import lru_cache, partial
from typing import Any

from feast.feature_server_utils import _value_to_native
from pydantic_core import to_json

from ..answer import Column, Stored
from ..response import BulkOnlineResponse
from .decoding import FLOATS, INTEGERS
from .kinds import ValueType
from .moment import moment_of

NAMES = ("INVALID", "PRESENT", "NULL_VALUE", "NOT_FOUND", "OUTSIDE_MAX_AGE")
NATIVE = {*FLOATS, *INTEGERS, ValueType.STRING, ValueType.BOOL}
"""Types whose Python values are their JSON values."""

_encoded = partial(to_json, inf_nan_mode="strings")
"""As Feast does, with "NaN" and "Infinity" for what JSON has no number for."""


def written(answer: BulkOnlineResponse) -> bytes:
    """The body of a reply."""
    times: dict[int, bytes] = {}
    columns = answer.columns
    results = b",".join([_result(column, times) for column in columns.values()])
    metadata: dict[str, Any] = {"feature_names": list(columns)}
    if answer.versions:
        metadata["feature_view_metadata"] = [_version(name, number) for name, number in answer.versions]
    return b'{"results":[%b],"metadata":%b}' % (results, _encoded(metadata))


def _version(name: str, number: int) -> dict[str, Any]:
    return {"name": name, "version": number} if number else {"name": name}


def _result(column: Column, times: dict[int, bytes]) -> bytes:
    """One column; what all features of a view share is written once."""
    shared = id(column.sight) if isinstance(column, Stored) else -1
    if shared not in times:
        times[shared] = _encoded([_moment(time) for time in column.times()])
    return b'{"values":%b,"statuses":%b,"event_timestamps":%b}' % (
        _values(column),
        _statuses(column),
        times[shared],
    )


def _values(column: Column) -> bytes:
    native = column.kind in NATIVE
    return _encoded(column.values if native else [_value_to_native(proto) for proto in column.protos()])


def _statuses(column: Column) -> bytes:
    if isinstance(column, Stored) and column.sight.whole and column.complete:
        return _all_present(len(column.values))
    return _encoded([NAMES[status] for status in column.statuses])


@lru_cache(maxsize=256)
def _all_present(rows: int) -> bytes:
    return _encoded(["PRESENT"] * rows)


@lru_cache(maxsize=1 << 16)
def _moment(time: int | None) -> str:
    if not time:
        return "1970-01-01T00:00:00Z"
    fraction = time % 1_000_000
    places = "seconds" if not fraction else "microseconds" if fraction % 1000 else "milliseconds"
    return moment_of(time).replace(tzinfo=None).isoformat(timespec=places) + "Z"
