"""A moment that only moves forward, in a small file of its own that any process of the machine reads."""

from datetime import UTC, datetime
from pathlib import Path

from resources.lake import write_text
from resources.locks import file_lock
from resources.moments import read_moment


def moment_in(path: Path) -> datetime | None:
    """The moment that a file holds; None where there is no file."""
    return read_moment(path.read_text(encoding="utf-8").strip()) if path.exists() else None


def move_forward(path: Path, moment: datetime) -> bool:
    """Write a moment unless the file holds that one or a later one; whether it did. Safe for several processes at once."""
    with file_lock(path.with_name(f".{path.name}.lock")):
        before = moment_in(path)
        if before is not None and before >= moment:
            return False
        write_text(path, moment.astimezone(UTC).isoformat())
        return True
