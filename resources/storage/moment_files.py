"""A moment that moves forward, and back only where the step there is taken back, in a small file of its own that any process reads."""

from datetime import UTC, datetime
from pathlib import Path

from resources.moments import read_moment
from resources.storage.durable import write_text
from resources.storage.locks import file_lock
from resources.storage.mirror import Mirror
from resources.storage.storage import Storage


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


def forward_for_all(mirror: Mirror, name: str, moment: datetime) -> bool:
    """Move the moment of a file forward on every machine that has the mirror; whether that was news here."""
    if mirror.address and (_held(mirror.storage, name) or moment) <= moment:
        mirror.storage.update(name, lambda held: _text(max(_read(held) or moment, moment)))
    moved = move_forward(mirror.folder / name, moment)
    mirror.note(name)
    return moved


def back_for_all(mirror: Mirror, name: str, moment: datetime, to: datetime | None) -> None:
    """The same backward, where the file holds `moment`."""
    if mirror.address and _held(mirror.storage, name) == moment:
        if to is None:
            mirror.storage.delete(name)
        else:
            mirror.storage.write(name, _text(to))
    if (mirror.folder / name).exists():
        move_back(mirror.folder / name, moment, to)


def _held(storage: Storage, name: str) -> datetime | None:
    stored = storage.load_or_none(name)
    return _read(stored.content if stored else None)


def _read(content: bytes | None) -> datetime | None:
    return read_moment(content.decode().strip()) if content else None


def _text(moment: datetime) -> bytes:
    return moment.astimezone(UTC).isoformat().encode()
