"""Feast's objects as they were applied last, and a sentence with the fix where the code defines something else by now.

A service is made once for each reading of the registry: Feast makes the object anew from the registry's message at every
call, with a check of every type, milliseconds that a request for features has not.
"""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from resources.features.feature_repository import FeatureStoreError, definitions, kind
from resources.features.repository import Given

if TYPE_CHECKING:
    from feast import FeatureService, FeatureStore

FIX = "materialize the asset features/registry of the use case"

_services: "WeakKeyDictionary[FeatureStore, dict[str, tuple[Any, Any, Any]]]" = WeakKeyDictionary()


def registered(store: "FeatureStore", defined: "FeatureService") -> Any:
    """The registered service of that name; FeatureStoreError where there is none, or one that lacks features of it."""
    registry: Any = store.registry
    read, definition, service = _services.setdefault(store, {}).get(defined.name, (None, None, None))
    current = registry.is_cache_valid() and read == registry.cached_registry_proto_created
    if service is not None and definition is defined and current:
        return service
    service = _looked_up(store, defined)
    _services[store][defined.name] = registry.cached_registry_proto_created, defined, service
    return service


def registered_view(store: "FeatureStore", name: str) -> Any:
    """The registered feature view of that name; FeatureStoreError where there is none."""
    from feast.errors import FeatureViewNotFoundException

    def look() -> Any:
        return store.get_feature_view(name, allow_registry_cache=True)

    return _look(store, look, FeatureViewNotFoundException, unregistered("feature view", name))


def unregistered_view(store: "FeatureStore", repository: Given, names: Iterable[str]) -> str | None:
    """What to say of the first of these views that is defined and not registered; None where there is none."""
    views = ("FeatureView", "OnDemandFeatureView")
    defined = {thing.name for thing in definitions(repository) if kind(thing) in views}
    there = {view.name for view in store.list_all_feature_views(allow_cache=True)}
    absent = next((name for name in names if name in defined and name not in there), None)
    return unregistered("feature view", absent) if absent else None


def unregistered(of: str, name: str) -> str:
    """What to say of something that the code defines and the registry has not."""
    return f"the {of} {name!r} is defined but not registered: {FIX}"


def outdated(of: str, name: str) -> str:
    """What to say of something that the registry has as it was before the code changed."""
    return f"the {of} {name!r} was changed since it was registered: {FIX}"


def elsewhere(lake: str, here: str) -> str:
    """What to say of a registry whose views read another lake than that of this state; "" is one that was half applied."""
    names = f"names the files of {lake}" if lake else "was changed half-way to the files of another lake"
    return (
        f"the feature registry {names}, the lake of this state is {here}, and a join would read other files than "
        f"those: {FIX}"
    )


def _looked_up(store: "FeatureStore", defined: "FeatureService") -> Any:
    from feast.errors import FeatureServiceNotFoundException

    def look() -> Any:
        return store.get_feature_service(defined.name, allow_cache=True)

    service = _look(
        store, look, FeatureServiceNotFoundException, unregistered("feature service", defined.name)
    )
    if _features(defined) <= _features(service):
        return service
    store.refresh_registry()
    service = look()
    if lacking := _features(defined) - _features(service):
        names = ", ".join(sorted({name for _, name, _ in lacking}))
        raise FeatureStoreError(
            f"the feature service {defined.name!r} is registered without {names}, or with another type of it: {FIX}, and "
            "start a process again whose code is older than the registry"
        )
    return service


def _look(store: "FeatureStore", look: Callable[[], Any], absent: type[Exception], said: str) -> Any:
    """What `look` finds, in the registry as it is now if the one that was read before has it not."""
    try:
        return look()
    except absent:
        store.refresh_registry()
    try:
        return look()
    except absent as error:
        raise FeatureStoreError(said) from error


def _features(service: Any) -> set[tuple[str, str, str]]:
    return {(p.name, f.name, str(f.dtype)) for p in service.feature_view_projections for f in p.features}
