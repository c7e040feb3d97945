"""Frames, metrics and plots as the metadata that the Dagster UI shows."""

import base64
from collections.abc import Mapping
from typing import Any

import dagster as dg
import polars as pl

from mlops_assets.ml.reports.markdown import cell
from mlops_assets.ml.reports.sparklines import data_uri
from mlops_assets.ml.scores import undefined
from mlops_assets.spec.gate import METRICS
from resources.lake.lake import Manifest

OPENED_FROM = 1000
"""Dagster's page draws shorter Markdown in place, where wide tables are cut off, and longer in a window of its own."""

ALL_METRICS = {name for names in METRICS.values() for name in names}


def table_metadata(manifest: Manifest) -> dict[str, Any]:
    """What one partition holds, from its manifest."""
    return {
        "dagster/row_count": manifest.rows,
        "dagster/column_schema": table_schema(manifest, {}),
        "rows changed since last time": "first time"
        if manifest.rows_changed is None
        else manifest.rows_changed,
        "content sha256": manifest.sha256,
        **(manifest.notes or {}),
    }


def table_schema(manifest: Manifest, meanings: Mapping[str, str]) -> dg.TableSchema:
    """The columns of a partition, each with its meaning where there is one."""
    return dg.TableSchema(
        [dg.TableColumn(name, kind, meanings.get(name)) for name, kind in manifest.columns.items()]
    )


def markdown_table(rows: list[dict[str, Any]]) -> dg.MarkdownMetadataValue:
    """A list of rows as a Markdown table; floats to four digits, counts without any."""
    if not rows:
        return dg.MetadataValue.md("*no rows*")
    columns = list(rows[0])
    lines = ["| " + " | ".join(map(cell, columns)) + " |", "|" + "---|" * len(columns)]
    lines += ["| " + " | ".join(_cell(row.get(column)) for column in columns) + " |" for row in rows]
    return dg.MetadataValue.md("\n".join(lines))


def wide_table(rows: list[dict[str, Any]]) -> dg.MarkdownMetadataValue:
    """The same for rows that are wider than the page's column: it is opened on a click, however few they are."""
    return dg.MetadataValue.md((markdown_table(rows).md_str or "").ljust(OPENED_FROM))


def frame_table(frame: pl.DataFrame, rows: int = 20) -> dg.MarkdownMetadataValue:
    """The first rows of a frame as a Markdown table."""
    return markdown_table(frame.head(rows).to_dicts())


def picture(png: bytes, title: str) -> dg.MarkdownMetadataValue:
    """A plot that the asset page shows on a click; the picture travels inside the metadata."""
    return dg.MetadataValue.md(f"![{title}](data:image/png;base64,{base64.b64encode(png).decode()})")


def drawing(svg: str, title: str) -> dg.MarkdownMetadataValue:
    """A drawing that the asset page shows on a click, as text that browsers draw."""
    return dg.MetadataValue.md(
        f"![{title}](data:image/svg+xml;base64,{base64.b64encode(svg.encode()).decode()})"
    )


def small_picture(svg: str, title: str) -> dg.MarkdownMetadataValue:
    """A picture that stands in the table of metadata itself, because its Markdown is short enough."""
    return dg.MetadataValue.md(f"![{title}]({data_uri(svg)})")


def metric_value(name: str, value: Any) -> Any:
    """A metric as a page shows it: one that is not defined says why; anything else as it is."""
    return undefined(name) if value is None and name in ALL_METRICS else value


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.0f}" if value.is_integer() and abs(value) >= 10 else f"{value:.4f}"
    return "" if value is None else cell(str(value))
