"""A moment that moves forward, and back only where the step there is taken back, in a small file of its own that any process of the machine reads."""

from datetime import UTC, datetime
from pathlib import Path

from resources.moments import read_moment
from resources.storage.durable import write_text
from resources.storage.locks import file_lock


def moment_in(path: Path) -> datetime | None:
    """The moment that a file holds; None where there is no file."""
    return read_moment(path.read_text(encoding="utf-8").strip()) if path.exists() else None


def move_back(path: Path, moment: datetime, to: datetime | None) -> None:
    """Where a file holds a moment, write the one before it, or remove the file for None; another moment stays."""
    with file_lock(path.with_name(f".{path.name}.lock")):
        if moment_in(path) != moment:
            return
        if to is None:
            path.unlink()
        else:
            write_text(path, to.astimezone(UTC).isoformat())


def move_forward(path: Path, moment: datetime) -> bool:
    """Write a moment unless the file holds that one or a later one; whether it did. Safe for several processes at once."""
    with file_lock(path.with_name(f".{path.name}.lock")):
        before = moment_in(path)
        if before is not None and before >= moment:
            return False
        write_text(path, moment.astimezone(UTC).isoformat())
        return True
