"""What a registry was applied from: a hash of everything, and one for each service and view, beside the registry's file."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from resources.features import feature_repository
from resources.features.feature_repository import FeatureStoreError
from resources.features.registered_services import elsewhere, outdated
from resources.features.repository import Given
from resources.storage.mirror import Mirror

if TYPE_CHECKING:
    from feast import FeatureStore

LAKE = "lake"


@dataclass(frozen=True)
class Applied:
    """The marks of what was applied last of a repository, in the folder of the registry."""

    folder: Path
    repository: Given
    shared: str = ""
    """Where the marks lie for all machines, whose registry is a database of a server."""
    lake: str = ""
    """The root below which the files of the views' sources lie."""

    def looked(self) -> "Applied":
        """The marks, with what other machines wrote."""
        self._mirror.pull()
        return self

    def holds(self, digest: str) -> bool:
        """Whether the registry is there, and was last applied from definitions with this hash."""
        there = bool(self.shared) or (self.folder / "registry.db").exists()
        return there and self._whole.exists() and self._whole.read_text() == digest

    def write(self, digest: str) -> None:
        """Mark what the code defines now as applied."""
        self._put(self._parts, json.dumps(self._defined(), sort_keys=True))
        self._put(self._whole, digest)

    def begin(self) -> None:
        """Mark what changes as not applied, so that an apply that is killed half-way is neither believed nor skipped."""
        before = json.loads(self._parts.read_text()) if self._parts.exists() else {}
        now = self._defined()
        unchanged = {name: digest for name, digest in before.items() if now.get(name) == digest}
        self._put(self._parts, json.dumps({LAKE: "", **unchanged}, sort_keys=True))
        self._mirror.remove(self._whole.name)

    def is_elsewhere(self) -> bool:
        """Whether what was applied is what the code defines now, but for its files, which lie in another lake: the state was copied or moved.

        Not where machines share the registry: then one of them has a wrong address, and would change it for all.
        """
        if self.shared or not self._parts.exists():
            return False
        before, now = json.loads(self._parts.read_text()), self._defined()
        lake = before.pop(LAKE, None)
        return lake is not None and not _is_one_place(lake, now.pop(LAKE)) and before == now

    def refuse_outdated(self, kind: str, names: Iterable[str]) -> None:
        """Raise where the registry has something as it was before the code changed, or files of another lake.

        What an earlier release applied is taken.
        """
        if not self._parts.exists():
            return
        before, now = json.loads(self._parts.read_text()), self._defined()
        if (lake := before.get(LAKE)) is not None and not _is_one_place(lake, self.lake):
            raise FeatureStoreError(elsewhere(lake, self.lake))
        for name in names:
            if before.get(f"{kind} {name}") != now.get(f"{kind} {name}"):
                raise FeatureStoreError(outdated(kind, name))

    @property
    def complete(self) -> bool:
        """Whether it is known of each part what was applied, and over which lake; earlier releases marked less."""
        return self._parts.exists() and LAKE in json.loads(self._parts.read_text())

    @property
    def _mirror(self) -> Mirror:
        return Mirror(self.folder, self.shared)

    def _put(self, path: Path, text: str) -> None:
        self._mirror.put(path.name, text.encode())

    @property
    def _whole(self) -> Path:
        return self.folder / "applied.sha256"

    @property
    def _parts(self) -> Path:
        return self.folder / "applied.json"

    def _defined(self) -> dict[str, str]:
        """The lake, and by kind and name a hash of what decides the values of each service and view."""
        hashes = {LAKE: self.lake}
        for thing in feature_repository.definitions(self.repository):
            if feature_repository.kind(thing) == "FeatureService":
                hashes[f"feature service {thing.name}"] = feature_repository.content_hash(
                    thing, self.repository
                )
            elif feature_repository.kind(thing) == "FeatureView":
                hashes[f"feature view {thing.name}"] = feature_repository.view_hash(thing)
        return hashes


def _is_one_place(lake: str, other: str) -> bool:
    """Whether two roots of a lake are one, however its folder is written."""
    if "://" in lake or "://" in other or not lake:
        return lake == other
    return Path(lake).resolve() == Path(other).resolve()


def stale(store: "FeatureStore", objects: Iterable[Any]) -> list[Any]:
    """What is registered and no longer defined."""
    from feast.feature_view import DUMMY_ENTITY_NAME

    current = {(feature_repository.kind(thing), thing.name) for thing in objects} | {
        ("Entity", DUMMY_ENTITY_NAME)
    }
    there = (
        *store.list_feature_services(),
        *store.list_on_demand_feature_views(),
        *store.list_feature_views(),
        *store.list_entities(),
    )
    return [thing for thing in there if (feature_repository.kind(thing), thing.name) not in current]


def by_kind(objects: Iterable[Any]) -> dict[str, list[str]]:
    """Names of objects by their kind."""
    names: dict[str, list[str]] = {}
    for thing in objects:
        names.setdefault(feature_repository.kind(thing), []).append(thing.name)
    return names
