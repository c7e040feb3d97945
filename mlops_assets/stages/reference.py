"""What a champion was trained on, in short, for later partitions to be compared with."""

from collections.abc import Sequence
from typing import Any

import polars as pl

from mlops_assets.ml.monitoring.drift import reference_profile
from mlops_assets.ml.training.shards import Files
from mlops_assets.spec.model import ModelSpec
from mlops_assets.stages.training_set import TrainingData
from resources.lake.lake import Lake
from resources.records.attempts import Attempt
from resources.records.documents import save_record
from resources.records.references import Profile, Reference
from resources.tracking.tracking import Version

CELLS_AT_ONCE = 50_000_000
"""Of a table that is larger, some columns are read after others: 200 MB of float32 at a time."""


def reference_name(spec: ModelSpec, version: int) -> str:
    """Where the profile that later partitions are compared with lies in the lake."""
    return f"{spec.name}/profiles/{version:06d}"


def keep_reference(
    spec: ModelSpec,
    lake: Lake,
    data: TrainingData,
    rows: Files,
    version: Version,
    attempt: Attempt,
) -> None:
    """Keep what a version was trained on: profiles for the numbers, a sample for Evidently's report."""
    columns = list(spec.drift.columns or data.features)
    features, sample = reference(spec, rows, columns)
    lake.write(f"{spec.name}/reference", sample, f"{version.number:06d}")
    profile = Reference(
        features=Profile.model_validate(features),
        scores=Profile.model_validate(attempt.hold_out_scores),
        metrics=attempt.challenger.metrics,
        columns=columns,
    )
    save_record(lake, reference_name(spec, version.number), profile)


def reference(spec: ModelSpec, rows: Files, columns: Sequence[str]) -> tuple[dict[str, Any], pl.DataFrame]:
    """The profile of all rows and a seeded sample of them; the rows need not fit in memory with all of their columns."""
    profiles, samples = [], []
    step = max(1, CELLS_AT_ONCE // max(1, rows.rows))
    for start in range(0, len(columns), step):
        some = columns[start : start + step]
        part = rows.read(spec, some)
        profiles.append(reference_profile(part, some, spec.trainer.categories))
        samples.append(part.sample(min(spec.drift.sample_rows, part.height), seed=spec.trainer.seed))
    by_column = {name: figures for profile in profiles for name, figures in profile["columns"].items()}
    return {"rows": profiles[0]["rows"], "columns": by_column}, pl.concat(samples, how="horizontal")
