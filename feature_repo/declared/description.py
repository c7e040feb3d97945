"""Feature views and services as plain data: names, keys, types, lives, and where the rows lie.

No Feast: a description is read, checked and compared in no time. `objects.py` makes Feast's objects of it. What is
described is checked as a whole, so that a clash names both places.
"""

from collections.abc import Iterable, Sequence
from typing import Annotated, Any, Literal

import pydantic
from pydantic import AfterValidator, Field

EVENT = "event_timestamp"
OURS = frozenset({EVENT, "created", "content_known_at"})
"""Columns of a feature table that are neither key nor feature."""

KeyType = Literal["Bool", "Int32", "Int64", "String", "UnixTimestamp"]
FeatureType = Literal["Bool", "Int32", "Int64", "Float32", "Float64", "String", "UnixTimestamp"]


def _name(value: str) -> str:
    """Feast builds field names from these with `:` and `__` between them."""
    if not value.isidentifier() or value.startswith("_") or "__" in value:
        raise ValueError(f"{value!r} is no name: give a letter, then letters, digits and single underscores")
    return value


def _column(value: str) -> str:
    if value in OURS:
        raise ValueError(f"{value!r} is a column that every feature table has: rename the one of your own")
    return value


Name = Annotated[str, AfterValidator(_name)]
Column = Annotated[Name, AfterValidator(_column)]


class _Said(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(frozen=True, extra="forbid")


class Key(_Said):
    """A column by which rows are found; it is also the entity of that name."""

    name: Column
    type: KeyType
    description: str = ""


class Feature(_Said):
    """A column of values."""

    name: Column
    type: FeatureType
    description: str = ""
    unit: str = ""


class View(_Said):
    """A feature view: the rows in `source` (a path with `*` below the lake), each valid for `ttl_seconds` (0: for ever).

    `created` is the column that decides between two rows of one moment. `place` says where somebody wrote it down.
    """

    name: Name
    keys: tuple[Key, ...] = Field(min_length=1)
    features: tuple[Feature, ...] = Field(min_length=1)
    source: str
    ttl_seconds: Annotated[float, Field(ge=0)] = 0
    time: str = EVENT
    created: str = ""
    description: str = ""
    owner: str = ""
    tags: tuple[tuple[str, str], ...] = ()
    place: str = Field(default="", exclude=True)

    @pydantic.model_validator(mode="after")
    def _has_each_column_once(self) -> "View":
        names = [one.name for one in (*self.keys, *self.features)]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"view {self.name!r} has {', '.join(twice)} twice among its keys and features")
        return self


class Chosen(_Said):
    """A view of which a service takes some features, in this order; None: all."""

    view: Name
    features: tuple[Name, ...] | None = None


class Service(_Said):
    """A feature service: the features of a model; none where each request brings all that the model is given."""

    name: Name
    features: tuple[Chosen, ...] = ()
    description: str = ""
    owner: str = ""
    place: str = Field(default="", exclude=True)


class Declared(_Said):
    """All views and services of one business that are described; entities follow from the keys of the views."""

    views: tuple[View, ...] = ()
    services: tuple[Service, ...] = ()

    @pydantic.model_validator(mode="after")
    def _names_do_not_meet(self) -> "Declared":
        refuse_twice("feature view", self.views)
        refuse_twice("feature service", self.services)
        self.entities()
        return self

    def entities(self) -> dict[str, Key]:
        """Every key by name; raises ValueError where two views give one different types."""
        entities: dict[str, tuple[Key, View]] = {}
        for view in self.views:
            for key in view.keys:
                other, of = entities.setdefault(key.name, (key, view))
                if other.type != key.type:
                    raise ValueError(
                        f"key {key.name!r} is {other.type} in view {placed(of)} and {key.type} in view {placed(view)}: "
                        "give it one type, or one of the two another name"
                    )
                entities[key.name] = (other if other.description else key), of
        return {name: key for name, (key, _) in entities.items()}


def placed(thing: Any) -> str:
    """The name of something described, with its place where that is known."""
    return f"{thing.name!r} ({thing.place})" if thing.place else repr(thing.name)


def refuse_twice(kind: str, things: Iterable[Any]) -> None:
    """Raise ValueError for two things of one name; Feast takes capitals for the same."""
    seen: dict[str, Any] = {}
    for thing in things:
        other = seen.setdefault(thing.name.lower(), thing)
        if other is not thing:
            raise ValueError(
                f"{kind} {placed(other)} and {kind} {placed(thing)} have one name: rename one of them"
            )


def chosen(texts: Sequence[str]) -> tuple[Chosen, ...]:
    """What `view` and `view:feature` mean, each view once, where it is named first; raises ValueError with the rule."""
    features_by_view: dict[str, list[str] | None] = {}
    for text in texts:
        view, colon, feature = text.partition(":")
        if not view or (colon and not feature) or ":" in feature:
            raise ValueError(f"{text!r} names no feature: give `view`, or `view:feature`")
        before = features_by_view.get(view, [])
        if before is None or feature in before or (view in features_by_view and not colon):
            raise ValueError(f"{text!r} is chosen twice: name the whole view, or each of its features once")
        features_by_view[view] = [*before, feature] if colon else None
    return tuple(
        Chosen(view=view, features=None if names is None else tuple(names))
        for view, names in features_by_view.items()
    )
