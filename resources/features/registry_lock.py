"""Locks around Feast's registry, which Feast itself changes object by object, or as one file that it writes anew.

Whoever applies holds a name in the lake's storage: all that apply to a registry share the lake, on one machine or on
many. One name for all use cases, because they may share a database, or a registry file.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from resources.storage.addresses import storage_at
from resources.storage.locks import file_lock
from resources.storage.mirror import Mirror

APPLYING = "registry"
OPENING = ".opening.lock"


def registry_lock(lake_root: str) -> AbstractContextManager[None]:
    """Held while definitions are applied; not re-entrant. One whose holder was killed is free, at once or after its lease."""
    return storage_at(lake_root).locked(APPLYING)


@contextmanager
def opening(home: Path, shared: str = "") -> Iterator[None]:
    """Held while a registry is opened, which makes its tables where they are not there yet; `shared`: on any machine."""
    with Mirror(home, shared).locked(OPENING) if shared else file_lock(home / OPENING):
        yield
