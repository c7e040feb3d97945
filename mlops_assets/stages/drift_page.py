"""Evidently's page on a week's drift: when it is drawn, where it lies, and what is said where it is not.

The numbers of every week are made without it: a page costs more than they do, and importing Evidently seconds.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl

from mlops_assets.ml.monitoring.drift import detach_script, report_html, worst_columns
from mlops_assets.ml.monitoring.policy import WeekEvidence, drift_signal
from mlops_assets.spec.model import ModelSpec
from mlops_assets.spec.weeks import week_bounds
from resources.lake.lake import Lake, write_text

SCRIPT = "evidently.js"
PAGES_TAG, WHERE_IT_DRIFTS = "mlops/evidently_pages", "where it drifts"
"""Tag of a run that draws Evidently's page only where the drift signal is on; a run without it draws each."""

PAGE = "evidently report"
NO_PAGE = "not drawn: a replay draws it for its last week and where the drift signal is on; materialize {} {} by hand for it"
"""The note of a week's drift: where the page lies, or how to get it."""


def with_its_page(spec: ModelSpec, lake: Lake, name: str, each: bool, sha256: str) -> bool:
    """Whether a week's drift is there whole, Evidently's page included where it is due."""
    if not lake.holds(f"{spec.name}/drift", name, sha256):
        return False
    notes = lake.manifest(f"{spec.name}/drift", name).notes or {}
    return not page_is_due(spec, name, notes, each) or page_path(spec, lake, name).exists()


def page_is_due(spec: ModelSpec, name: str, numbers: Mapping[str, Any], each: bool) -> bool:
    """Whether a week's page is drawn: of weeks with a champion each, or those whose drift signal of the spec is on."""
    if numbers.get("reference version") is None:
        return False
    evidence = WeekEvidence(
        name,
        week_bounds(spec.weeks, name)[1],
        rows=0,
        prediction_psi=numbers.get("prediction_psi"),
        prediction_psi_chance=numbers.get("prediction_psi_chance"),
        drift_share=numbers.get("drift_share"),
    )
    return each or bool(numbers.get("prediction_drifted")) or drift_signal(evidence, spec)


def write_page(
    spec: ModelSpec, lake: Lake, name: str, columns: pl.DataFrame, numbers: Mapping[str, Any], each: bool
) -> dict[str, str]:
    """Draw a week's page where it is due, take an older one away where it is not, and note which; nothing without champion."""
    if page_is_due(spec, name, numbers, each):
        return {PAGE: str(evidently_report(spec, lake, name, int(numbers["reference version"]), columns))}
    page_path(spec, lake, name).unlink(missing_ok=True)
    return {} if numbers["reference version"] is None else {PAGE: NO_PAGE.format(f"{spec.name}/drift", name)}


def page_path(spec: ModelSpec, lake: Lake, name: str) -> Path:
    """Where a week's page lies, whether or not it was drawn."""
    return lake.path(f"{spec.name}/drift", name).with_suffix(".html")


def evidently_report(spec: ModelSpec, lake: Lake, name: str, version: int, columns: pl.DataFrame) -> Path:
    """Write Evidently's page on the columns that moved most; the script that all pages share lies beside them once."""
    rows = lake.read(f"{spec.name}/training_set", [name])
    reference, worst = lake.read(f"{spec.name}/reference", [f"{version:06d}"]), worst_columns(columns)
    html = report_html(reference, rows, worst, seed=spec.trainer.seed, rows=spec.drift.sample_rows)
    page, script = detach_script(html, SCRIPT)
    target = page_path(spec, lake, name)
    if script and not target.with_name(SCRIPT).exists():
        write_text(target.with_name(SCRIPT), script)
    write_text(target, page)
    return target
