"""The feature store of a use case as an endpoint needs it: read by what was written down when its definitions were applied.

What is missing there, or stale, is written by another process; what only Feast can read is read by it, in this process.
"""

import logging
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import polars as pl

from feature_repo.online_store.codec import moment
from feature_repo.online_store.reads import Reads
from feature_repo.online_store.request import Given
from resources.addresses import revealed
from resources.features.compiled import CompiledService, Parts
from resources.features.errors import FeatureStoreError
from resources.features.planned_file import PlannedFile
from resources.features.planned_service import PlannedService, PlannedStore
from resources.features.push_sources import PushSource, push_source
from resources.features.repository import Repository
from resources.features.service import DescribedService, described
from resources.features.store import FeatureStoreResource
from resources.features.types import request_types
from resources.features.vectors import Answered, OnlineVectors, nothing
from resources.storage.addresses import storage_at

LOG = logging.getLogger(__name__)
LOOK_EVERY_S = 1.0
WRITES_FOR_S = 120


class PlannedFeatures:
    """One use case's features; `resource` is the store that has Feast."""

    def __init__(self, resource: FeatureStoreResource) -> None:
        self.resource = resource
        self.use_case = resource.use_case
        self._file = PlannedFile(Path(resource.home), resource.repository)
        self._known: PlannedStore | None = None
        self._mark: Any = None
        self._looked = -LOOK_EVERY_S
        self._warned: set[str] = set()

    def describe(self, service: str) -> DescribedService:
        """The service in words that outlive its code."""
        planned = self._planned(service)
        return described(planned.described) if planned else self.resource.describe(service)

    def request_fields(self, service: str) -> dict[str, Any]:
        """Python type of every input column, for an endpoint that is given no request model."""
        planned = self._planned(service)
        if planned is None:
            return self.resource.request_fields(service)
        return request_types([(name, kind) for _, name, kind in planned.asked], planned.keys, service)

    def online_vectors(self, service: str, rows: pl.DataFrame, as_of: datetime) -> OnlineVectors:
        """The rows with the features of the service, each value's event time and status beside it."""
        if self._planned(service) is None:
            return self.resource.online_vectors(service, rows, as_of)
        source = self._source(service)
        parts = source.parts()
        needs = parts.needs
        missing = [name for name in needs.columns if name not in rows.columns]
        if missing:
            raise FeatureStoreError(
                f"the rows lack {', '.join(missing)}, by which {service!r} is joined or computed: the function that "
                f"the spec's prediction.rows names must add them; the rows have {', '.join(rows.columns)}"
            )
        if rows.is_empty():
            empty = rows.with_columns(pl.lit(None, dtype).alias(name) for name, dtype in needs.types.items())
            return nothing(empty, list(needs.types))
        with moment.as_of(as_of):
            answer = source.stored(parts.plan, {name: rows[name].to_list() for name in needs.columns})
        _compute(answer, parts, rows.height)
        return Answered(rows, answer, needs.types, needs.inputs)

    def compiled(self, service: str, schema: Mapping[str, Any]) -> CompiledService:
        """The same for columns of Python values, worked out beforehand; `schema` has the types of what the rows bring."""
        if self._planned(service) is None:
            return self.resource.compiled(service, schema)
        return CompiledService(self._source(service), schema)

    def feature_types(self, service: str) -> dict[str, Any]:
        """The polars type of each feature of the service, in its order."""
        if self._planned(service) is None:
            return self.resource.feature_types(service)
        return dict(self._source(service).parts().needs.types)

    def push_sources(self) -> dict[str, PushSource]:
        """Every push source that the repository defines, by name; none before its definitions were applied."""
        known = self.known()
        if known is None:
            return {}
        lake = storage_at(self.resource.lake_root)
        return {one.name: push_source(one.model_dump(), lake, self.use_case) for one in known.sources}

    def known(self) -> PlannedStore | None:
        """What is written down; what is missing or stale is written first, where that can be done."""
        if self._known is None:
            self._known, self._mark = self._file.read() or self._written(), self._file.mark()
        elif time.monotonic() - self._looked > LOOK_EVERY_S:
            self._looked = time.monotonic()
            if self._file.mark() != self._mark:
                self._known, self._mark = self._file.read() or self._known, self._file.mark()
        return self._known

    @cached_property
    def reads(self) -> Reads:
        """The online store, without Feast."""
        known = self._known
        assert known is not None
        if known.online == "redis":
            import redis

            from feature_repo.online_store.redis.reads import RedisReads

            return RedisReads(redis.Redis.from_url(revealed(self.resource.online_store)), known.project)
        from feature_repo.online_store.sqlite.reads import SqliteReads

        return SqliteReads(Path(self.resource.home) / known.database)

    def _planned(self, service: str) -> PlannedService | None:
        """None where only Feast can read it, which is told once."""
        known = self.known()
        entry = known.services.get(service) if known else None
        if entry is not None and not entry.by_feast:
            return entry
        if service not in self._warned:
            self._warned.add(service)
            why = entry.by_feast if entry else f"{self._file.path} does not have it"
            LOG.warning("feature service %s is read by Feast, whose import takes seconds: %s", service, why)
        return None

    def _source(self, service: str) -> "PlannedReads":
        if service not in self._sources:
            self._sources[service] = PlannedReads(self, service)
        return self._sources[service]

    @cached_property
    def _sources(self) -> dict[str, "PlannedReads"]:
        return {}

    def _written(self) -> PlannedStore | None:
        """What another process, which may import Feast, writes down now; None where it cannot."""
        if not self._file.registry() or "" in self._warned:
            return None
        self._warned.add("")
        LOG.warning("%s is missing or of other definitions: it is written anew", self._file.path)
        command = [sys.executable, "-W", "ignore", "-m", "resources.features.planning_process"]
        try:
            document = self.resource.model_dump_json()
            subprocess.run(
                command, input=document, text=True, timeout=WRITES_FOR_S, check=True, capture_output=True
            )
        except (OSError, subprocess.SubprocessError) as error:
            LOG.warning("it cannot be written (%s), so that Feast is imported here: %s", error, _said(error))
        return self._file.read()


class PlannedReads:
    """One service of a store, as the compiled way asks for it."""

    def __init__(self, features: PlannedFeatures, service: str) -> None:
        self._features, self._service = features, service
        self._of: PlannedStore | None = None
        self._parts: Parts | None = None

    def parts(self) -> Parts:
        """What it is read by, worked out again after that was written anew."""
        known = self._features.known()
        if known is not self._of or self._parts is None:
            planned = known.services.get(self._service) if known else None
            if planned is None or planned.by_feast:
                raise FeatureStoreError(
                    f"the feature service {self._service!r} cannot be read as it was when this process started "
                    f"({planned.by_feast if planned else 'it is not defined any more'}): start the endpoint again"
                )
            self._of = known
            self._parts = planned.parts(Repository.of(self._features.resource.repository).package)
        return self._parts

    def one_row(self, plan: Any, row_keys: Sequence[bytes | None]) -> list[Any]:
        """What is stored for one row, view by view."""
        return self._features.reads.one_row(plan, row_keys)

    def stored(self, plan: Any, columns: Mapping[str, list[Any]]) -> Any:
        """The answer without what is computed on demand."""
        return self._features.reads.stored(plan, columns)

    def computed(self, plan: Any, columns: Mapping[str, list[Any]]) -> dict[str, Any]:
        """Nothing: where Feast's functions are needed, Feast reads the service."""
        raise NotImplementedError

    def differing_form(self) -> str | None:
        """None: the forms were compared with Feast's functions when the service was written down."""
        return None


def _compute(answer: Any, parts: Parts, height: int) -> None:
    """Fill in what is computed on demand."""
    values = answer.values
    for called in parts.called or ():
        columns = called.columns(values, height)
        answer.computed.update(
            {name: Given(columns[name], columns[name], called.kinds[name]) for name in columns}
        )


def _said(error: Exception) -> str:
    lines = str(getattr(error, "stderr", "") or "").strip().splitlines()
    return lines[-1] if lines else ""
