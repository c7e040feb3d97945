"""Feast's objects of feature services, as they were applied last, made once for each reading of the registry.

Feast makes the object anew from the registry's message at every call, with a check of every type: milliseconds, which
a request for features has not.
"""

import contextlib
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from resources.feature_definitions import FeatureStoreError

if TYPE_CHECKING:
    from feast import FeatureStore

_made: "WeakKeyDictionary[FeatureStore, dict[str, tuple[Any, Any]]]" = WeakKeyDictionary()


def registered(store: "FeatureStore", service: str) -> Any:
    """The registered service of that name; FeatureStoreError where there is none."""
    registry: Any = store.registry
    read, found = _made.setdefault(store, {}).get(service, (None, None))
    if found is not None and registry.is_cache_valid() and read == registry.cached_registry_proto_created:
        return found
    found = _looked_up(store, service)
    _made[store][service] = registry.cached_registry_proto_created, found
    return found


def _looked_up(store: "FeatureStore", service: str) -> Any:
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
