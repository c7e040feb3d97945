"""On-demand features, computed from the columns of an answer as stock Feast computes them from its message.

The transformations are Feast's own; what is left out is the way through protobuf before and after them.
"""

import contextlib
from collections import defaultdict
from collections.abc import Mapping
from typing import Any, cast

import numpy as np
import pyarrow as pa
from feast.online_response import _convert_uuids_for_arrow
from feast.type_map import (
    feast_value_type_to_pa,
    feast_value_type_to_python_type,
    python_values_to_proto_values,
)
from feast.utils import _apply_aggregations_to_response, _parse_feature_ref

from .codec.kinds import ValueType, feasts
from .plan import Plan
from .request import Given

FLOATS = {ValueType.FLOAT: np.float32, ValueType.DOUBLE: np.float64}
TABLES = ("pandas", "substrait")


class _View:
    """One on-demand view of a plan: which features are asked for and which columns it must not see."""

    def __init__(self, plan: Plan, view: Any, features: list[str], full_names: bool) -> None:
        self.view = view
        self.full_names = full_names
        name = view.projection.name_to_use()
        self.outputs = [f"{name}__{feature}" if full_names else feature for feature in features]
        self.kinds = {field.name: field.dtype.to_value_type() for field in view.schema}
        self.unseen = _undeclared(plan, view)
        self.read = {**plan.kinds, **_read_by(view)}


def _named(view: Any) -> str:
    return (view.projection.name_alias if view.projection else None) or view.name


def _read_by(view: Any) -> dict[str, ValueType]:
    """Types of the columns that a view declares to read: of the request, and features by both of their names."""
    types = dict(view.get_request_data_schema())
    for projection in view.source_feature_view_projections.values():
        for feature in projection.features:
            kind = feature.dtype.to_value_type()
            types |= {feature.name: kind, f"{projection.name_to_use()}__{feature.name}": kind}
    return types


def _undeclared(plan: Plan, view: Any) -> set[str]:
    """Columns of views that this one does not name as its sources."""
    mine = {projection.name for projection in view.source_feature_view_projections.values()}
    computed = {_named(other) for other in plan.on_demand}
    parsed = [_parse_feature_ref(ref) for ref in plan.refs]
    others = [(v, f) for v, _, f in parsed if v not in computed and v not in mine]
    for other in plan.on_demand:
        for projection in other.source_feature_view_projections.values():
            if projection.name not in mine:
                others += [(projection.name, feature.name) for feature in projection.features]
    return {name for v, f in others for name in (f, f"{v}__{f}")}


def _views(plan: Plan, full_names: bool) -> list[_View]:
    if "on demand" not in plan.memo:
        by_name = {_named(view): view for view in plan.on_demand}
        features_of: dict[str, list[str]] = defaultdict(list)
        for ref in plan.refs:
            name, _, feature = _parse_feature_ref(ref)
            if name in by_name and not by_name[name].write_to_online_store:
                features_of[name].append(feature)
        plan.memo["on demand"] = [
            _View(plan, by_name[name], features, full_names) for name, features in features_of.items()
        ]
    return plan.memo["on demand"]


def computed(plan: Plan, columns: Mapping[str, list[Any]], full_names: bool) -> dict[str, Given]:
    """The on-demand features of a plan by name in the answer, from the values of all columns read and given."""
    features: dict[str, Given] = {}
    as_dict, as_table = dict(columns), None
    for one in _views(plan, full_names):
        view = one.view
        if view.mode in TABLES and as_table is None:
            as_table = pa.Table.from_pydict(_convert_uuids_for_arrow(dict(columns)))
        if view.aggregations:
            # As in stock Feast, an aggregation changes what the views after it see, and adds no column itself.
            if view.mode == "python":
                as_dict = _apply_aggregations_to_response(
                    as_dict, view.aggregations, view.entities, view.mode
                )
            else:
                as_table = _apply_aggregations_to_response(
                    as_table, view.aggregations, view.entities, view.mode
                )
        elif view.mode == "python":
            features |= _from_dict(one, as_dict)
        elif view.mode in TABLES:
            features |= _from_table(one, as_table)
        else:
            raise ValueError(
                f"on-demand view {view.name!r} has mode {view.mode!r}: python, pandas or substrait"
            )
    return features


def _from_dict(one: _View, columns: Mapping[str, list[Any]]) -> dict[str, Given]:
    values = one.view.transform_dict({name: v for name, v in columns.items() if name not in one.unseen})
    listed = {name: values[name] if isinstance(values[name], list) else [values[name]] for name in values}
    return {name: _given(listed[name], one.kinds.get(name)) for name in listed if name in one.outputs}


def _from_table(one: _View, table: Any) -> dict[str, Given]:
    if one.view.mode == "pandas":
        table = _typed(table.select([n for n in table.column_names if n not in one.unseen]), one.read)
    answer = one.view.transform_arrow(table, one.full_names)
    chosen = [name for name in answer.column_names if name in one.outputs]
    return {name: _given(answer[name].to_numpy(), one.kinds.get(name)) for name in chosen}


def _typed(table: Any, kinds: Mapping[str, ValueType]) -> Any:
    """The table whose columns of nulls alone have their declared types, so that pandas gives what it gives at training."""
    for place, column in enumerate(table.schema):
        if pa.types.is_null(column.type) and column.name in kinds:
            kind = _arrow_type(kinds[column.name])
            if kind is not None:
                table = table.set_column(place, column.name, pa.nulls(table.num_rows, kind))
    return table


def _arrow_type(kind: ValueType) -> Any:
    """None of a type that has no counterpart."""
    if kind == ValueType.UNIX_TIMESTAMP:
        return pa.timestamp("us", "UTC")
    with contextlib.suppress(KeyError):
        return feast_value_type_to_pa(feasts(kind))
    return None


def _given(values: Any, kind: ValueType | None) -> Given:
    """A computed column in the type that its view declares, as if it had been stored."""
    kind = kind or ValueType.UNKNOWN
    if isinstance(values, np.ndarray) and kind in FLOATS and values.dtype.kind == "f":
        with np.errstate(over="ignore"):
            numbers = values.astype(FLOATS[kind])
        shown = numbers.tolist()
        if np.isnan(numbers).any():
            shown = [None if number != number else number for number in shown]
        return Given(shown, shown, kind)
    protos = python_values_to_proto_values(cast(list[Any], values), feasts(kind))
    shown = [feast_value_type_to_python_type(proto) for proto in protos]
    return Given(shown, shown, kind)
