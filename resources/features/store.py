"""The feature store, reached through Feast: definitions, point-in-time joins, and features for serving.

Added are checks (rows out equal rows in), stable types, sources rooted in the lake, and a time for online reads.
"""

import contextlib
import io
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from threading import RLock
from typing import TYPE_CHECKING, Any, Literal, Self

import polars as pl

from resources.features import feature_repository
from resources.features.applied import Applied, by_kind, stale
from resources.features.compiled import CompiledService
from resources.features.configuration import configuration
from resources.features.feast_service import FeastService
from resources.features.feature_repository import FeatureStoreError
from resources.features.inputs import ServiceInputs, inputs_by_feast, service_names
from resources.features.plan_writing import write_plans
from resources.features.push_sources import PushSource, push, push_sources
from resources.features.registered_services import registered, registered_view, unregistered_view
from resources.features.registry_lock import opening, registry_lock
from resources.features.repository import Given, Repository
from resources.features.repository_folder import write_folder
from resources.features.service import DescribedService, describe
from resources.features.types import request_types, stable
from resources.features.vectors import Answered, Brought, OnlineVectors, nothing
from resources.features.view_source import ViewSource, source_of
from resources.resource import Resource
from resources.storage.addresses import storage_at

if TYPE_CHECKING:
    from feast import FeatureStore

__all__ = ["FeatureStoreError", "FeatureStoreResource", "OnlineVectors"]

ROW = "__row"
TIME = "event_timestamp"

_LOCK = RLock()
"""Feast's registry, shared by the whole process, serves one caller at a time."""


class FeatureStoreResource(Resource):
    """Feast over the feature tables of one use case, with its registry and online store under `home`.

    `repository` says where the definitions are.
    `online_store` names a Redis (`redis://host:port/db`) to hold the online features instead of SQLite.
    `offline_engine` is `local`, or `ray` to join historical features on a Ray cluster.
    `registry` names a PostgreSQL to hold the registry; then `shared` is the storage in which all machines find what was applied.
    """

    lake_root: str
    home: str
    repository: Given
    online_store: str = ""
    offline_engine: str = "local"
    registry: str = ""
    shared: str = ""

    @property
    def use_case(self) -> str:
        """The use case it is of, which is the name of its Feast project; "" where its package alone says that."""
        return Repository.of(self.repository).project

    def of(self, use_case: str) -> Self:
        """This store, which is of one use case already."""
        return self

    def apply(self) -> dict[str, list[str]]:
        """Register every definition of the repository and remove what is no longer defined.

        Returns the names of the registered objects by kind. What was applied as it is now is not applied again.
        """
        objects = self._objects()
        digest = feature_repository.objects_hash(objects)
        with registry_lock(self.lake_root):
            if not self.holds(digest):
                store = self._store()
                self._applied.begin()
                with _LOCK, _quiet():
                    store.apply(objects, objects_to_delete=stale(store, objects), partial=False)
                self._applied.write(digest)
            elif not self._applied.complete:
                self._applied.write(digest)
            write_plans(self, digest)
            write_folder(Path(self.home) / "repo", self.repository, *self._places)
        return by_kind(objects)

    def services(self) -> list[str]:
        """Names of the feature services that the repository defines."""
        return service_names(self.repository)

    def inputs(self, service: str) -> ServiceInputs:
        """Names and types of what a service reads and gives, as Feast has them."""
        return inputs_by_feast(service, self.repository)

    def definitions_hash(self) -> str:
        """A hash of every definition of the repository, as it would be registered now."""
        return feature_repository.objects_hash(self._objects())

    def holds(self, digest: str) -> bool:
        """Whether the registry is there, and was last applied from definitions with this hash."""
        return self._applied.holds(digest)

    def definition_version(self, service: str) -> str:
        """A hash of all that decides a service's values: views, types, keys, lives, and on-demand code."""
        return feature_repository.content_hash(self._service(service), self.repository)

    def describe(self, service: str) -> DescribedService:
        """The service in words that outlive its code: views, keys, lives and a hash of each view's definition."""
        return describe(service, self.repository, tuple(self.input_columns(service)))

    def feature_columns(self, service: str) -> list[str]:
        """Names of the service's features, in its order."""
        return list(self.feature_types(service))

    def views(self, service: str) -> list[str]:
        """Names of the feature views that the service reads, those behind on-demand features too."""
        return [view.name for view in feature_repository.views_of(self._service(service), self.repository)]

    def view_tables(self, service: str) -> list[ViewSource]:
        """Where the values of each view of a service come from, for whoever wants to check a join."""
        return [
            source_of(view) for view in feature_repository.views_of(self._service(service), self.repository)
        ]

    def request_fields(self, service: str) -> dict[str, Any]:
        """Python type of every input column, for an endpoint that is given no request model."""
        inputs = self.inputs(service)
        return request_types([(one.name, one.kind) for one in inputs.request_fields], inputs.keys, service)

    def input_columns(self, service: str) -> list[str]:
        """Join keys and request columns that rows must have."""
        return list(feature_repository.needs(self.repository, service).columns)

    def historical(self, service: str, rows: pl.DataFrame, time_column: str) -> pl.DataFrame:
        """The rows with each feature's newest value known at `time_column` (UTC) and not expired by then.

        Rows keep their number, order and columns; they must have the service's `input_columns`. Floats come back
        as float32, integers as int64, unknown values as null. Raises if a row is lost or doubled on the way.
        """
        columns = self._checked_inputs(service, rows, time_column)
        if rows.is_empty():
            return self._with_features(service, rows, None)
        self._require_tables(service)
        definition = self.feast_request(service)
        entities = rows.select(
            *(c for c in columns if c != TIME), pl.col(time_column).alias(TIME)
        ).with_row_index(ROW)
        with _LOCK, _quiet():  # The store takes polars; Feast's own signature knows pandas only.
            job = self._store().get_historical_features(entities, definition)  # type: ignore[arg-type]
        answer = pl.DataFrame(pl.from_arrow(job.to_arrow().select([ROW, *self.feature_types(service)])))
        if not answer[ROW].equals(entities[ROW]):
            raise FeatureStoreError(
                f"{rows.height} rows went into the join of {service!r} and {answer.height} came out, "
                f"{answer[ROW].n_unique()} of them different: the offline store lost or doubled rows"
            )
        return self._with_features(service, rows, answer)

    def materialize(
        self,
        views: Sequence[str],
        start: datetime,
        end: datetime,
        progress: Callable[[Brought], Any] | None = None,
    ) -> list[Brought]:
        """Bring the online store up to `end`: for each key its newest value known and not expired by then.

        Read is the history from `start`, and what is before as far as it is not online yet. Values that the history
        from `start` no longer has are taken away; values later than `end` that are there already stay. `progress` is
        told of each view as it is done.
        """
        self._follow_the_lake()
        store = self._store()
        self._applied.refuse_outdated("feature view", views)
        done = []
        with _LOCK, _quiet():
            for name in views:
                # Not store.materialize: that also appends an interval to the registry, for ever longer.
                engine: Any = store.provider.batch_engine  # type: ignore[attr-defined]
                view = registered_view(store, name)
                outcome = engine.bring_up(store.registry, store.project, view, start, end)
                done.append(Brought(name, outcome.rows, outcome.removed, outcome.newest))
                if progress:
                    progress(done[-1])
        return done

    def online_until(self, views: Sequence[str]) -> datetime | None:
        """Up to when all of these views are online, by the online store's own word; None where one of them is not."""
        store = self._store()
        engine: Any = store.provider.batch_engine  # type: ignore[attr-defined]
        with _LOCK, _quiet():
            moments = [engine.reached(registered_view(store, name)) for name in views]
        return min(moments, default=None) if all(moments) else None

    def online(self, service: str, rows: pl.DataFrame, as_of: datetime) -> pl.DataFrame:
        """The rows with the features that `historical` gives at `as_of`, read from the online store."""
        return self.online_vectors(service, rows, as_of).frame

    def online_vectors(self, service: str, rows: pl.DataFrame, as_of: datetime) -> OnlineVectors:
        """What `online` gives, with each value's event time and status beside it."""
        from feature_repo.online_store.codec import moment

        needs = feature_repository.needs(self.repository, service)
        self._checked_inputs(service, rows)
        if rows.is_empty():
            return nothing(self._with_features(service, rows, None), list(needs.types))
        definition = self.registered(service)
        with moment.as_of(as_of):
            answer = self._store().get_online_features(
                definition, {c: rows[c].to_list() for c in needs.columns}
            )
        return Answered(rows, answer, needs.types, needs.inputs)

    def compiled(self, service: str, schema: Mapping[str, Any]) -> CompiledService:
        """The same for columns of Python values, worked out beforehand; `schema` has the types of what the rows bring."""
        return CompiledService(FeastService(self, service), schema)

    def push_sources(self) -> dict[str, PushSource]:
        """Every push source that the repository defines, by name."""
        return push_sources(self.repository, storage_at(self.lake_root))

    def push(self, source: str, rows: pl.DataFrame, to: Literal["online", "offline"]) -> None:
        """Push rows (keys, `event_timestamp`, features, `created`) to all views of a source, into one of the stores."""
        with _LOCK, _quiet():
            push(self._store(), source, rows, to)

    def feast(self) -> "FeatureStore":
        """Feast's own object over this registry and these stores."""
        return self._store()

    def registered(self, service: str) -> Any:
        """Feast's object of a service, as it was applied last; refused where it is not registered as the code needs it."""
        return registered(self._store(), self._service(service))

    def feast_request(self, service: str) -> Any:
        """What Feast is asked for in a join: the registered service, refused where the code defines another one by now."""
        self._follow_the_lake()
        definition = self.registered(service)
        self._applied.refuse_outdated("feature service", [service])
        return definition

    def unregistered_view(self, names: Iterable[str]) -> str | None:
        """What to say of the first of these views that the code defines and the registry has not; None where it has all."""
        return unregistered_view(self._store(), self.repository, names)

    def _follow_the_lake(self) -> None:
        """Register again over the files of this lake, where the state was copied or moved since."""
        if self._applied.is_elsewhere():
            self.apply()

    @property
    def _applied(self) -> Applied:
        return Applied(Path(self.home), self.repository, self.shared, self.lake_root).looked()

    def _objects(self) -> list[Any]:
        return feature_repository.rooted(self.repository, self.lake_root)

    @property
    def _places(self) -> tuple[str, str, str, str, str]:
        return self.lake_root, self.home, self.online_store, self.offline_engine, self.registry

    def _store(self) -> "FeatureStore":
        _, home, *reached = self._places
        return _open(self.repository, self.shared, home, *reached)

    def _service(self, name: str) -> Any:
        return feature_repository.service(self.repository, name)

    def feature_types(self, service: str) -> dict[str, Any]:
        """The polars type of each feature of the service, in its order."""
        return feature_repository.needs(self.repository, service).types

    def _checked_inputs(self, service: str, rows: pl.DataFrame, *more: str) -> list[str]:
        names = self.input_columns(service)
        missing = [name for name in (*names, *more) if name not in rows.columns]
        if missing:
            raise FeatureStoreError(
                f"the rows lack {', '.join(missing)}, by which {service!r} is joined or computed: the function that "
                f"the spec's prediction.rows names must add them; the rows have {', '.join(rows.columns)}"
            )
        return names

    def _require_tables(self, service: str) -> None:
        for name in (view.table for view in self.view_tables(service)):
            if not storage_at(self.lake_root).names(name, ".parquet"):
                raise FeatureStoreError(
                    f"the feature table {name} has no partition under {self.lake_root}: "
                    f"materialize the asset {name} first"
                )

    def _with_features(self, service: str, rows: pl.DataFrame, answer: pl.DataFrame | None) -> pl.DataFrame:
        return rows.with_columns(
            pl.lit(None, dtype).alias(name) if answer is None else stable(answer[name], dtype)
            for name, dtype in self.feature_types(service).items()
        )


@lru_cache(maxsize=64)
def _open(repository: Given, shared: str, home: str, *reached: str) -> "FeatureStore":
    from feast import FeatureStore

    store = FeatureStore(config=configuration(repository, home, *reached))
    with opening(Path(home), shared):
        _ = store.registry  # opened, and its tables made, when it is first asked for
    return store


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "On demand feature view", RuntimeWarning)
        yield
