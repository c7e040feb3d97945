"""What the catalogue says of a table's columns, as Dagster's metadata: schema, lineage, distributions."""

from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg
import polars as pl

from mlops_assets.kit.metadata import table_schema, wide_table
from mlops_assets.ml.reports.distributions import distributions
from mlops_assets.ml.tables import Column, Expectation
from mlops_assets.stages.feature_catalogue import is_known_all_along, meaning_of
from mlops_assets.stages.tables import EVENT_TIME, Table
from resources.lake.lake import Manifest

SCHEMA, LINEAGE, DISTRIBUTIONS = "dagster/column_schema", "dagster/column_lineage", "distributions"
NEWEST_ROW, UNREAD = "newest row", "read by no model"

UNIX_SECONDS = "unix seconds"


def column_schema(expected: Expectation, columns: Mapping[str, Column]) -> dg.TableSchema:
    """Type, description, unit and promises of every column of a table."""
    together = [f"unique: {', '.join(expected.keys)}"] if len(expected.keys) > 1 else []
    return dg.TableSchema(
        [_table_column(expected, name, columns.get(name, Column())) for name in expected.schema],
        dg.TableConstraints(together),
    )


def column_lineage(columns: Mapping[str, Column]) -> dg.TableColumnLineage:
    """The columns of other tables that every column is made of."""
    return dg.TableColumnLineage(
        {
            name: [
                dg.TableColumnDep(dg.AssetKey(table.split("/")), source) for table, source in column.made_of
            ]
            for name, column in columns.items()
            if column.made_of
        }
    )


def newest_metadata(
    frame: pl.DataFrame, expected: Expectation, columns: Mapping[str, Column]
) -> dict[str, Any]:
    """What the newest partition shows beside its numbers: columns, their lineage, and how their values are spread."""
    return {**_columns(expected, columns), DISTRIBUTIONS: wide_table(_spreads(frame, expected, columns))}


def features_metadata(
    frame: pl.DataFrame, table: Table, names: Sequence[str], readers: Mapping[str, Sequence[str]]
) -> dict[str, Any]:
    """The same of a feature table, with what its features mean, how new they are, and the models that read each.

    `names` are its columns that are features, `readers` has the models of those that any model reads.
    """
    unread = [name for name in names if not readers.get(name)]
    rows = _spreads(frame, table.expected, table.columns)
    features = [
        _feature_row(row, table.columns.get(row["column"], Column()), readers)
        for row in rows
        if row["column"] in names
    ]
    return {
        NEWEST_ROW: _age(frame, table),
        UNREAD: ", ".join(unread) or f"none: each of the {len(names)} features is read",
        **_columns(table.expected, table.columns),
        DISTRIBUTIONS: wide_table(features),
    }


def _columns(expected: Expectation, columns: Mapping[str, Column]) -> dict[str, Any]:
    return {SCHEMA: column_schema(expected, columns), LINEAGE: column_lineage(columns)}


def _spreads(
    frame: pl.DataFrame, expected: Expectation, columns: Mapping[str, Column]
) -> list[dict[str, Any]]:
    moments = {name for name, column in columns.items() if column.unit == UNIX_SECONDS}
    return distributions(frame, skip=expected.keys, unix_seconds=moments)


def _feature_row(row: dict[str, Any], column: Column, readers: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    meaning = meaning_of(column, [f"{table}.{source}" for table, source in column.made_of])
    models = ", ".join(readers.get(row["column"], ())) or "**no model**"
    return {"column": row["column"], "meaning": meaning, "unit": column.unit, **row, "read by": models}


def _age(frame: pl.DataFrame, table: Table) -> str:
    if is_known_all_along(table, frame):
        return "known all along"
    return f"{frame[EVENT_TIME].max():%Y-%m-%d %H:%M} UTC" if frame.height else "no row"


def report_schema(meanings: Mapping[str, str], manifest: Manifest) -> dict[str, Any]:
    """The schema of a model's own table, as metadata: its columns as they were written, each with its meaning."""
    return {SCHEMA: table_schema(manifest, meanings)}


def described(column: Column) -> str:
    """Markdown on a column, with where its values come from: the open-source UI does not draw column lineage."""
    tables: dict[str, list[str]] = {}
    for table, source in column.made_of:
        tables.setdefault(table, []).append(source)
    origin = "; ".join(f"*from {table}:* {', '.join(sources)}" for table, sources in tables.items())
    return "\n\n".join(part for part in (column.description, origin) if part)


def type_name(dtype: Any) -> str:
    """A polars type as the catalogue shows it."""
    return (
        f"Datetime ({dtype.time_zone})" if isinstance(dtype, pl.Datetime) and dtype.time_zone else str(dtype)
    )


def _table_column(expected: Expectation, name: str, column: Column) -> dg.TableColumn:
    tags = {"unit": column.unit} if column.unit else None
    kind = type_name(expected.schema[name])
    return dg.TableColumn(name, kind, described(column), _promises(expected, name), tags)


def _promises(expected: Expectation, name: str) -> dg.TableColumnConstraints:
    ranges, nulls = expected.ranges.get(name), expected.nulls.get(name)
    limits = [
        *([f"{ranges[0]:g} to {ranges[1]:g}"] if ranges else []),
        *([f"at most {nulls:.0%} null"] if nulls else []),
    ]
    return dg.TableColumnConstraints(nulls != 0, tuple(expected.keys) == (name,), limits)
