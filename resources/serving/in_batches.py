"""Rows of a table scored as requests to the endpoint would be: the same validation, features, model and refusals, without HTTP."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Protocol

import numpy as np
import polars as pl
import pydantic
from fastapi.exceptions import RequestValidationError

from resources.features.vectors import UTC_TIME, OnlineVectors
from resources.serving.fast.compiled import by_frames
from resources.serving.http.bodies import validated
from resources.serving.http.refusals import problems_in_words
from resources.serving.live_models import Served

SCORE, REFUSED, MISSING = "score", "refused", "missing"
SCHEMA = {SCORE: pl.Float64(), REFUSED: pl.String(), MISSING: pl.UInt32()}
MOMENT = "_asked"


class History(Protocol):
    """The part of a feature store that knows the past; `resources.features.store` is the real one."""

    def historical(self, service: str, rows: pl.DataFrame, time_column: str) -> pl.DataFrame: ...


class FeaturesThen:
    """The features of a moment that the online store has left behind, joined from the offline store.

    What is stored of each view is what the endpoint would have read then; `docs/skew.md` is the proof.
    """

    def __init__(self, store: Any) -> None:
        self._store: History = store

    def online_vectors(self, service: str, rows: pl.DataFrame, as_of: datetime) -> OnlineVectors:
        questions = rows.with_columns(pl.lit(as_of.astimezone(UTC), UTC_TIME).alias(MOMENT))
        features = self._store.historical(service, questions, MOMENT).drop(MOMENT)
        return OnlineVectors(features, pl.DataFrame(), pl.DataFrame())

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


def then(model: Served) -> Served:
    """The model with the features of the past in the place of those of now."""
    return replace(model, features=FeaturesThen(model.features), fast=None)  # type: ignore[arg-type]


def scored(model: Served, rows: pl.DataFrame, as_of: datetime) -> pl.DataFrame:
    """By row, in order: `score` (Float64), `refused` (String) and `missing` (UInt32).

    Of the columns those are read that have the name of a field of the model's request; NaN is a missing value. A row that the
    endpoint would not answer has no score and the reason in `refused`; `missing` counts its features without a value.
    """
    requests = list(_requests(model.request, rows))
    good = [request for request in requests if isinstance(request, pydantic.BaseModel)]
    reasons = [None if isinstance(request, pydantic.BaseModel) else request for request in requests]
    refusals = pl.DataFrame({REFUSED: reasons}, {REFUSED: pl.String}).with_row_index("_row")
    answers = _answers(model, good, as_of).with_columns(
        _row=pl.Series([n for n, reason in enumerate(reasons) if reason is None], dtype=pl.UInt32)
    )
    both = refusals.join(answers, on="_row", how="left", maintain_order="left")
    return both.select(SCORE, pl.coalesce(REFUSED, "_why").alias(REFUSED), MISSING)


def _answers(model: Served, requests: list[pydantic.BaseModel], as_of: datetime) -> pl.DataFrame:
    if not requests:
        return pl.DataFrame(schema={SCORE: pl.Float64, "_why": pl.String, MISSING: pl.UInt32})
    answered = by_frames(model, requests, as_of)
    finite = np.isfinite(answered.scores)
    why = [
        None if fine else f"the model gives {score}, which is no finite number"
        for fine, score in zip(finite, answered.scores, strict=True)
    ]
    features = answered.vectors.frame.select(*model.service.features, *model.record.columns)
    numbers = pl.DataFrame({SCORE: answered.scores, "_why": pl.Series(why, dtype=pl.String)})
    return numbers.with_columns(
        pl.when(pl.Series(finite)).then(pl.col(SCORE)).alias(SCORE),
        features.select(pl.sum_horizontal(pl.all().is_null()).cast(pl.UInt32)).to_series().alias(MISSING),
    )


def _requests(request: type[pydantic.BaseModel], rows: pl.DataFrame) -> Iterator[pydantic.BaseModel | str]:
    """Each row as a request; where it is none, why, as the endpoint's 422 says it."""
    names = [name for name in request.model_fields if name in rows.columns]
    items = rows.select(names).with_columns(pl.selectors.float().fill_nan(None)).to_dicts()
    if not names:
        items = [{}] * rows.height
    try:
        yield from validated(request, items, batch=True)
    except RequestValidationError:
        yield from (_one(request, item) for item in items)


def _one(request: type[pydantic.BaseModel], item: Mapping[str, Any]) -> pydantic.BaseModel | str:
    try:
        return validated(request, [item], batch=False)[0]
    except RequestValidationError as error:
        return problems_in_words(error.errors())
