"""The feature store, reached through Feast: definitions, point-in-time joins, and features for serving.

Feast is used as it is; what is added are checks (rows out equal rows in), stable types, sources rooted in the
lake, and a time for reads from the online store.
"""

import contextlib
import io
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from threading import RLock
from typing import TYPE_CHECKING, Any

import dagster as dg
import polars as pl

from resources import feature_definitions as repository_of
from resources.feature_definitions import REPOSITORY, FeatureStoreError
from resources.feature_sources import service_names, service_views
from resources.lake import write_text

if TYPE_CHECKING:
    from feast import FeatureStore

__all__ = ["FeatureStoreError", "FeatureStoreResource", "service_names", "service_views"]

ROW = "__row"
TIME = "event_timestamp"
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
TYPES = {
    "Float32": pl.Float32,
    "Float64": pl.Float64,
    "Int32": pl.Int32,
    "Int64": pl.Int64,
    "String": pl.String,
}

_LOCK = RLock()
"""Feast's registry, shared by the whole process, serves one caller at a time."""


@dataclass(frozen=True)
class ViewSource:
    """A feature view's lake table, join keys, feature columns, and time to live (None: for ever)."""

    name: str
    table: str
    keys: tuple[str, ...]
    features: tuple[str, ...]
    ttl: timedelta | None


class FeatureStoreResource(dg.ConfigurableResource):
    """Feast over the lake's feature tables, with its registry and online store under `home`.

    `offline_engine` is `local`, or `ray` to join historical features on a Ray cluster.
    """

    lake_root: str
    home: str
    repository: str = REPOSITORY
    offline_engine: str = "local"

    def apply(self) -> dict[str, list[str]]:
        """Register every definition of the repository and remove what is no longer defined.

        Returns the names of the registered objects by kind. What was applied as it is now is not applied again.
        """
        objects = repository_of.rooted(self.repository, Path(self.lake_root))
        marker, digest = Path(self.home) / "applied.sha256", repository_of.objects_hash(objects)
        if (Path(self.home) / "registry.db").exists() and marker.exists() and marker.read_text() == digest:
            return _by_kind(objects)
        store = self._store()
        with _LOCK, _quiet():
            store.apply(objects, objects_to_delete=_stale(store, objects), partial=False)
        write_text(marker, digest)
        return _by_kind(objects)

    def definition_version(self, service: str) -> str:
        """A hash of all that decides a service's values: views, types, keys, lives, and on-demand code."""
        return repository_of.content_hash(self._service(service), self.repository)

    def feature_columns(self, service: str) -> list[str]:
        """Names of the service's features, in its order."""
        return list(self._types(service))

    def views(self, service: str) -> list[str]:
        """Names of the feature views that the service reads, those behind on-demand features too."""
        return [view.name for view in repository_of.views_of(self._service(service), self.repository)]

    def view_tables(self, service: str) -> list[ViewSource]:
        """Where the values of each view of a service come from, for whoever wants to check a join."""
        return [
            ViewSource(
                name=view.name,
                table=f"features/{view.name}",
                keys=tuple(view.join_keys),
                features=tuple(field.name for field in view.features),
                ttl=view.ttl or None,
            )
            for view in repository_of.views_of(self._service(service), self.repository)
        ]

    def request_fields(self, service: str) -> dict[str, type]:
        """Python type of every input column, for an endpoint that is given no request model."""
        views = repository_of.views_of(self._service(service), self.repository)
        entities = [column for view in views for column in view.entity_columns]
        on_demand = repository_of.on_demand_of(self._service(service), self.repository)
        requests = [f for v in on_demand for s in v.source_request_sources.values() for f in s.schema]
        kinds = {"String": str, "Int32": int, "Int64": int, "Bool": bool}
        return {field.name: kinds.get(str(field.dtype), float) for field in (*entities, *requests)}

    def input_columns(self, service: str) -> list[str]:
        """Join keys and request columns that rows must have."""
        wanted = self._service(service)
        keys = [key for view in repository_of.views_of(wanted, self.repository) for key in view.join_keys]
        on_demand = repository_of.on_demand_of(wanted, self.repository)
        return list(
            dict.fromkeys([*keys, *(name for v in on_demand for name in v.get_request_data_schema())])
        )

    def historical(self, service: str, rows: pl.DataFrame, time_column: str) -> pl.DataFrame:
        """The rows with each feature's newest value known at `time_column` (UTC) and not expired by then.

        Rows keep their number, order and columns; they must have the service's `input_columns`. Floats come back
        as float32, integers as int64, unknown values as null. Raises if a row is lost or doubled on the way.
        """
        columns = self._checked_inputs(service, rows, time_column)
        if rows.is_empty():
            return self._with_features(service, rows, None)
        self._require_tables(service)
        entities = rows.select(*columns, pl.col(time_column).alias(TIME)).with_row_index(ROW)
        store = self._store()
        with _LOCK, _quiet():
            # The store takes polars; Feast's own signature knows pandas only.
            job = store.get_historical_features(entities, _registered(store, service))  # type: ignore[arg-type]
        found = pl.DataFrame(pl.from_arrow(job.to_arrow()))
        if not found[ROW].equals(entities[ROW]):
            raise FeatureStoreError(
                f"{rows.height} rows went into the join of {service!r} and {found.height} came out, "
                f"{found[ROW].n_unique()} of them different: the offline store lost or doubled rows"
            )
        return self._with_features(service, rows, found)

    def materialize(self, views: Sequence[str], start: datetime, end: datetime) -> None:
        """Bring the online store up to `end`: each key's newest values with `start <= event timestamp <= end`.

        What has expired by `end` is not read; views without a time to live are read from their beginning. The
        values take the place of all older ones; later ones that are there already stay.
        """
        from feature_repo.online_store.sqlite import replacing

        store = self._store()
        with _LOCK, _quiet(), replacing(end):
            for name in views:
                view = store.get_feature_view(name, allow_registry_cache=True)
                # Not store.materialize: that also appends an interval to the registry, for ever longer.
                store.provider.materialize_single_feature_view(
                    config=store.config,
                    feature_view=view,
                    start_date=max(start, end - view.ttl) if view.ttl else EPOCH,
                    end_date=end,
                    registry=store.registry,
                    project=store.project,
                    tqdm_builder=lambda _: None,  # type: ignore[arg-type,return-value]
                )

    def online(self, service: str, rows: pl.DataFrame, as_of: datetime) -> pl.DataFrame:
        """The rows with the features that `historical` gives at `as_of`, read from the online store."""
        from feature_repo.online_store.sqlite import as_of as at

        columns = self._checked_inputs(service, rows)
        if rows.is_empty():
            return self._with_features(service, rows, None)
        store = self._store()
        wanted = _registered(store, service)
        with at(as_of):
            answer = store.get_online_features(wanted, {c: rows[c].to_list() for c in columns}).to_dict()
        types = self._types(service)
        found = pl.DataFrame({name: pl.Series(answer[name], dtype=dtype) for name, dtype in types.items()})
        return self._with_features(service, rows, found)

    def _store(self) -> "FeatureStore":
        return _open(self.home, self.repository, self.offline_engine)

    def _service(self, name: str) -> Any:
        return repository_of.service(self.repository, name)

    def _types(self, service: str) -> dict[str, Any]:
        fields = [f for p in self._service(service).feature_view_projections for f in p.features]
        return {field.name: TYPES[str(field.dtype)] for field in fields}

    def _checked_inputs(self, service: str, rows: pl.DataFrame, *more: str) -> list[str]:
        wanted = self.input_columns(service)
        missing = [name for name in (*wanted, *more) if name not in rows.columns]
        if missing:
            raise FeatureStoreError(
                f"the rows lack {', '.join(missing)}, by which {service!r} is joined or computed: the function that "
                f"the spec's prediction.rows names must add them; the rows have {', '.join(rows.columns)}"
            )
        return wanted

    def _require_tables(self, service: str) -> None:
        for name in self.views(service):
            if next((Path(self.lake_root) / "features" / name).glob("*.parquet"), None) is None:
                raise FeatureStoreError(
                    f"the feature table features/{name} has no partition under {self.lake_root}: "
                    f"materialize the asset features/{name} first"
                )

    def _with_features(self, service: str, rows: pl.DataFrame, found: pl.DataFrame | None) -> pl.DataFrame:
        types = self._types(service)
        if found is None:
            return rows.with_columns(pl.lit(None, dtype).alias(name) for name, dtype in types.items())
        return rows.with_columns(_stable(found[name], dtype) for name, dtype in types.items())


@lru_cache(maxsize=8)
def _open(home: str, repository: str, offline_engine: str) -> "FeatureStore":
    from feast import FeatureStore

    Path(home).mkdir(parents=True, exist_ok=True)
    return FeatureStore(config=repository_of.configuration(repository, home, offline_engine))


def _registered(store: "FeatureStore", service: str) -> Any:
    from feast.errors import FeatureServiceNotFoundException

    with contextlib.suppress(FeatureServiceNotFoundException):
        return store.get_feature_service(service, allow_cache=True)
    store.refresh_registry()
    try:
        return store.get_feature_service(service, allow_cache=True)
    except FeatureServiceNotFoundException as error:
        raise FeatureStoreError(
            f"the feature service {service!r} is defined but not registered: materialize the asset that applies "
            "the feature definitions first"
        ) from error


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "On demand feature view", RuntimeWarning)
        yield


def _stale(store: "FeatureStore", objects: Iterable[Any]) -> list[Any]:
    from feast.feature_view import DUMMY_ENTITY_NAME

    kept = {(repository_of.kind(thing), thing.name) for thing in objects} | {("Entity", DUMMY_ENTITY_NAME)}
    there = (
        *store.list_feature_services(),
        *store.list_on_demand_feature_views(),
        *store.list_feature_views(),
        *store.list_entities(),
    )
    return [thing for thing in there if (repository_of.kind(thing), thing.name) not in kept]


def _by_kind(objects: Iterable[Any]) -> dict[str, list[str]]:
    names: dict[str, list[str]] = {}
    for thing in objects:
        names.setdefault(repository_of.kind(thing), []).append(thing.name)
    return names


def _stable(values: pl.Series, dtype: Any) -> pl.Series:
    return values.fill_nan(None).cast(dtype) if values.dtype.is_float() else values.cast(dtype)
