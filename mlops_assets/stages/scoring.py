"""Scoring: every row of a partition by the version that was champion at the row's prediction time."""

import numpy as np
import polars as pl

from mlops_assets.ml.training.fit import Scorer
from mlops_assets.spec.columns import ASKED_AT, FROM, ROW, STORED_SCORE, STORED_VERSION
from mlops_assets.spec.model import ModelSpec
from resources.lake.lake import Lake, Manifest
from resources.tracking.tracking import Tracking, Version


def faults(spec: ModelSpec, lake: Lake, name: str) -> dict[str, int]:
    """How many scores of a partition are not numbers, and how many rows were scored twice."""
    scores = lake.read(f"{spec.name}/predictions", [name])
    counts = {
        "not finite": scores.height - int(scores[STORED_SCORE].is_finite().sum()),
        "scored twice": scores.height - scores.select(spec.prediction.key).n_unique(),
    }
    return {fault: count for fault, count in counts.items() if count}


def score_partition(spec: ModelSpec, lake: Lake, tracking: Tracking, name: str) -> Manifest:
    """Score the rows of one partition and write the scores."""
    rows = lake.read(f"{spec.name}/training_set", [name])
    scores = score(spec, rows, tracking.versions(spec.name), tracking)
    notes = {"rows without a champion": rows.height - scores.height}
    return lake.write(f"{spec.name}/predictions", scores, name, spec.prediction.key, notes)


def score(spec: ModelSpec, rows: pl.DataFrame, versions: list[Version], tracking: Tracking) -> pl.DataFrame:
    """Key, prediction time, score and version of every row that had a champion at its prediction time.

    Returns the spec's key columns, its time column, `score` (Float64) and `model_version` (Int64), in the rows' order.
    """
    time = spec.prediction.time
    moments = pl.DataFrame(
        sorted((moment, version.number) for version in versions for moment in version.promotions),
        schema={FROM: pl.Datetime("us", "UTC"), STORED_VERSION: pl.Int64},
        orient="row",
    )
    questions = rows.select(pl.col(time).alias(ASKED_AT)).with_row_index(ROW).sort(ASKED_AT)
    served = questions.join_asof(moments, left_on=ASKED_AT, right_on=FROM, strategy="backward").sort(ROW)
    numbers, scores = served[STORED_VERSION], np.full(rows.height, np.nan)
    for number in numbers.drop_nulls().unique():
        which = (numbers == number).arg_true()
        version, name = next(v for v in versions if v.number == number), f"version {number} of {spec.name}"
        scorer = Scorer(tracking.load(version), code=spec.code, kind=version.trainer, name=name)
        scores[which.to_numpy()] = scorer.predict(rows[which])
    named = rows.select(*dict.fromkeys([*spec.prediction.key, time]))
    scored = named.with_columns(pl.Series(STORED_SCORE, scores, dtype=pl.Float64), numbers)
    return scored.filter(numbers.is_not_null())
