"""Plans of requests for online features, made by Feast's objects and worked out once for each version of the registry."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from feast.feature_service import FeatureService
from feast.utils import _get_cached_request_context, _parse_feature_ref

from .codec import keys
from .codec.kinds import ValueType, of
from .codec.moment import MICROSECOND
from .plan import KeyGroup, Plan, ViewRead

Context = tuple[Any, ...]


class Plans:
    """Plans by request, forgotten when the registry is read anew."""

    def __init__(self) -> None:
        self._stamp: Any = None
        self._plans: dict[tuple[Any, ...], Plan] = {}

    def of(self, registry: Any, project: str, features: Any, full_names: bool) -> Plan:
        """The plan of a request; `features` is a feature service or a list of references."""
        named = ("", features.name) if isinstance(features, FeatureService) else tuple(features)
        request = (named, project, full_names)
        if _is_current(registry) and self._stamp == _stamp(registry) and (plan := self._plans.get(request)):
            return plan
        plan = plan_of(_get_cached_request_context(registry, project, features, full_names), full_names)
        stamp = _stamp(registry)
        if stamp != self._stamp:
            self._stamp, self._plans = stamp, {}
        if stamp[1] is not None:
            self._plans[request] = plan
        return plan


def _stamp(registry: Any) -> tuple[int, Any]:
    return id(registry), getattr(registry, "cached_registry_proto_created", None)


def _is_current(registry: Any) -> bool:
    check = getattr(registry, "is_cache_valid", None)
    return bool(check and check())


def plan_of(context: Context, full_names: bool) -> Plan:
    """The plan of a request from Feast's resolution of it."""
    refs, on_demand, entities, kinds, join_keys, grouped, answered_names, request_data, entityless = context
    order = _order(refs)
    by_key: dict[tuple[tuple[str, ...], tuple[str, ...]], list[ViewRead]] = defaultdict(list)
    for view, features in grouped:
        true = sorted(entities[name] for name in view.entities)
        row_keys = tuple(view.projection.join_key_map.get(key, key) for key in true)
        by_key[tuple(true), row_keys].append(_read(view, features, order, full_names))
    groups = [
        KeyGroup(keys.prefix(true), row_keys, true, tuple(views))
        for (true, row_keys), views in by_key.items()
    ]
    return Plan(
        refs=tuple(refs),
        groups=tuple(groups),
        kinds={name: of(kind) for name, kind in kinds.items()},
        join_keys=frozenset(key for key in join_keys if isinstance(key, str)),
        entities=entities,
        request_data=frozenset(request_data),
        answered_names=frozenset(answered_names),
        on_demand=tuple(on_demand),
        entityless=entityless,
    )


def _order(refs: Sequence[str]) -> dict[tuple[str, str], int]:
    parsed = [_parse_feature_ref(ref) for ref in refs]
    tagged = [(f"{v}@v{n}" if n is not None else v, feature) for v, n, feature in parsed]
    return {reference: place for place, reference in reversed(list(enumerate(tagged)))}


def _read(
    view: Any, features: Iterable[str], order: dict[tuple[str, str], int], full_names: bool
) -> ViewRead:
    """The features in the order in which they were asked for, then those that only on-demand features read."""
    name = view.projection.name_to_use()
    declared = declared_kinds(view)
    places = {
        f: (order.get((name, f), len(order)), list(declared).index(f) if f in declared else 0)
        for f in features
    }
    chosen = tuple(sorted(features, key=lambda feature: (*places[feature], feature)))
    ttl = getattr(view, "ttl", None)
    return ViewRead(
        view=view,
        declared=declared,
        features=chosen,
        kinds=tuple(declared.get(feature, ValueType.UNKNOWN) for feature in chosen),
        outputs=tuple(f"{name}__{feature}" if full_names else feature for feature in chosen),
        lives=ttl // MICROSECOND if ttl else 0,
    )


def alone(view: Any, features: Iterable[str] | None) -> KeyGroup:
    """One view by itself, with the given features or all."""
    chosen = list(features) if features else [feature.name for feature in view.features]
    read = _read(view, chosen, {}, False)
    return KeyGroup(b"", (), (), (read,))


def declared_kinds(view: Any) -> dict[str, ValueType]:
    """The types of a view's features."""
    return {feature.name: of(feature.dtype.to_value_type()) for feature in view.features}
