"""Feast's push sources as a repository defines them: which views they feed, and what an event must hold."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import polars as pl
import pydantic
from pydantic import Field

from resources.features import feature_repository
from resources.features.feature_repository import FeatureStoreError
from resources.features.registered_services import unregistered
from resources.features.repository import Given, Repository
from resources.features.types import INSTANT, PUSHED, column, held, refused_event
from resources.moments import Moment
from resources.storage.storage import Storage

if TYPE_CHECKING:
    from feast import FeatureStore

EVENT = "event_timestamp"


@dataclass(frozen=True)
class PushSource:
    """One push source: the views it feeds, the columns of an event with their Feast types, the table's files, the use case.

    `features` may be null in an event, keys may not.
    """

    name: str
    views: tuple[str, ...]
    keys: dict[str, str]
    features: dict[str, str]
    folder: Storage
    use_case: str = ""

    @property
    def refusal(self) -> str | None:
        """Why no event can be pushed; None where one can."""
        kinds = (self.keys | self.features).items()
        return next((said for name, kind in kinds if (said := refused_event(name, kind, self.name))), None)

    @cached_property
    def event(self) -> type[pydantic.BaseModel]:
        """The model of one event; raises FeatureStoreError where JSON cannot hold one."""
        if self.refusal:
            raise FeatureStoreError(self.refusal)
        fields: dict[str, Any] = {name: (held(kind, PUSHED), ...) for name, kind in self.keys.items()}
        fields[EVENT] = (Moment, Field(description="The moment from which the values may be used."))
        fields |= {name: (held(kind, PUSHED) | None, None) for name, kind in self.features.items()}
        return pydantic.create_model(
            f"{self.name}_event", __config__=pydantic.ConfigDict(extra="forbid"), **fields
        )

    @property
    def schema(self) -> dict[str, Any]:
        """Types of an event's columns in a frame."""
        kinds = {name: column(kind) for name, kind in (self.keys | self.features).items()}
        return kinds | {EVENT: INSTANT}


def push_sources(repository: Given, lake: Storage) -> dict[str, PushSource]:
    """Every push source of a repository, by name."""
    use_case = Repository.of(repository).project
    return {one["name"]: push_source(one, lake, use_case) for one in defined_sources(repository)}


def push_source(defined: Mapping[str, Any], lake: Storage, use_case: str) -> PushSource:
    """A push source from what is defined of it, over the tables of a lake."""
    parts = {name: value for name, value in defined.items() if name != "table"}
    return PushSource(**parts, folder=lake.below(defined["table"]), use_case=use_case)


def defined_sources(repository: Given) -> list[dict[str, Any]]:
    """Name, views, keys, features and table of every push source of a repository, by name."""
    fed: dict[str, list[Any]] = {}
    for view in feature_repository.definitions(repository):
        source = getattr(view, "stream_source", None)
        if source is not None and feature_repository.kind(source) == "PushSource":
            fed.setdefault(source.name, []).append(view)
    return [_defined(name, views) for name, views in sorted(fed.items())]


def _defined(name: str, views: list[Any]) -> dict[str, Any]:
    return {
        "name": name,
        "views": tuple(view.name for view in views),
        "keys": {field.name: str(field.dtype) for view in views for field in view.entity_columns},
        "features": {field.name: str(field.dtype) for view in views for field in view.features},
        "table": views[0].batch_source.path.rpartition("/")[0],
    }


def push(store: "FeatureStore", source: str, rows: pl.DataFrame, to: Literal["online", "offline"]) -> None:
    """Hand rows to Feast's own `push`; for the offline store with exactly the columns that the table has."""
    from feast.data_source import PushMode
    from feast.errors import PushSourceNotFoundException

    if not any(view.stream_source and view.stream_source.name == source for view in _views(store)):
        store.refresh_registry()
    try:
        if to == "online":
            store.push(source, _pandas(rows), to=PushMode.ONLINE)
        else:
            store.push(source, _pandas(_as_table(store, source, rows)), to=PushMode.OFFLINE)
    except PushSourceNotFoundException as error:
        raise FeatureStoreError(unregistered("push source", source)) from error


def _views(store: "FeatureStore") -> list[Any]:
    return list(store.list_feature_views(allow_cache=True))


def restate(store: "FeatureStore", views: Sequence[str], gone: pl.DataFrame, pushed: pl.DataFrame) -> None:
    """For the keys of rows that are gone from the table of some views, bring online what is left.

    That is the newest of the history, as far as each view was brought, and of the rows that are still pushed.
    """
    engine: Any = store._get_provider().batch_engine  # type: ignore[attr-defined]
    for name in views:
        view = store.get_feature_view(name, allow_registry_cache=True)
        engine.restate(store.registry, store.project, view, gone.to_arrow(), pushed.to_arrow())


def _as_table(store: "FeatureStore", source: str, rows: pl.DataFrame) -> pl.DataFrame:
    """The rows with the columns of the table behind a source; what an event does not say is null."""
    tables = [v.batch_source for v in _views(store) if v.stream_source and v.stream_source.name == source]
    provider = store._get_provider()
    names = dict.fromkeys(
        name
        for table in tables
        if table is not None
        for name, _ in provider.get_table_column_names_and_types_from_data_source(store.config, table)
    )
    return rows.select(pl.col(name) if name in rows.columns else pl.lit(None).alias(name) for name in names)


def _pandas(rows: pl.DataFrame) -> Any:
    return rows.to_pandas(use_pyarrow_extension_array=True)
