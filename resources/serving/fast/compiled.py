"""A model that answers from columns: rows by a function of one request, features by a compiled service, scores by a matrix.

It answers what frames answer, bit for bit. That is compared when a model is loaded; where something differs, or cannot be done
this way, the model answers by frames, and the log says why.
"""

import logging
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol

import numpy as np
import polars as pl
import pydantic

from resources.features.column_vectors import ColumnVectors, RowVectors
from resources.features.vectors import OnlineVectors
from resources.serving.fast.requests import OneRow, RequestColumns, as_asked, is_plain, schema_of
from resources.serving.http.forms import request_frame
from resources.serving.parts import Answered

LOG = logging.getLogger(__name__)
MOST_ROWS = 256
"""From so many rows on, frames are faster."""

COPIES = 9
"""So many rows are read as columns, and one or two are read one by one."""

COMPARED = 20
"""How often the two ways are compared at most where what they read does not come to rest."""


class FramesError(Exception):
    """Why a model answers by frames."""


class ByColumns(Protocol):
    """What scores columns: numbers [rows], and by row the categories that no training row had."""

    def predict(
        self, columns: Mapping[str, Sequence[Any]], height: int
    ) -> tuple[np.ndarray, dict[int, dict[str, str]]]: ...

    def one(self, row: Mapping[str, Any]) -> tuple[np.ndarray, dict[int, dict[str, str]]]:
        """The same for one row, a value a column."""
        ...


class Service(Protocol):
    """What reads features for columns; `resources.features.compiled` is the real one."""

    def columns(self, given: Mapping[str, Sequence[Any]], height: int, as_of: datetime) -> ColumnVectors: ...

    def row(self, given: Mapping[str, Any], as_of: datetime) -> RowVectors | None: ...


class FastModel:
    """One model, compiled."""

    def __init__(self, requests: RequestColumns, service: Service, scorer: ByColumns) -> None:
        self._requests, self._service, self._scorer = requests, service, scorer
        self._warned: set[str] = set()

    def answered(self, requests: Sequence[pydantic.BaseModel], now: datetime) -> Answered | None:
        """Features and scores of some requests as of a moment; None where only frames can say what is wrong with them."""
        if not 0 < len(requests) <= MOST_ROWS:
            return None
        try:
            return self.scored(requests, now)
        except Exception as error:  # noqa: BLE001 - frames answer it, or raise what is told
            if type(error).__name__ not in self._warned:
                self._warned.add(type(error).__name__)
                LOG.warning("a request is asked again by frames, %s: %s", type(error).__name__, error)
            return None

    def scored(self, requests: Sequence[pydantic.BaseModel], now: datetime) -> Answered:
        """The same; raises whatever is wrong."""
        vectors = self.vectors(requests, now)
        if isinstance(vectors, RowVectors):
            return Answered(vectors, *self._scorer.one(vectors.row))
        return Answered(vectors, *self._scorer.predict(vectors.columns, len(requests)))

    def vectors(self, requests: Sequence[pydantic.BaseModel], now: datetime) -> ColumnVectors:
        """The features alone; raises whatever is wrong."""
        if len(requests) == 1:
            vectors = self._service.row(self._requests.row(requests[0], now), now)
            if vectors is not None:
                return vectors
        return self._service.columns(self._requests.of(requests, now), len(requests), now)


def compiled(model: Any, request: pydantic.BaseModel, now: datetime) -> FastModel | None:
    """A model that was loaded, compiled and compared on an example of a request; None where it answers by frames."""
    try:
        fast = _compiled(model, request, now)
        _refuse_other_answers(model, fast, request, now)
    except FramesError as why:
        LOG.warning("model %s answers by frames: %s", model.record.name, why)
        return None
    except Exception:
        LOG.exception("model %s answers by frames, its compiled way failed", model.record.name)
        return None
    return fast


def _compiled(model: Any, request: pydantic.BaseModel, now: datetime) -> FastModel:
    record = model.record
    scorer = getattr(model.scorer, "by_columns", None)
    compile_service = getattr(model.features, "compiled", None)
    if scorer is None or compile_service is None:
        raise FramesError("its scorer or its features take frames alone")
    one_row = _one_row(model)
    fields = schema_of(request, record.time, now)
    if one_row is as_asked and not is_plain(fields):
        raise FramesError("its requests hold more than numbers, texts and moments")
    requests = RequestColumns(model.request, record.time, one_row)
    schema = _schema(model, requests, request, now)
    service = compile_service(record.feature_service, schema)
    if problem := service.differing_form():
        raise FramesError(problem)
    return FastModel(requests, service, scorer)


def _one_row(model: Any) -> OneRow:
    if model.record.rows is None:
        return as_asked
    one_row = getattr(model.rows, "one_row", None)
    if one_row is None:
        raise FramesError(
            f"{model.record.rows} has no twin for one row: give it one by mlops_assets.spec.called"
        )
    return one_row


def _schema(
    model: Any, requests: RequestColumns, request: pydantic.BaseModel, now: datetime
) -> dict[str, Any]:
    """Types of the columns that the twin gives, as the rows function gives them."""
    frame = _rows(model, [request], now)
    given = requests.of([request], now)
    if unknown := [name for name in given if name not in frame.columns]:
        raise FramesError(f"the twin of {model.record.rows} gives {unknown[0]}, and the function does not")
    return {name: frame.schema[name] for name in given}


def by_frames(model: Any, requests: Sequence[pydantic.BaseModel], now: datetime) -> Answered:
    """Features and scores of some requests as of a moment, by frames of them."""
    vectors = vectors_by_frames(model, requests, now)
    scores = np.asarray(model.scorer.predict(vectors.frame), np.float64)
    look_up = getattr(model.scorer, "unseen", None)
    return Answered(vectors, scores, look_up(vectors.frame) if look_up else {})


def vectors_by_frames(model: Any, requests: Sequence[pydantic.BaseModel], now: datetime) -> OnlineVectors:
    """The features alone, by frames."""
    return model.features.online_vectors(model.record.feature_service, _rows(model, requests, now), now)


def _rows(model: Any, requests: Sequence[pydantic.BaseModel], now: datetime) -> pl.DataFrame:
    return model.rows(request_frame(requests, model.record.time, now))


def _refuse_other_answers(model: Any, fast: FastModel, request: pydantic.BaseModel, now: datetime) -> None:
    for requests in ([request], [request, request], [request] * COPIES):
        if problem := _lasting_difference(model, fast, requests, now):
            raise FramesError(f"of {len(requests)} requests, {problem}")


def _lasting_difference(
    model: Any, fast: FastModel, requests: Sequence[pydantic.BaseModel], now: datetime
) -> str | None:
    """In what the ways differ while frames say the same before and after: features are written meanwhile, too."""
    before, problem = by_frames(model, requests, now), None
    for _ in range(COMPARED):
        problem = difference(before.vectors, before.scores, fast.scored(requests, now))
        if problem is None:
            return None
        after = by_frames(model, requests, now)
        if difference(before.vectors, before.scores, after) is None:
            break
        before = after
    return problem


def difference(vectors: OnlineVectors, scores: np.ndarray, reference: Answered) -> str | None:
    """The first thing in which an answer by columns is another than the one by frames; None where they are the same."""
    frame = reference.vectors.frame
    for name in frame.columns:
        if frame.schema[name] != vectors.frame.schema[name] or not _same(frame[name], vectors.frame[name]):
            return (
                f"{name} is {frame[name].to_list()} by columns and {vectors.frame[name].to_list()} by frames"
            )
    if not vectors.event_times.equals(reference.vectors.event_times):
        return "event times differ"
    if not vectors.statuses.equals(reference.vectors.statuses):
        return "statuses differ"
    if scores.tobytes() != np.asarray(reference.scores, np.float64).tobytes():
        return f"the scores are {reference.scores.tolist()} by columns and {scores.tolist()} by frames"
    return None


def _same(one: pl.Series, other: pl.Series) -> bool:
    return one.equals(other, null_equal=True, check_dtypes=True)
