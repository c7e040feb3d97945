"""What a model's numbers and features are in an answer: finite, or refused; JSON knows no NaN."""

import math
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
import polars as pl

from resources.records.deployment import Deployment

ANSWERS = {"classification": "probability", "regression": "value"}
"""What the score of a task is called."""


class ScoreError(Exception):
    """A model answered with something that is no finite number."""


def finite(scores: np.ndarray) -> np.ndarray:
    """The scores [requests]; raises ScoreError where one is NaN or infinite: JSON would say null, and null is no answer."""
    if len(scores) == 1 and math.isfinite(scores[0]):
        return scores
    wrong = np.flatnonzero(~np.isfinite(scores))
    if len(wrong):
        raise ScoreError(
            f"the model gives no finite number for {len(wrong)} of {len(scores)} requests, the first is request "
            f"{wrong[0]} ({scores[wrong[0]]}): roll back to a version that answers it, and mend the model"
        )
    return scores


def plain(
    record: Deployment, scores: np.ndarray, now: datetime, request_ids: Sequence[str]
) -> list[dict[str, Any]]:
    """An answer a score, as of `now`."""
    as_of, score_name = now.astimezone(UTC).isoformat(), ANSWERS[record.task]
    return [
        {
            "model": record.name,
            "version": record.version,
            score_name: float(score),
            "as_of": as_of,
            "request_id": name,
        }
        for score, name in zip(scores, request_ids, strict=True)
    ]


def with_vectors(answers: list[dict[str, Any]], features: pl.DataFrame) -> list[dict[str, Any]]:
    """The answers with the features they were made from; what JSON cannot say is null."""
    numbers = pl.selectors.float()
    vectors = features.with_columns(pl.when(numbers.is_finite()).then(numbers)).to_dicts()
    return [{**answer, "features": vector} for answer, vector in zip(answers, vectors, strict=True)]
