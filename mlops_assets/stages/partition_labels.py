"""The labels of a joined partition: what its manifest notes of them, and how they alone are joined again."""

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from mlops_assets.ml.dataset import label_counts
from mlops_assets.ml.provenance.digest import Fingerprint
from mlops_assets.spec.calendar import Partition
from mlops_assets.spec.model import ModelSpec
from mlops_assets.stages.content import content_sha256
from mlops_assets.stages.outcomes import (
    OUTCOMES,
    LabelTable,
    Parts,
    made_of_outcomes,
    outcome_parts,
    with_outcomes,
)
from resources.lake.briefs import Brief
from resources.lake.lake import Lake, Manifest
from resources.lake.names import WHOLE
from resources.lake.observed import partition_name
from resources.records.documents import load_note
from resources.records.notes import Making

LEARNT = "learnt from"
"""The note of a partition that has the hash of what a fit reads of it, without columns that only a judge splits by."""


WITHOUT_LABELS, CORRECTED = "without labels", "labels corrected"
"""Notes of a partition: the hash of all but labels that have a table of their own, and how many labels were others before."""

OLD = "_old"


def relabels(spec: ModelSpec, lake: Lake, name: str, decides: Fingerprint) -> bool:
    """Whether nothing but labels changed since a partition was joined, so that its labels alone are joined again."""
    table = f"{spec.name}/training_set"
    before = load_note(lake, Making, table, name) if spec.label.table else None
    if before is None or not lake.holds(table, name, before.sha256):
        return False
    then = before.fingerprint
    same = all(then.get(part) == decides.get(part) for part in {*decides, *then} - {OUTCOMES})
    return same and OUTCOMES in (lake.manifest(table, name).notes or {})


def relabel_partition(
    spec: ModelSpec, lake: Lake, name: str, table_of_labels: LabelTable | None = None
) -> Manifest:
    """Join the labels of a partition again; its features stay as they are, so that the bytes are those of a whole join."""
    own = table_of_labels or LabelTable(spec, lake)
    table = f"{spec.name}/training_set"
    before = lake.manifest(table, name)
    parts = outcome_parts(spec, lake).get(name, {})
    rows = lake.read(table, [name])
    apart = rows.drop(spec.label.facts)
    labelled = with_outcomes(spec, lake, parts, apart, own).select(rows.columns)
    labels = partition_name(str(spec.label.table), WHOLE).removesuffix(WHOLE)
    made_of = {name: sha256 for name, sha256 in (before.made_of or {}).items() if not name.startswith(labels)}
    features, known = (before.notes or {})["features"], spec.calendar.partition(name)
    about_features = {
        key: (before.notes or {})[key] for key in ("feature service", "feature definitions", "features")
    }
    notes = about_features | label_notes(spec, lake, known, labelled, features, parts)
    return stored(spec, lake, name, labelled, notes, {**made_of, **made_of_outcomes(spec, own, parts)})


def label_notes(
    spec: ModelSpec, lake: Lake, span: Partition, rows: pl.DataFrame, features: Sequence[str], parts: Parts
) -> dict[str, Any]:
    """What a joined partition notes of its labels: hashes with and without them, their counts at its end, and which were corrected."""
    facts = [*spec.prediction.key, spec.prediction.time, *spec.label.facts]
    read = dict.fromkeys([*facts, *spec.row_columns, *features])
    notes = {LEARNT: content_sha256(rows.select(*read)), **label_counts(rows, spec, span.end)}
    if spec.label.table is None:
        corrected = _corrected(spec, lake, span.name, rows)
        return notes | ({CORRECTED: corrected} if corrected else {})
    apart = [name for name in rows.columns if name not in spec.label.facts]
    return notes | {OUTCOMES: dict(parts), WITHOUT_LABELS: content_sha256(rows.select(sorted(apart)))}


def _corrected(spec: ModelSpec, lake: Lake, name: str, rows: pl.DataFrame) -> int:
    """How many labels of a partition are others than those that it was joined with before, and how many were so already."""
    table, label = f"{spec.name}/training_set", spec.label.column
    if not lake.exists(table, name):
        return 0
    before = lake.manifest(table, name)
    if not {*spec.prediction.key, label} <= before.columns.keys():
        return 0
    old = lake.read(table, [name], [*spec.prediction.key, label]).rename({label: OLD})
    both = rows.select(*spec.prediction.key, label).join(old, on=spec.prediction.key)
    changed = (
        both.filter(pl.col(label) != pl.col(OLD)).height if both.schema[label] == both.schema[OLD] else 0
    )
    return changed + (before.notes or {}).get(CORRECTED, 0)


def stored(
    spec: ModelSpec,
    lake: Lake,
    name: str,
    rows: pl.DataFrame,
    notes: dict[str, Any],
    made_of: Mapping[str, str],
) -> Manifest:
    """Write a joined partition; what it is made of has the label partitions with a say in it."""
    return lake.write(f"{spec.name}/training_set", rows, name, spec.prediction.key, notes, made_of, keep=True)


def rows_sha256(manifest: Manifest | Brief) -> str:
    """The hash of a joined partition by all but its labels, where they are joined to it: scores and drift do not follow from them."""
    return (manifest.notes or {}).get(WITHOUT_LABELS, manifest.sha256)
