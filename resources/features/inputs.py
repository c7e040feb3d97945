"""The names and types that feature services read and give, in one reading of a feature repository.

The reading runs the repository's modules against a stand-in for Feast, which takes six seconds to import. What a
stand-in cannot tell (a repository that computes with Feast's objects) is told by Feast itself, and the log says so.
"""

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from resources.features import feature_repository
from resources.features.meeting import Defined, refuse_meeting
from resources.features.modules import files_of
from resources.features.repository import Given, Repository
from resources.features.stand_in import (
    BUILDER,
    FeastObject,
    Reading,
    UntoldError,
    join_key,
    type_text,
    value_type,
)

LOG = logging.getLogger(__name__)

UNTOLD = (
    UntoldError,
    *(ArithmeticError, AssertionError, AttributeError, ImportError, LookupError, NameError),
    *(OSError, RuntimeError, StopIteration, SyntaxError, TypeError, ValueError),
)
"""What a module raises that does more with Feast's objects than a stand-in can."""


@dataclass(frozen=True)
class TypedField:
    """A field: the view or request source that has it, its name, and its type as Feast prints it."""

    owner: str
    name: str
    kind: str


@dataclass(frozen=True)
class ServiceInputs:
    """Names of one service: features by view, those that its on-demand features read, join keys, request columns.

    `columns` has by view, for columns that its source calls otherwise, the source's name; `stored` the views that are
    tables; `given` the types of its features, `request_fields` those of the join keys and request columns.
    """

    features: dict[str, list[str]]
    behind: dict[str, list[str]]
    keys: list[str]
    requests: list[str]
    columns: dict[str, dict[str, str]] = field(default_factory=dict)
    stored: list[str] = field(default_factory=list)
    given: list[TypedField] = field(default_factory=list)
    request_fields: list[TypedField] = field(default_factory=list)


@dataclass(frozen=True)
class Read:
    """What a reading finds: every service by name, and the features of every view, those computed on demand too.

    `row_columns` has by view the columns that a row must have: join keys, and what a request brings.
    """

    services: dict[str, ServiceInputs]
    views: dict[str, list[str]]
    row_columns: dict[str, list[str]] = field(default_factory=dict)


def service_names(repository: Given) -> list[str]:
    """Names of the feature services that a repository defines."""
    return sorted(read(repository).services)


def service_views(service: str, repository: Given) -> list[str]:
    """Names of the views that a service reads and that are tables, those behind its on-demand views too."""
    return service_inputs(service, repository).stored


def service_inputs(service: str, repository: Given) -> ServiceInputs:
    """The names and types of a service; raises FeatureStoreError where it is not defined."""
    services = read(repository).services
    if service not in services:
        raise feature_repository.FeatureStoreError(
            f"{Repository.of(repository)} defines no feature service {service!r}; there are: "
            f"{', '.join(sorted(services)) or 'none'}"
        )
    return services[service]


def read(repository: Given) -> Read:
    """All of a repository: as the stand-in tells it, or Feast where that cannot."""
    given = Repository.of(repository)
    return _read(given, _stamp(given))


def inputs_without_feast(service: str, repository: Given) -> ServiceInputs | None:
    """A service as the stand-in alone tells it; None where only Feast can tell, or where it is not defined."""
    try:
        return _by_stand_in(Repository.of(repository)).services.get(service)
    except UNTOLD:
        return None


def read_by_feast(repository: Given) -> Read:
    """The same from Feast's own objects; raises FeatureStoreError where a module cannot be imported."""
    things = feature_repository.definitions(repository)
    views = {t.name: [f.name for f in t.features] for t in things if hasattr(t, "features") and _is_view(t)}
    names = [t.name for t in things if feature_repository.kind(t) == "FeatureService"]
    return Read({name: inputs_by_feast(name, repository) for name in names}, views, _asked_by_feast(things))


def _asked_by_feast(things: Iterable[Any]) -> dict[str, list[str]]:
    views = [thing for thing in things if _is_view(thing)]
    keys = {view.name: list(view.join_keys) for view in views if hasattr(view, "join_keys")}
    computed = [view for view in views if hasattr(view, "source_feature_view_projections")]
    for view in computed:
        behind = [key for p in view.source_feature_view_projections.values() for key in keys.get(p.name, ())]
        keys[view.name] = list(dict.fromkeys([*behind, *view.get_request_data_schema()]))
    return keys


@lru_cache(maxsize=64)
def _read(repository: Repository, stamp: tuple[tuple[str, int], ...]) -> Read:
    try:
        return _by_stand_in(repository)
    except UNTOLD as error:
        LOG.warning(
            "%s cannot be read without Feast (%s: %s), so that loading it takes some seconds longer: keep to making "
            "Feast's objects at the top level of its modules",
            repository,
            type(error).__name__,
            error,
        )
    return read_by_feast(repository)


def _stamp(repository: Repository) -> tuple[tuple[str, int], ...]:
    try:
        files = files_of(repository.package) if repository.package else []
    except ImportError:
        return ()
    return tuple((str(path), path.stat().st_mtime_ns) for path in files)


def _by_stand_in(repository: Repository) -> Read:
    reading = Reading(repository.package)
    objects = reading.objects()
    if repository.declared.views or repository.declared.services:
        refuse_meeting(repository, [_meant(one) for one in objects])
        objects += reading.module(BUILDER).objects_of(repository.declared, objects)
    services = {one.name: _inputs(one) for one in objects if one.kind == "FeatureService"}
    views = [one for one in objects if _is_view(one)]
    return Read(
        services,
        {v.name: [f.name for f in v.features] for v in views},
        {v.name: _row_columns(v) for v in views},
    )


def _row_columns(view: FeastObject) -> list[str]:
    if view.kind != "OnDemandFeatureView":
        return view.request_names
    parts = [
        [f.name for f in source.named["schema"]] if source.kind == "RequestSource" else source.request_names
        for source in _listed(view.named["sources"])
    ]
    return list(dict.fromkeys(name for part in parts for name in part))


def _is_view(thing: Any) -> bool:
    return type(thing).__name__.endswith("FeatureView")


def _meant(thing: FeastObject) -> Defined:
    key = (join_key(thing), value_type(thing)) if thing.kind == "Entity" else None
    return Defined(thing.kind, thing.name, thing.place, key)


def inputs_by_feast(service: str, repository: Given) -> ServiceInputs:
    """A service as Feast's own objects tell it; raises FeatureStoreError where it is not defined."""
    definition = feature_repository.service(repository, service)
    on_demand = feature_repository.on_demand_of(definition, repository)
    stored = feature_repository.views_of(definition, repository)
    read = [p for view in on_demand for p in view.source_feature_view_projections.values()]
    requests = [source for view in on_demand for source in view.source_request_sources.values()]
    return ServiceInputs(
        features={p.name: [f.name for f in p.features] for p in definition.feature_view_projections},
        behind={p.name: [f.name for f in p.features] for p in read},
        keys=list(dict.fromkeys(key for view in stored for key in view.join_keys)),
        requests=list(dict.fromkeys(name for view in on_demand for name in view.get_request_data_schema())),
        columns={
            view.name: _renamed(view.batch_source.field_mapping or {}) for view in stored if view.batch_source
        },
        stored=[view.name for view in stored],
        given=[
            TypedField(p.name, f.name, str(f.dtype))
            for p in definition.feature_view_projections
            for f in p.features
        ],
        request_fields=_once(
            [TypedField(view.name, f.name, str(f.dtype)) for view in stored for f in view.entity_columns]
            + [TypedField(source.name, f.name, str(f.dtype)) for source in requests for f in source.schema]
        ),
    )


def _inputs(service: FeastObject) -> ServiceInputs:
    views = list(service.named["features"])
    on_demand = [view for view in views if view.kind == "OnDemandFeatureView"]
    sources = [source for view in on_demand for source in _listed(view.named["sources"])]
    behind = [source for source in sources if source.kind != "RequestSource"]
    stored = [view for view in (*views, *behind) if view.kind != "OnDemandFeatureView"]
    requests = [source for source in sources if source.kind == "RequestSource"]
    return ServiceInputs(
        features={view.name: [f.name for f in view.features] for view in views},
        behind={view.name: [f.name for f in view.features] for view in behind},
        keys=list(dict.fromkeys(key for view in stored for key in view.request_names)),
        requests=list(dict.fromkeys(f.name for source in requests for f in source.named["schema"])),
        columns={view.name: _renamed(_mapping(view)) for view in stored},
        stored=list(dict.fromkeys(view.name for view in stored)),
        given=[_typed(view, f) for view in views for f in view.features],
        request_fields=_once(
            [_typed(v, v.fields[k], v.aliases.get(k, k)) for v in stored for k in v.keys if k in v.fields]
            + [_typed(source, f) for source in requests for f in source.named["schema"]]
        ),
    )


def _typed(owner: FeastObject, thing: FeastObject, name: str = "") -> TypedField:
    return TypedField(owner.name, name or thing.name, type_text(thing.named["dtype"]))


def _once(fields: list[TypedField]) -> list[TypedField]:
    """The first of each name, in the order in which the names come."""
    first: dict[str, TypedField] = {}
    for one in fields:
        first.setdefault(one.name, one)
    return list(first.values())


def _listed(sources: Any) -> list[Any]:
    return list(sources.values()) if isinstance(sources, dict) else list(sources)


def _renamed(mapping: Mapping[str, str]) -> dict[str, str]:
    """Source column by the view's name of it."""
    return {new: old for old, new in mapping.items()}


def _mapping(view: FeastObject) -> Mapping[str, str]:
    source = view.named.get("source") or view.named.get("batch_source")
    source = source.named.get("batch_source", source) if isinstance(source, FeastObject) else None
    return (source.named.get("field_mapping") or {}) if source else {}
