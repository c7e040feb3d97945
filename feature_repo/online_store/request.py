"""The rows of a request for online features: its columns checked, typed, and turned into entity keys."""

import math
import struct
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .codec import keys
from .codec.key_values import key_value
from .codec.kinds import ValueType, feasts, of
from .plan import DUMMY, KeyGroup, Plan

PLAIN = {ValueType.INT64: int, ValueType.INT32: int, ValueType.STRING: str}
INFERRED = {int: ValueType.INT64, str: ValueType.STRING, float: ValueType.DOUBLE}


@dataclass(slots=True)
class Given:
    """A column of the request: values as answered, as used in keys, and their type."""

    shown: list[Any]
    keyed: list[Any]
    kind: ValueType

    def protos(self) -> list[Any]:
        """The column as Feast's objects."""
        from feast.type_map import python_values_to_proto_values

        return python_values_to_proto_values(self.shown, feasts(self.kind))


@dataclass(slots=True)
class Request:
    """The rows: their number, and the columns by name, join keys before request data."""

    height: int
    columns: dict[str, Given]


def columns_of(rows: Any) -> dict[str, list[Any]]:
    """Columns of what Feast accepts as entity rows: dictionaries, or a mapping to sequences or repeated values."""
    if isinstance(rows, list):
        if not rows:
            return {}
        names = list(rows[0])
        if any(row.keys() != rows[0].keys() for row in rows):
            raise ValueError("All entity_rows must have the same keys.")
        return {name: [row[name] for row in rows] for name in names}
    return {name: _listed(values) for name, values in rows.items()}


def _listed(values: Any) -> list[Any]:
    if isinstance(values, list):
        return values
    if hasattr(values, "tolist"):
        return values.tolist()
    return list(values) if isinstance(values, Sequence) else list(values.val)


def read_rows(plan: Plan, rows: Any) -> Request:
    """The columns that the plan needs, in Feast's types; what is missing is an error that names it."""
    if type(rows) is dict and rows.keys() == plan.only_keys and set(map(type, rows.values())) == {list}:
        return _of_keys(plan, rows)
    columns = columns_of(rows)
    joined, data = {}, {}
    for name, values in columns.items():
        if name in plan.request_data:
            data[name] = values
        elif name in plan.join_keys:
            joined[name] = values
        elif name in plan.entities:
            warnings.warn("Using entity name is deprecated. Use join_key instead.", stacklevel=2)
            joined[plan.entities[name]] = values
    used = {**joined, **data}
    heights = {len(values) for values in columns.values()}
    if len(heights) > 1:
        raise ValueError("All entity rows must have the same columns.")
    _require(plan, joined, data)
    for name in plan.moments & used.keys() if plan.moments else ():
        _refuse_guesses(name, used[name])
    given = {
        name: typed(name, values, plan.kinds.get(name, ValueType.UNKNOWN)) for name, values in used.items()
    }
    return Request(heights.pop() if heights else 0, given)


def _of_keys(plan: Plan, columns: dict[str, list[Any]]) -> Request:
    """The same where what is there is the join keys and nothing else is needed, as most ask."""
    heights = {len(values) for values in columns.values()}
    if len(heights) > 1:
        raise ValueError("All entity rows must have the same columns.")
    given = {name: typed(name, values, plan.kinds[name]) for name, values in columns.items()}
    return Request(heights.pop(), given)


def _require(plan: Plan, joined: Mapping[str, Any], data: Mapping[str, Any]) -> None:
    absent = [name for name in plan.request_data if name not in data]
    if absent:
        from feast.errors import RequestDataNotFoundInEntityRowsException

        raise RequestDataNotFoundInEntityRowsException(feature_names=absent)
    missing = [name for name in plan.needed if name not in joined]
    if missing:
        raise KeyError(
            f"Missing join key values for keys: {missing}. Provided join_key_values: {list(joined)}"
        )


def _refuse_guesses(name: str, values: Sequence[Any]) -> None:
    """Feast takes any text or number that `int` does; whole seconds are its unit, and a datetime needs none."""
    for value in values:
        if isinstance(value, str | bytes | bool) or (isinstance(value, float) and not math.isnan(value)):
            raise ValueError(
                f"{name}: {value!r} is not a moment: give a datetime, or whole seconds since 1970 as an integer"
            )


def typed(name: str, values: list[Any], kind: ValueType) -> Given:
    """A column in the type that the views declare for it; plain values of that type are taken as they are.

    Another value is the key that it equals (`key_values.py`), or is refused.
    """
    protos = bool(values) and hasattr(values[0], "WhichOneof")
    if kind in PLAIN and not protos and not set(map(type, values)) <= {PLAIN[kind]}:
        values = _key_values(name, values, kind)
        return Given(values, values, kind)
    if kind == ValueType.UNKNOWN and values:
        kind = _inferred(values)
    plain = PLAIN.get(kind)
    if plain is not None and set(map(type, values)) <= {plain}:
        return Given(values, values, kind)
    return _by_feast(values, kind, protos)


def _by_feast(values: list[Any], kind: ValueType, protos: bool) -> Given:
    """A column by Feast's own conversion."""
    from feast.type_map import (
        PROTO_VALUE_TO_VALUE_TYPE_MAP,
        feast_value_type_to_python_type,
        python_values_to_proto_values,
    )

    theirs = feasts(kind)
    protos_of = values if protos else python_values_to_proto_values(values, theirs)
    held = [proto.WhichOneof("val") for proto in protos_of]
    kinds = {PROTO_VALUE_TO_VALUE_TYPE_MAP[one] for one in held if one}
    return Given(
        shown=[feast_value_type_to_python_type(proto, theirs) for proto in protos_of],
        keyed=[getattr(proto, one) if one else None for proto, one in zip(protos_of, held, strict=True)],
        kind=of(kinds.pop()) if len(kinds) == 1 else kind,
    )


def _key_values(name: str, values: list[Any], kind: ValueType) -> list[Any]:
    try:
        return [key_value(value, PLAIN[kind]) for value in values]
    except ValueError as error:
        raise ValueError(f"join key {name!r} is {kind.name} and {error}") from error


def _inferred(values: list[Any]) -> ValueType:
    first = type(values[0])
    alike = first in INFERRED and all(type(value) is first for value in values)
    return INFERRED[first] if alike and all(value == value for value in values) else ValueType.UNKNOWN


def keys_of(group: KeyGroup, request: Request) -> list[bytes | None]:
    """The entity key of each row, None where a join key is null."""
    if group.columns == (DUMMY,):
        return keys.of_values(group.start, [(ValueType.STRING, [""] * request.height)])
    columns = [(name, request.columns[name]) for name in group.columns]
    try:
        return keys.of_values(
            group.start, [(keys.checked(name, column.kind), column.keyed) for name, column in columns]
        )
    except struct.error as error:
        raise ValueError(f"a value of {', '.join(group.columns)} does not fit its type: {error}") from error


def distinct(row_keys: list[bytes | None]) -> tuple[list[bytes], list[int] | None]:
    """Different keys in order, and for each row which of them it has (-1: none); None where each row has its own."""
    if len(row_keys) == 1 and row_keys[0] is not None:
        return row_keys, None  # type: ignore[return-value]
    unique = dict.fromkeys(row_keys)
    if len(unique) == len(row_keys) and None not in unique:
        return row_keys, None  # type: ignore[return-value]
    unique.pop(None, None)
    places = {key: place for place, key in enumerate(unique)}
    return list(places), [-1 if key is None else places[key] for key in row_keys]  # type: ignore[arg-type]


Questions = tuple[Request, list[tuple[KeyGroup, list[bytes]]], list[list[int] | None]]
"""Rows, the different keys of each group of views, and which of these keys each row has."""


def asked_of(plan: Plan, rows: Any) -> Questions:
    """What is asked of a store for entity rows."""
    request = read_rows(plan, rows)
    each = [distinct(keys_of(group, request)) for group in plan.groups]
    questions = [(group, some) for group, (some, _) in zip(plan.groups, each, strict=True)]
    return request, questions, [places for _, places in each]
