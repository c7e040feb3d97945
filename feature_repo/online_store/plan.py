"""What a request for online features reads, and what is found: the part that stores, Feast and an endpoint without it share."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

from .codec.decoding import Cells, Decoder, decoder
from .codec.kinds import ValueType

DUMMY = "__dummy_id"


@dataclass(frozen=True, eq=False)
class ViewRead:
    """The features of one view that are read, with their types and their names in the answer.

    `declared` has the types of all features of the view; `view` is Feast's object, or whatever a store finds the view by.
    """

    view: Any
    features: tuple[str, ...]
    kinds: tuple[ValueType, ...]
    outputs: tuple[str, ...]
    lives: int
    declared: Mapping[str, ValueType]

    @property
    def title(self) -> str:
        """The view's name in an answer's metadata."""
        return self.view.projection.name_alias or self.view.projection.name


@dataclass(slots=True, eq=False)
class StoredCells:
    """Of one view, for each key asked for: event time in microseconds (None: not stored), and each feature's bytes.

    Where the store keeps values in a form of its own, it gives each feature's `values` as well.
    """

    times: Sequence[int | None]
    cells: Sequence[Cells]
    values: Sequence[list[Any]] | None = None


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
    answered_names: frozenset[str]
    on_demand: tuple[Any, ...]
    entityless: bool
    memo: dict[Any, Any] = field(default_factory=dict)

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
        groups: dict[tuple[int, ValueType], Alike] = {}
        views = [(number, read) for number, group in enumerate(self.groups) for read in group.views]
        for view, (group, read) in enumerate(views):
            for place, (kind, name) in enumerate(zip(read.kinds, read.outputs, strict=True)):
                alike = groups.setdefault((group, kind), Alike(kind, decoder(kind), [], []))
                alike.places.append((view, place))
                alike.names.append(name)
        return list(groups.values())

    @cached_property
    def needed(self) -> list[str]:
        """Columns of the request by which views are read."""
        return list(dict.fromkeys(c for group in self.groups for c in group.columns if c != DUMMY))

    @cached_property
    def only_keys(self) -> frozenset[str]:
        """The columns by which views are read, where a request needs no others and none has to be looked at; else nothing."""
        plain = not self.request_data and not self.moments and {*self.needed} <= self.kinds.keys()
        return frozenset(self.needed) if plain else frozenset()

    @cached_property
    def moments(self) -> frozenset[str]:
        """Columns of the request that are declared to be moments: join keys, and what on-demand views ask for."""
        request_kinds = {
            n: kind for view in self.on_demand for n, kind in view.get_request_data_schema().items()
        }
        kinds = {**request_kinds, **self.kinds}
        return frozenset(name for name, kind in kinds.items() if kind == ValueType.UNIX_TIMESTAMP)
