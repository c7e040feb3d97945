"""Files that somebody else writes, named by a path, an `s3://` address, or a pattern of either; only ever read."""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from glob import glob, has_magic
from pathlib import Path

from resources.storage.addresses import storage_at
from resources.storage.errors import AddressError
from resources.storage.storage import Storage

S3 = "s3://"


@dataclass(frozen=True)
class ForeignFile:
    """One file by its address; of two with an equal `state`, nobody has written in between."""

    address: str
    state: tuple[str | int, ...]

    @property
    def remote(self) -> bool:
        """Whether it lies in an object store."""
        return self.address.startswith(S3)

    @property
    def size(self) -> int:
        """Its bytes."""
        return int(self.state[1])

    @property
    def is_folder(self) -> bool:
        """Whether it is no file but a folder."""
        return not self.remote and Path(self.address).is_dir()

    def content(self) -> bytes:
        """All of it; raises OSError or StorageError where it cannot be read."""
        return _read(self.address) if self.remote else Path(self.address).read_bytes()

    def ends(self, count: int) -> tuple[bytes, bytes]:
        """Its first and last bytes, so many each; of an object, all of it is read."""
        if self.remote:
            content = self.content()
            return content[:count], content[-count:]
        with Path(self.address).open("rb") as file:
            first = file.read(count)
            file.seek(max(0, os.fstat(file.fileno()).st_size - count))
            return first, file.read(count)


def files_at(address: str) -> list[ForeignFile]:
    """The files that an address or a pattern names, sorted; none where nothing is there.

    `*` and `?` stay within a folder, `**` goes below it. Raises AddressError for an address of another kind, and
    StorageError where an object store does not answer.
    """
    if address.startswith(S3):
        return list(_objects(address))
    if "://" in address:
        raise AddressError(f"{address!r} is no file that is known: give a path, or s3://bucket/key")
    return list(_local(address))


def _local(address: str) -> Iterator[ForeignFile]:
    literal = os.path.lexists(address) or not has_magic(address)
    found = [address] if literal else sorted(glob(address, recursive=True))  # noqa: PTH207
    for path in found:
        if address.endswith("**") and Path(path).is_dir():
            continue
        try:
            state = os.stat(path)  # noqa: PTH116 (a source may have thousands of files, and Path costs twice as much)
        except FileNotFoundError:
            continue
        yield ForeignFile(path, (path, state.st_size, state.st_mtime_ns, state.st_ino))


def _objects(address: str) -> Iterator[ForeignFile]:
    bucket, _, key = address.removeprefix(S3).partition("/")
    parts = key.split("/")
    fixed = next((n for n, part in enumerate(parts) if has_magic(part)), len(parts) - 1)
    storage = storage_at(S3 + "/".join([bucket, *parts[:fixed]]))
    wanted = "/".join(parts[fixed:])
    if not has_magic(wanted):
        names = [wanted] if wanted and storage.exists(wanted) else []
    else:
        matches = _pattern(wanted)
        names = [name for name in storage.names(deep=True) if matches.fullmatch(name)]
    yield from (ForeignFile(storage.at(name), _state(storage, name)) for name in names)


def _state(storage: Storage, name: str) -> tuple[str | int, ...]:
    return storage.at(name), storage.size(name) or 0, storage.stamp(name) or ""


def _pattern(wanted: str) -> re.Pattern[str]:
    """A pattern as the shell means it: a star does not cross a slash, two stars do."""
    signs = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    tokens = re.split(r"(\*\*/|\*\*|\*|\?|\[[^]/]+\])", wanted)
    return re.compile("".join(signs.get(token) or _literal_or_set(token) for token in tokens), re.DOTALL)


def _literal_or_set(token: str) -> str:
    if token.startswith("[") and token.endswith("]"):
        return token.replace("[!", "[^", 1).replace("\\", "\\\\")
    return re.escape(token)


def _read(address: str) -> bytes:
    folder, _, name = address.rpartition("/")
    return storage_at(folder).read(name)
