"""The file beside a use case's registry that tells an endpoint what to read: written when definitions are applied, by whoever has Feast.

It holds for the code and the registry that it was made of, of both of which it has a hash.
"""

import hashlib
from pathlib import Path

import pydantic

from resources.features.errors import FeatureStoreError
from resources.features.modules import files_of, folder_of
from resources.features.planned_service import PlannedStore
from resources.features.repository import Given, Repository
from resources.storage.mirror import Mirror

NAME = "serving.json"
APPLIED = "applied.sha256"
FORMAT = 1


class PlannedFile:
    """The file in the folder of one registry."""

    def __init__(self, home: Path, repository: Given, shared: str = "") -> None:
        self._mirror = Mirror(home, shared)
        self.path, self._marker, self._repository = home / NAME, home / APPLIED, Repository.of(repository)

    def registry(self) -> str:
        """The hash of what was applied last; "" while something is being applied, and before."""
        try:
            return self._marker.read_text(encoding="utf-8")
        except FileNotFoundError:
            return ""

    def read(self) -> PlannedStore | None:
        """What the file says, where it is of this code and of the registry as it is; None where it is missing or stale.

        While something is being applied it is that of the registry before.
        """
        stored, registry = self._content(), self.registry()
        if stored is None or stored.code != code_hash(self._repository):
            return None
        return stored if registry in ("", stored.registry) else None

    def write(self, store: PlannedStore) -> None:
        """Replace the file whole."""
        self._mirror.put(NAME, store.model_dump_json(indent=1).encode())

    def mark(self) -> tuple[int, int] | None:
        """What changes when the file is written anew; None where there is none."""
        try:
            stat = self.path.stat()
        except FileNotFoundError:
            return None
        return stat.st_mtime_ns, stat.st_ino

    def _content(self) -> PlannedStore | None:
        try:
            stored = PlannedStore.model_validate_json(self.path.read_bytes())
        except (FileNotFoundError, pydantic.ValidationError):
            return None
        return stored if stored.format == FORMAT else None


def code_hash(repository: Given) -> str:
    """A hash of the code and the description of a repository."""
    given = Repository.of(repository)
    digest = hashlib.sha256(given.model_dump_json().encode())
    try:
        files = files_of(given.package) if given.package else []
        root = folder_of(given.package) if files else Path()
    except ImportError as error:
        raise FeatureStoreError(f"the feature repository {error}") from error
    for path in files:
        digest.update(f"{path.relative_to(root)}\0".encode() + path.read_bytes() + b"\0")
    return digest.hexdigest()
