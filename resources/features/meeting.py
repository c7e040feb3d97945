"""Names that a package and a description may not both give to different things."""

from collections.abc import Iterable
from dataclasses import dataclass

from feature_repo.declared.description import placed
from resources.features.errors import FeatureStoreError
from resources.features.repository import Repository


@dataclass(frozen=True)
class Defined:
    """A package's object: its kind and name, where it is made, and of an entity its join key and the key's type."""

    kind: str
    name: str
    place: str
    key: tuple[str, str] | None = None


def refuse_meeting(repository: Repository, defined: Iterable[Defined]) -> None:
    """Raise FeatureStoreError where a package and a description give one name to different things."""
    keys = repository.declared.entities()
    said = {("feature view", view.name.lower()): view for view in repository.declared.views}
    said |= {("feature service", one.name.lower()): one for one in repository.declared.services}
    for thing in defined:
        what = "feature service" if thing.kind == "FeatureService" else "feature view"
        other = said.get((what, thing.name.lower())) if thing.kind != "Entity" else None
        if other is not None:
            raise FeatureStoreError(
                f"{what} {thing.name!r} is defined in {thing.place} and {placed(other)} is described as well: rename "
                "one of them, or leave one out"
            )
        key = keys.get(thing.name) if thing.kind == "Entity" else None
        if key is not None and thing.key != (key.name, key.type):
            column, type_ = thing.key or ("", "")
            raise FeatureStoreError(
                f"entity {thing.name!r} is defined in {thing.place} with the join key {column!r} of type {type_}, and "
                f"described as the key {key.name!r} of type {key.type}: give them one name and type, or two names"
            )
