"""What a request for online features reads, worked out once for each version of the registry."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

from feast.feature_service import FeatureService
from feast.utils import _get_cached_request_context, _parse_feature_ref
from feast.value_type import ValueType

from .codec import keys
from .codec.decoding import Decoder, decoder
from .codec.moment import MICROSECOND

DUMMY = "__dummy_id"


@dataclass(frozen=True, eq=False)
class ViewRead:
    """The features of one view that are read, with their types and their names in the answer."""

    view: Any
    features: tuple[str, ...]
    kinds: tuple[ValueType, ...]
    outputs: tuple[str, ...]
    lives: int

    @property
    def title(self) -> str:
        """The view's name in an answer's metadata."""
        return self.view.projection.name_alias or self.view.projection.name


@dataclass(frozen=True, eq=False)
class KeyGroup:
    """Views that are read with the same key: its first bytes, and the request's columns in the order of the join keys."""

    start: bytes
    columns: tuple[str, ...]
    join_keys: tuple[str, ...]
    views: tuple[ViewRead, ...]
    memo: dict[str, Any] = field(default_factory=dict)


class Alike(NamedTuple):
    """Features that are read with the same keys and have one type: numbers of view and feature, and names in the answer."""

    kind: ValueType
    decode: Decoder
    places: list[tuple[int, int]]
    names: list[str]


@dataclass(frozen=True, eq=False)
class Plan:
    """One request's reads: its inputs by role, the views by key, and what of the result is answered."""

    refs: tuple[str, ...]
    groups: tuple[KeyGroup, ...]
    kinds: Mapping[str, ValueType]
    join_keys: frozenset[str]
    entities: Mapping[str, str]
    request_data: frozenset[str]
    wanted: frozenset[str]
    on_demand: tuple[Any, ...]
    entityless: bool
    memo: dict[str, Any] = field(default_factory=dict)

    @cached_property
    def reads(self) -> list[ViewRead]:
        """All views, group by group."""
        return [read for group in self.groups for read in group.views]

    @cached_property
    def names(self) -> list[str]:
        """The features that are read, as they are called in the answer, in its order."""
        return [name for read in self.reads for name in read.outputs]

    @cached_property
    def alike(self) -> list[Alike]:
        """The features by keys and type."""
        found: dict[tuple[int, ValueType], Alike] = {}
        views = [(number, read) for number, group in enumerate(self.groups) for read in group.views]
        for view, (group, read) in enumerate(views):
            for place, (kind, name) in enumerate(zip(read.kinds, read.outputs, strict=True)):
                alike = found.setdefault((group, kind), Alike(kind, decoder(kind), [], []))
                alike.places.append((view, place))
                alike.names.append(name)
        return list(found.values())

    @cached_property
    def needed(self) -> list[str]:
        """Columns of the request by which views are read."""
        return list(dict.fromkeys(c for group in self.groups for c in group.columns if c != DUMMY))

    @cached_property
    def moments(self) -> frozenset[str]:
        """Columns of the request that are declared to be moments: join keys, and what on-demand views ask for."""
        asked = {n: kind for view in self.on_demand for n, kind in view.get_request_data_schema().items()}
        kinds = {**asked, **self.kinds}
        return frozenset(name for name, kind in kinds.items() if kind == ValueType.UNIX_TIMESTAMP)


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
        plan = made(_get_cached_request_context(registry, project, features, full_names), full_names)
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


def made(context: Context, full_names: bool) -> Plan:
    """The plan of a request from Feast's resolution of it."""
    refs, on_demand, entities, kinds, join_keys, grouped, wanted, request_data, entityless = context
    order = _order(refs)
    by_key: dict[tuple[tuple[str, ...], tuple[str, ...]], list[ViewRead]] = defaultdict(list)
    for view, features in grouped:
        true = sorted(entities[name] for name in view.entities)
        asked = tuple(view.projection.join_key_map.get(key, key) for key in true)
        by_key[tuple(true), asked].append(_read(view, features, order, full_names))
    groups = [
        KeyGroup(keys.prefix(true), asked, true, tuple(views)) for (true, asked), views in by_key.items()
    ]
    return Plan(
        refs=tuple(refs),
        groups=tuple(groups),
        kinds=kinds,
        join_keys=frozenset(join_keys),
        entities=entities,
        request_data=frozenset(request_data),
        wanted=frozenset(wanted),
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
    declared = {f.name: f.dtype.to_value_type() for f in view.features}
    places = {
        f: (order.get((name, f), len(order)), list(declared).index(f) if f in declared else 0)
        for f in features
    }
    chosen = tuple(sorted(features, key=lambda feature: (*places[feature], feature)))
    ttl = getattr(view, "ttl", None)
    return ViewRead(
        view=view,
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
