"""Feature tables of the trailing aggregates that a TableSpec declares, made of the raw table a partition at a time."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import polars as pl

from mlops_assets.ml.aggregates.features import FEATURES
from mlops_assets.ml.aggregates.versions import AggregateError, Shape
from mlops_assets.ml.provenance.digest import digest
from mlops_assets.ml.tables import Column, Expectation
from mlops_assets.ml.typed import INSTANT, TYPES
from mlops_assets.spec import names
from mlops_assets.spec.aggregates import Aggregates
from mlops_assets.spec.calendar import ALL_BEFORE, Calendar, Partition
from mlops_assets.spec.table import TableSpec
from mlops_assets.stages.declared_tables import AN_HOUR, looks_back, refuse_known_elsewhere
from mlops_assets.stages.errors import SourceError
from mlops_assets.stages.running_aggregates import History
from mlops_assets.stages.tables import EVENT_TIME, Table
from resources.lake.lake import Lake

CODE = ("mlops_assets.stages.running_aggregates:History",)
ALWAYS_THERE = ("count", "sum", "distinct")


def aggregate_table(
    spec: TableSpec, view: str, use_case: str, calendar: Calendar, **appearance: Any
) -> Table:
    """`<use case>/features/<view>`: of each key a row for every moment of a partition at which a feature may change."""
    aggregates, raw, shape = spec.aggregates[view], f"{use_case}/{spec.name}", shape_of(spec)
    back = looks_back_for(spec, aggregates)
    decides = digest(
        [aggregates.model_dump(mode="json"), shape.row, spec.time, spec.known_at, f"{spec.lateness}"]
    )

    def build(lake: Lake, span: Partition) -> pl.DataFrame:
        late, key = looks_back(spec), names.feature_table(use_case, view)
        history = History(lake, raw, key, aggregates, shape, calendar, late, CODE)
        if late:
            refuse_known_elsewhere(history.read([span.name]), spec, span)
        try:
            return history.rows(span)
        except AggregateError as error:
            raise SourceError(f"aggregates.{view} of {spec.name!r}: {error}") from error

    return Table(
        names.feature_table(use_case, view),
        build,
        aggregate_promises(spec, aggregates),
        calendar,
        {raw: back},
        {"description": aggregates.description, **appearance},
        aggregate_columns(spec, aggregates, raw),
        CODE,
        lambda: {"declared": decides},
    )


def shape_of(spec: TableSpec) -> Shape:
    """What a table's columns are to its aggregates; rows that differ in when they were known alone are versions of one."""
    known = spec.known_at if spec.known_at != spec.time else None
    row = [name for name in spec.key if name != known]
    return Shape(spec.columns, row, str(spec.time), known)


def looks_back_for(spec: TableSpec, aggregates: Aggregates) -> timedelta:
    """How long before a partition the rows may be that it is made of: the longest window, or how late a row may come."""
    longest = aggregates.longest
    return ALL_BEFORE if longest is None else max(longest + AN_HOUR, looks_back(spec))


def aggregate_promises(spec: TableSpec, aggregates: Aggregates) -> Expectation:
    """What the feature table promises: its types, one row for each key and moment, and that what counts rows is never missing."""
    kinds = shape_of(spec).kinds(aggregates)
    keys = (*aggregates.key, EVENT_TIME)
    counts = [name for name, one in aggregates.features.items() if one.word in ALWAYS_THERE]
    return Expectation(
        schema={**{name: TYPES[spec.columns[name].kind] for name in aggregates.key}, EVENT_TIME: INSTANT}
        | {name: FEATURES[kind] for name, kind in kinds.items()},
        keys=keys,
        time=EVENT_TIME,
        nulls=dict.fromkeys((*keys, *counts), 0.0),
    )


def aggregate_columns(spec: TableSpec, aggregates: Aggregates, raw: str) -> Mapping[str, Column]:
    """What the catalogue says of the columns, with the raw columns that each is made of."""
    shape, said = shape_of(spec), spec.columns
    moments = tuple((raw, name) for name in (shape.time, shape.known) if name)
    features = {
        name: Column(
            one.description or f"{one.words[0].upper()}{one.words[1:]}.",
            one.unit,
            tuple(
                (raw, column)
                for column in shape.needs(aggregates.model_copy(update={"features": {name: one}}))
            ),
        )
        for name, one in aggregates.features.items()
    }
    keys = {name: Column(said[name].description, said[name].unit, ((raw, name),)) for name in aggregates.key}
    return {
        **keys,
        EVENT_TIME: Column("From when on the values hold, and known.", made_of=moments),
        **features,
    }
