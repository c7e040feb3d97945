"""What the catalogue says of a table's columns, as Dagster's metadata: schema, lineage, distributions."""

from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg
import polars as pl

from mlops_assets.kit.metadata import markdown_table, table_schema
from mlops_assets.ml.reports.distributions import distributions
from mlops_assets.ml.tables import Column, Expectation
from resources.lake.lake import Manifest

SCHEMA, LINEAGE, DISTRIBUTIONS = "dagster/column_schema", "dagster/column_lineage", "distributions"


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
    frame: pl.DataFrame,
    expected: Expectation,
    columns: Mapping[str, Column],
    readers: Mapping[str, Sequence[str]] | None = None,
) -> dict[str, Any]:
    """What the newest partition shows beside its numbers: columns, their lineage, and how their values are spread.

    `readers` are the models that read each feature, where the table is a feature view.
    """
    moments = {name for name, column in columns.items() if column.unit == UNIX_SECONDS}
    rows = distributions(frame, skip=expected.keys, unix_seconds=moments)
    if readers is not None:
        rows = [
            {
                **row,
                "meaning": columns.get(row["column"], Column()).description,
                "read by": _names_of(readers.get(row["column"], ())),
            }
            for row in rows
        ]
    return {
        SCHEMA: column_schema(expected, columns),
        LINEAGE: column_lineage(columns),
        DISTRIBUTIONS: markdown_table(rows),
    }


def _names_of(models: Sequence[str]) -> str:
    return ", ".join(models) or "**no model**"


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
