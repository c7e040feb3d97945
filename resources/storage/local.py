"""Storage in a folder of this machine: files, hard links, and locks of the kernel, freed when their holder dies."""

import hashlib
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from resources.storage import durable
from resources.storage.contained import below
from resources.storage.errors import AbsentError, ConflictError
from resources.storage.locks import file_lock
from resources.storage.storage import Entry, Storage, Stored, listed

LOCKS = ".locks"
STEADY_S = 2.0
"""How old a folder's time must be to be told from that of the next write: clocks of file systems count in steps."""


class LocalStorage(Storage):
    """A folder; one that does not exist is made by the first write."""

    def __init__(self, folder: Path | str, root: Path | None = None) -> None:
        self.folder = Path(folder)
        self.address = str(self.folder)
        self._root = root or self.folder

    def load(self, name: str) -> Stored:
        try:
            content = self._path(name).read_bytes()
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            raise AbsentError(f"{self.at(name)} is not there") from None
        return Stored(content, _stamp(content))

    def read(self, name: str) -> bytes:
        try:
            return self._path(name).read_bytes()
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            raise AbsentError(f"{self.at(name)} is not there") from None

    def write(self, name: str, content: bytes, flush: bool = True) -> None:
        with self._alone(name):
            durable.write_bytes(self._path(name), content, flush)

    def put_if_absent(self, name: str, content: bytes) -> str:
        try:
            durable.create_bytes(self._path(name), content)
        except FileExistsError:
            raise ConflictError(f"{self.at(name)} is there already: nothing was written") from None
        return _stamp(content)

    def put_if_unchanged(self, name: str, content: bytes, stamp: str) -> str:
        with self._alone(name):
            if self.stamp(name) != stamp:
                raise ConflictError(
                    f"{self.at(name)} has changed meanwhile: read it again; nothing was written"
                )
            durable.write_bytes(self._path(name), content)
        return _stamp(content)

    def stamp(self, name: str) -> str | None:
        stored = self.load_or_none(name)
        return stored.stamp if stored else None

    def size(self, name: str) -> int | None:
        path = self._path(name)
        try:
            return path.stat().st_size if path.is_file() else None
        except FileNotFoundError:
            return None

    def changed(self, name: str) -> datetime:
        try:
            return datetime.fromtimestamp(self._path(name).stat().st_mtime, UTC)
        except FileNotFoundError:
            raise AbsentError(f"{self.at(name)} is not there") from None

    def names(self, folder: str = "", ending: str = "", deep: bool = False) -> list[str]:
        top = self._path(folder) if folder else self.folder
        if not deep:
            files = [entry.name for entry in _entries(top) if entry.is_file()]
            return listed([f"{folder}/{name}" if folder else name for name in files], ending)
        paths = [path.relative_to(self.folder).as_posix() for path in top.rglob("*") if path.is_file()]
        return listed(paths, ending)

    def entries(self, folder: str = "", ending: str = "", deep: bool = False) -> dict[str, Entry]:
        names = self.names(folder, ending, deep)
        return {name: entry for name in names if (entry := _entry(f"{self.folder}/{name}"))}

    def folder_mark(self, folder: str) -> str | None:
        """A folder's own time: every write puts a name into it. One as new as this moment may stay for the next write."""
        try:
            state = self._path(folder).stat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        return f"{state.st_mtime_ns}-{state.st_ino}" if time.time() - state.st_mtime > STEADY_S else None

    def delete(self, name: str) -> bool:
        with self._alone(name):
            return durable.remove(self._path(name))

    def clear(self) -> None:
        durable.remove_folder(self.folder)

    def keep(self, source: str, target: str) -> None:
        try:
            durable.link(self._path(source), self._path(target))
        except FileNotFoundError:
            raise AbsentError(f"{self.at(source)} is not there") from None

    @contextmanager
    def locked(self, name: str, wait: bool = True) -> Iterator[None]:
        path = self._path(name)
        with file_lock(path.with_name(f".{path.name}.lock"), wait):
            yield

    def sweep(self) -> int:
        return durable.sweep(self.folder)

    def at(self, name: str) -> str:
        return str(self._path(name))

    def for_arrow(self) -> tuple[str, None]:
        return str(self.folder.absolute()), None

    def below(self, folder: str) -> "LocalStorage":
        return LocalStorage(self._path(folder), self._root)

    def _path(self, name: str) -> Path:
        return below(self.folder, name)

    @contextmanager
    def _alone(self, name: str) -> Iterator[None]:
        """Keep others from changing a name between a look at it and its change; a few names share a lock."""
        number = _stamp(self._path(name).relative_to(self._root).as_posix().encode())[:2]
        with file_lock(self._root / LOCKS / number):
            yield


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except (FileNotFoundError, NotADirectoryError):
        return []


def _entry(path: str) -> Entry | None:
    """Size, and when a file was written and which file it is: a write makes another one. None for one that is gone."""
    try:
        state = os.stat(path)  # noqa: PTH116 (a folder may have thousands of files, and Path costs twice as much)
    except FileNotFoundError:
        return None
    return Entry(state.st_size, f"{state.st_mtime_ns}-{state.st_ino}-{state.st_size}")


def _stamp(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
