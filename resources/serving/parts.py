"""What live models are made of, as they need it: a scorer, features, and a log."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

import numpy as np
import polars as pl

from resources.features.service import DescribedService
from resources.features.vectors import OnlineVectors
from resources.records.deployment import Deployment
from resources.serving.log import ServedBatch


class Scorer(Protocol):
    """A loaded model: feature rows in, one number a row out; `unseen_categories` and `explanations` say what else one may have."""

    def predict(self, frame: pl.DataFrame) -> np.ndarray: ...


class Features(Protocol):
    """The part of the feature store that an endpoint needs; `resources.features.store` is the real one."""

    def online_vectors(self, service: str, rows: pl.DataFrame, as_of: datetime) -> OnlineVectors: ...

    def describe(self, service: str) -> DescribedService: ...

    def request_fields(self, service: str) -> dict[str, Any]: ...

    def feature_types(self, service: str) -> dict[str, Any]: ...


class Stores(Protocol):
    """Where the features of each use case are; `resources.features.stores` is the real one."""

    def of(self, use_case: str) -> Features: ...


class Log(Protocol):
    """Where served vectors go; `resources.serving.log_writer` is the real one."""

    def append(self, answered: ServedBatch) -> None: ...


@dataclass(frozen=True)
class Answered:
    """Features, scores, and the categories that no training row had, by row."""

    vectors: OnlineVectors
    scores: np.ndarray
    unseen: Mapping[int, Mapping[str, str]]


@dataclass(frozen=True, eq=False, slots=True)
class Copied:
    """What was answered by the version of `record`, as another one may score it too: `answers` has one a request, with its id."""

    record: Deployment
    requests: Sequence[Any]
    vectors: OnlineVectors
    now: datetime
    served_at: datetime
    answers: Sequence[Mapping[str, Any]]
