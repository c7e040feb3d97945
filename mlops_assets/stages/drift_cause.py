"""What stands behind a drift alarm: the columns and slices that moved the score, where they come from, and pictures of then and now."""

from typing import Any

import numpy as np
import polars as pl

from mlops_assets.ml.dataset import DatasetError
from mlops_assets.ml.monitoring.attribution import Explained, by_column, by_slice, then_and_now
from mlops_assets.ml.training.explained import ExplainingScorer
from mlops_assets.ml.values import kind_of
from mlops_assets.spec.model import ModelSpec
from resources.lake.lake import Lake, LakeError
from resources.records.documents import load_note
from resources.records.notes import Making
from resources.tracking.tracking import Tracking, TrackingError

CAUSE = "alarm_cause"
"""The note of a partition's drift with an alarm: why the score's change was not attributed; empty where it was."""

PICTURED = 5


def cause_table(spec: ModelSpec) -> str:
    """Where the parts of a change lie in the lake, a line for each column and slice."""
    return f"{spec.name}/alarm_causes"


def write_cause(spec: ModelSpec, lake: Lake, tracking: Tracking, name: str, version: int) -> str:
    """Attribute the change of the mean raw score to columns and slices and write it; returns why where that cannot be done."""
    rows = lake.read(f"{spec.name}/training_set", [name])
    reference = lake.read(f"{spec.name}/reference", [f"{version:06d}"])
    try:
        scorer = ExplainingScorer(
            tracking.load(tracking.version(spec.name, version)), code=spec.code, name=f"version {version}"
        )
    except (TrackingError, DatasetError) as error:
        return f"version {version} cannot be loaded: {error}"
    if scorer.contributions is None:
        return f"version {version} is of a kind of trainer that does not say what each feature added"
    if lacking := [c for c in scorer.features if c not in reference.columns]:
        return f"the reference lacks {', '.join(lacking)}, which drift.columns leaves out"
    now = rows.sample(min(rows.height, spec.drift.sample_rows), seed=spec.trainer.seed)
    before_, now_ = (_explained(scorer, side) for side in (reference, now))
    columns = by_column(before_, now_)
    columns = columns.with_columns(made_of=_origins(spec, lake, name, columns["column"].to_list()))
    slices = by_slice(before_, now_, reference, now, spec.slices)
    parts = pl.concat(
        [
            columns.with_columns(kind=pl.lit("column")),
            slices.rename({"slice": "column"}).with_columns(kind=pl.lit("slice")),
        ],
        how="diagonal",
    )
    lake.write(cause_table(spec), parts, name, notes={"version": version})
    return ""


def cause_of(spec: ModelSpec, lake: Lake, name: str) -> tuple[pl.DataFrame, pl.DataFrame] | None:
    """By column and by slice the parts of a partition's change, the largest first; None where none was written."""
    if not lake.exists(cause_table(spec), name):
        return None
    parts = lake.read(cause_table(spec), [name])
    columns, slices = (parts.filter(pl.col("kind") == kind).drop("kind") for kind in ("column", "slice"))
    return columns.select("column", "change", "share", "made_of"), slices.drop("made_of").rename(
        {"column": "slice"}
    )


def pictures(
    spec: ModelSpec, lake: Lake, name: str, version: int, columns: list[str]
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Counts of then and now over the same bins, of the first columns that are numbers."""
    rows, reference = (
        lake.read(f"{spec.name}/training_set", [name]),
        lake.read(f"{spec.name}/reference", [f"{version:06d}"]),
    )
    shown = [c for c in columns if c in reference.columns and kind_of(rows.schema[c]) == "number"]
    sides = {c: then_and_now(reference[c], rows[c]) for c in shown[:PICTURED]}
    return {c: both for c, both in sides.items() if len(both[0])}


def _explained(scorer: ExplainingScorer, rows: pl.DataFrame) -> Explained:
    assert scorer.contributions is not None
    contributions = scorer.contributions(rows)
    return Explained(scorer.features, contributions.base, contributions.values)


def _origins(spec: ModelSpec, lake: Lake, name: str, features: list[str]) -> pl.Series:
    """Of each feature the newest upstream partition that has a column of its name, its content and code by hash."""
    made_of = lake.manifest(f"{spec.name}/training_set", name).made_of or {}
    newest: dict[str, str] = {}
    for one in sorted(made_of):
        table, _, partition = one.partition("@")
        if partition:
            newest[table] = partition
    columns = {at: origin for at in newest.items() if (origin := _origin(lake, *at))}
    origins = [
        next((text for text, names in columns.values() if feature in names), "the row itself")
        for feature in features
    ]
    return pl.Series("made_of", origins)


def _origin(lake: Lake, table: str, partition: str) -> tuple[str, Any] | None:
    try:
        manifest = lake.manifest(table, partition)
    except LakeError:
        return None
    note = load_note(lake, Making, table, partition)
    code = f", code {note.fingerprint['code'][:12]}" if note and "code" in note.fingerprint else ""
    return f"{table} {partition} (content {manifest.sha256[:12]}{code})", set(manifest.columns)
