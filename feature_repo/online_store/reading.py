"""`get_online_features` of a store that hands out bytes: one fetch for all views, then columns, never a message.

A store that mixes this in says how bytes are fetched; planning, keys, lives, on-demand features and the answer are
the same for all of them.
"""

import time
from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

from feast import metrics
from feast.infra.online_stores.online_store import OnlineStore
from feast.online_response import OnlineResponse
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value
from feast.repo_config import RepoConfig

from .answer import PRESENT, now_micros, seen_of, sight
from .batch import serialised_key
from .codec.moment import asked_moment, moment_of
from .few_rows import Stored, fetched
from .on_demand import computed
from .plan import KeyGroup, Plan, StoredCells, ViewRead
from .planning import Plans, alone
from .request import Questions, Request, asked_of, distinct
from .response import BulkOnlineResponse


class BulkReads(OnlineStore):
    """Reading for stores of serialised values."""

    def __init__(self) -> None:
        self._plans = Plans()

    @abstractmethod
    def fetch(
        self, config: RepoConfig, questions: Sequence[tuple[KeyGroup, list[bytes]]]
    ) -> list[list[StoredCells]]:
        """For each group of views, the stored bytes of its keys, view by view."""

    async def fetch_async(
        self, config: RepoConfig, questions: Sequence[tuple[KeyGroup, list[bytes]]]
    ) -> list[list[StoredCells]]:
        """`fetch`, for a caller that runs an event loop."""
        return self.fetch(config, questions)

    def get_online_features(
        self,
        config: RepoConfig,
        features: Any,
        entity_rows: Any,
        registry: Any,
        project: str,
        full_feature_names: bool = False,
        include_feature_view_version_metadata: bool = False,
    ) -> OnlineResponse:
        """Feast's answer, by columns; values that the view's time to live has ended are null and OUTSIDE_MAX_AGE."""
        if getattr(features, "precompute_online", False):
            return super().get_online_features(
                config,
                features,
                entity_rows,
                registry,
                project,
                full_feature_names,
                include_feature_view_version_metadata,
            )
        plan = self._plans.of(registry, project, features, full_feature_names)
        rows, questions, places = self._questions(plan, entity_rows)
        started = time.monotonic()
        cells = self.fetch(config, questions)
        _track(started)
        return _answer(plan, rows, cells, places, full_feature_names, include_feature_view_version_metadata)

    async def get_online_features_async(
        self,
        config: RepoConfig,
        features: Any,
        entity_rows: Any,
        registry: Any,
        project: str,
        full_feature_names: bool = False,
        include_feature_view_version_metadata: bool = False,
    ) -> OnlineResponse:
        """The same answer without blocking the event loop on the store."""
        if getattr(features, "precompute_online", False):
            return await super().get_online_features_async(
                config,
                features,
                entity_rows,
                registry,
                project,
                full_feature_names,
                include_feature_view_version_metadata,
            )
        plan = self._plans.of(registry, project, features, full_feature_names)
        rows, questions, places = self._questions(plan, entity_rows)
        started = time.monotonic()
        cells = await self.fetch_async(config, questions)
        _track(started)
        return _answer(plan, rows, cells, places, full_feature_names, include_feature_view_version_metadata)

    def plan_of(self, registry: Any, project: str, features: Any) -> Plan:
        """What a request for these features reads, for whoever keeps it as long as the registry is what it was."""
        return self._plans.of(registry, project, features, False)

    def stored(self, config: RepoConfig, plan: Plan, columns: Any) -> BulkOnlineResponse:
        """The answer without what is computed on demand."""
        rows, questions, places = self._questions(plan, columns)
        return _seen(plan, rows, self.fetch(config, questions), places)

    def one_row(self, config: RepoConfig, plan: Plan, row_keys: Sequence[bytes | None]) -> list[Stored]:
        """What is stored for one row, whose key for each group of views is given; view by view."""
        return fetched(lambda questions: self.fetch(config, questions), plan, row_keys)

    def moments_of(
        self, registry: Any, project: str, features: Any, full_feature_names: bool
    ) -> frozenset[str]:
        """Columns of the entity rows of such a request that are declared to be moments."""
        return self._plans.of(registry, project, features, full_feature_names).moments

    def _questions(self, plan: Plan, entity_rows: Any) -> Questions:
        if "versions" not in plan.memo:
            self._check_versioned_read_support([(read.view, read.features) for read in plan.reads])
            plan.memo["versions"] = True
        return asked_of(plan, entity_rows)

    def online_read(
        self,
        config: RepoConfig,
        table: Any,
        entity_keys: list[EntityKey],
        requested_features: list[str] | None = None,
    ) -> list[tuple[Any, dict[str, Value] | None]]:
        """Feast's answer for one view: event time and values of each key that is stored and valid, else (None, None)."""
        group = alone(table, requested_features)
        keys = [serialised_key(config, key) for key in entity_keys]
        unique, places = distinct(list(keys))
        return _rows(group.views[0], self.fetch(config, [(group, unique)])[0][0], places)

    async def online_read_async(
        self,
        config: RepoConfig,
        table: Any,
        entity_keys: list[EntityKey],
        requested_features: list[str] | None = None,
    ) -> list[tuple[Any, dict[str, Value] | None]]:
        """`online_read` without blocking the event loop on the store."""
        group = alone(table, requested_features)
        keys = [serialised_key(config, key) for key in entity_keys]
        unique, places = distinct(list(keys))
        return _rows(group.views[0], (await self.fetch_async(config, [(group, unique)]))[0][0], places)


def _track(started: float) -> None:
    if metrics._config.online_features:
        metrics.track_online_store_read(time.monotonic() - started)


def _rows(
    read: ViewRead, cells_of: StoredCells, places: list[int] | None
) -> list[tuple[Any, dict[str, Value] | None]]:
    seen = sight(cells_of.times, None, read.lives, asked_moment(), now_micros())
    answers: list[tuple[Any, dict[str, Value] | None]] = []
    for moment, status, cells in zip(
        seen.times, seen.statuses, zip(*cells_of.cells, strict=True), strict=True
    ):
        if status != PRESENT or moment is None:
            answers.append((None, None))
            continue
        known = {n: Value.FromString(c) for n, c in zip(read.features, cells, strict=True) if c is not None}
        answers.append((moment_of(moment), known))
    return answers if places is None else [answers[place] for place in places]


def _answer(
    plan: Plan,
    rows: Request,
    views_by_group: list[list[StoredCells]],
    places: list[list[int] | None],
    full_names: bool,
    with_versions: bool,
) -> BulkOnlineResponse:
    answer = _seen(plan, rows, views_by_group, places, _versions(plan) if with_versions else ())
    if plan.on_demand:
        answer.computed = computed(plan, answer.values, full_names)
    return answer


def _seen(
    plan: Plan,
    rows: Request,
    views_by_group: list[list[StoredCells]],
    places: list[list[int] | None],
    versions: Sequence[tuple[str, int]] = (),
) -> BulkOnlineResponse:
    return BulkOnlineResponse(plan, rows.columns, seen_of(plan, views_by_group, places), versions)


def _versions(plan: Plan) -> list[tuple[str, int]]:
    return list(
        {read.title: getattr(read.view, "current_version_number", 0) or 0 for read in plan.reads}.items()
    )
