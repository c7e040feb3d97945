"""Evidently's page on a partition's drift: when it is drawn, where it lies, and what is said where it is not.

The numbers of every partition are made without it: a page costs more than they do, and importing Evidently seconds.
"""

from collections.abc import Mapping
from typing import Any

import polars as pl

from mlops_assets.ml.monitoring.drift import detach_script, report_html, worst_columns
from mlops_assets.ml.monitoring.page_sample import agreeing_sample, with_exact_scores
from mlops_assets.ml.monitoring.policy import PartitionEvidence, drift_signal
from mlops_assets.spec.model import ModelSpec
from resources.lake.lake import Lake

SCRIPT = "evidently.js"
PAGES_TAG = "mlops/evidently_pages"
EACH, WHERE_IT_DRIFTS, NONE = "each", "where it drifts", "none"
"""What the tag of a run says: Evidently's page is drawn for each partition, as without it, where the drift signal is on, or for none."""

PAGE = "evidently report"
NOT_DRAWN = "not drawn: "
NO_PAGE = NOT_DRAWN + (
    "a replay draws it for its last partition and, where partitions do not share runs, where the drift signal is on; "
    "materialize {} {} by hand for it"
)
"""The note of a partition's drift: where the page lies, or how to get it."""


def with_its_page(spec: ModelSpec, lake: Lake, name: str, which: str, sha256: str) -> bool:
    """Whether a partition's drift is there whole, Evidently's page included where it is due."""
    if not lake.holds(f"{spec.name}/drift", name, sha256):
        return False
    notes = lake.manifest(f"{spec.name}/drift", name).notes or {}
    return not page_is_due(spec, name, notes, which) or lake.folder(f"{spec.name}/drift").exists(
        page_name(name)
    )


def page_is_due(spec: ModelSpec, name: str, numbers: Mapping[str, Any], which: str) -> bool:
    """Whether a partition's page is drawn: of partitions with a champion each, those whose drift signal of the spec is on, or none."""
    if which == NONE or numbers.get("reference version") is None:
        return False
    evidence = PartitionEvidence(
        name,
        spec.calendar.partition(name).end,
        rows=0,
        prediction_psi=numbers.get("prediction_psi"),
        prediction_psi_chance=numbers.get("prediction_psi_chance"),
        drift_share=numbers.get("drift_share"),
    )
    return which == EACH or bool(numbers.get("prediction_drifted")) or drift_signal(evidence, spec)


def write_page(
    spec: ModelSpec, lake: Lake, name: str, columns: pl.DataFrame, numbers: Mapping[str, Any], which: str
) -> dict[str, str]:
    """Draw a partition's page where it is due, take an older one away where it is not, and note which; nothing without champion."""
    if page_is_due(spec, name, numbers, which):
        return {PAGE: evidently_report(spec, lake, name, int(numbers["reference version"]), columns)}
    lake.folder(f"{spec.name}/drift").delete(page_name(name))
    return {} if numbers["reference version"] is None else {PAGE: NO_PAGE.format(f"{spec.name}/drift", name)}


def has_page(notes: Mapping[str, Any]) -> bool:
    """Whether the notes of a partition's drift say where its page lies."""
    return PAGE in notes and not str(notes[PAGE]).startswith(NOT_DRAWN)


def page_name(partition: str) -> str:
    """The file of a partition's page, beside the partition's numbers."""
    return f"{partition}.html"


def evidently_report(spec: ModelSpec, lake: Lake, name: str, version: int, columns: pl.DataFrame) -> str:
    """Write Evidently's page on the columns that moved most, and say where; the script that all pages share lies beside them once."""
    rows = lake.read(f"{spec.name}/training_set", [name])
    reference, worst = lake.read(f"{spec.name}/reference", [f"{version:06d}"]), worst_columns(columns)
    most, named = spec.drift.sample_rows, spec.trainer.categories
    exact = columns.filter(pl.col("column").is_in(worst))
    sample, differing = agreeing_sample(reference, rows.select(worst), exact, named, spec.trainer.seed, most)
    html = report_html(reference, sample, worst, seed=spec.trainer.seed, rows=most)
    page, script = detach_script(html, SCRIPT)
    page = with_exact_scores(page, exact, rows.height, sample.height, differing)
    folder = lake.folder(f"{spec.name}/drift")
    if script and not folder.exists(SCRIPT):
        folder.write(SCRIPT, script.encode())
    folder.write(page_name(name), page.encode())
    return folder.at(page_name(name))
