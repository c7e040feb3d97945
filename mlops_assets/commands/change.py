"""One thing that a migration changes, and where the original of what it changes goes."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from resources.storage.durable import write_bytes

ASIDE = "migrated"
"""Folder of the state in which the originals of changed files lie, under their own paths and the start of their hash."""


@dataclass(frozen=True)
class Change:
    """What is of an earlier release: what is done to it, in words, where its original is put (None: it is moved as it is),
    the doing, and how many files that are."""

    what: str
    aside: str | None
    apply: Callable[[], None]
    files: int = 1


def put_aside(home: Path, name: str, original: bytes) -> None:
    """Keep the original of a file of the state, unless it is kept already."""
    mark = hashlib.sha256(original).hexdigest()[:12]
    path = Path(name)
    aside = home / ASIDE / path.with_name(f"{path.name}.{mark}")
    if not aside.exists():
        write_bytes(aside, original)
