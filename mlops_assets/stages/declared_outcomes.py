"""Tables of what follows the rows of a table, as a TableSpec declares them: labels of the table's models."""

from typing import Any

import polars as pl

from mlops_assets.ml.following import following_rows, outcome_kind
from mlops_assets.ml.provenance.digest import digest
from mlops_assets.ml.tables import Column, Expectation
from mlops_assets.ml.typed import INSTANT, TYPES
from mlops_assets.spec.calendar import Calendar, Partition
from mlops_assets.spec.outcomes import KNOWN_AT
from mlops_assets.spec.table import TableSpec
from mlops_assets.stages.declared_tables import AN_HOUR
from mlops_assets.stages.tables import Table, recent
from resources.lake.lake import Lake

CODE = ("mlops_assets.ml.following:following_rows",)


def outcome_table(spec: TableSpec, name: str, use_case: str, calendar: Calendar, **appearance: Any) -> Table:
    """`<use case>/<outcome>`: what the rows of a partition change of the outcomes of the rows before them."""
    outcome, raw, time = spec.outcomes[name], f"{use_case}/{spec.name}", str(spec.time)
    decides = digest([outcome.model_dump(mode="json"), spec.key, time])
    said = outcome.description or f"{outcome.words[0].upper()}{outcome.words[1:]}."

    def build(lake: Lake, span: Partition) -> pl.DataFrame:
        rows = recent(lake, raw, calendar, span, outcome.within + AN_HOUR)
        return following_rows(rows, name, outcome, spec.key, time, span.start, span.end)

    return Table(
        f"{use_case}/{name}",
        build,
        outcome_promises(spec, name),
        calendar,
        {raw: outcome.within + AN_HOUR},
        {"description": said, **appearance},
        _columns(spec, name, raw, said),
        CODE,
        lambda: {"declared": decides},
    )


def outcome_promises(spec: TableSpec, name: str) -> Expectation:
    """What the table promises: one line for each row and moment, and nothing missing."""
    kinds = {column: TYPES[spec.columns[column].kind] for column in spec.key}
    value = TYPES[outcome_kind(spec.outcomes[name], spec.columns)]
    columns = {**kinds, name: value, KNOWN_AT: INSTANT}
    return Expectation(columns, (*spec.key, KNOWN_AT), KNOWN_AT, nulls=dict.fromkeys(columns, 0.0))


def _columns(spec: TableSpec, name: str, raw: str, said: str) -> dict[str, Column]:
    outcome, own = spec.outcomes[name], spec.columns
    read = [*outcome.key, str(spec.time), *([outcome.sum] if outcome.sum in own else [])]
    keys = {key: Column(own[key].description, own[key].unit, ((raw, key),)) for key in spec.key}
    return {
        **keys,
        name: Column(said, outcome.unit, tuple((raw, column) for column in dict.fromkeys(read))),
        KNOWN_AT: Column("From when on that was known.", made_of=((raw, str(spec.time)),)),
    }
