"""Files that somebody else writes, named by a path, an address of a bucket, or a pattern of either; only ever read."""

import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from glob import glob, has_magic
from pathlib import Path

from resources.storage.errors import AddressError
from resources.storage.object_store import BUCKETS, object_storage
from resources.storage.storage import Entry

_LISTED: ContextVar[dict[str, list["ForeignFile"]] | None] = ContextVar("listed", default=None)


@dataclass(frozen=True)
class ForeignFile:
    """One file by its address; of two with an equal `state`, nobody has written in between."""

    address: str
    state: tuple[str | int, ...]

    @property
    def remote(self) -> bool:
        """Whether it lies in an object store."""
        return self.address.startswith(BUCKETS)

    @property
    def size(self) -> int:
        """Its bytes; not of one whose state was not asked for."""
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


@contextmanager
def listed_once() -> Iterator[None]:
    """Within it an address names what it named when it was first asked for: many looks at one moment cost one listing."""
    token = _LISTED.set({})
    try:
        yield
    finally:
        _LISTED.reset(token)


def files_at(address: str, unread: Callable[[str], bool] | None = None) -> list[ForeignFile]:
    """The files that an address or a pattern names, sorted; none where nothing is there.

    `*` and `?` stay within a folder, `**` goes below it. The state of an `unread` file of this machine is not asked for:
    its name alone stands for it. Raises AddressError for an address of another kind, and StorageError where an object
    store does not answer.
    """
    remote = address.startswith(BUCKETS)
    if "://" in address and not remote:
        raise AddressError(
            f"{address!r} is no file that is known: give a path, or s3://, gs:// or az://bucket/key"
        )
    if unread and not remote:
        return list(_local(address, unread))
    listed = _LISTED.get()
    if listed is not None and address in listed:
        return listed[address]
    files = list(_objects(address) if remote else _local(address))
    if listed is not None:
        listed[address] = files
    return files


def _local(address: str, unread: Callable[[str], bool] | None = None) -> Iterator[ForeignFile]:
    literal = os.path.lexists(address) or not has_magic(address)
    paths = [address] if literal else sorted(glob(address, recursive=True))  # noqa: PTH207
    for path in paths:
        if address.endswith("**") and Path(path).is_dir():
            continue
        if unread and unread(path):
            yield ForeignFile(path, (path,))
            continue
        try:
            state = os.stat(path)  # noqa: PTH116 (a source may have thousands of files, and Path costs twice as much)
        except FileNotFoundError:
            continue
        yield ForeignFile(path, (path, state.st_size, state.st_mtime_ns, state.st_ino))


def _objects(address: str) -> Iterator[ForeignFile]:
    scheme = next(one for one in BUCKETS if address.startswith(one))
    bucket, _, key = address.removeprefix(scheme).partition("/")
    parts = key.split("/")
    fixed = next((n for n, part in enumerate(parts) if has_magic(part)), len(parts) - 1)
    storage = object_storage(scheme + "/".join([bucket, *parts[:fixed]]))
    rest = "/".join(parts[fixed:])
    if has_magic(rest):
        matches = _pattern(rest)
        entries = {name: one for name, one in storage.entries(deep=True).items() if matches.fullmatch(name)}
    else:
        size = storage.size(rest) if rest else None
        entries = {} if size is None else {rest: Entry(size, storage.stamp(rest) or "")}
    yield from (ForeignFile(at := storage.at(name), (at, *entry)) for name, entry in entries.items())


def _pattern(text: str) -> re.Pattern[str]:
    """A pattern as the shell means it: a star does not cross a slash, two stars do."""
    signs = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    tokens = re.split(r"(\*\*/|\*\*|\*|\?|\[[^]/]+\])", text)
    return re.compile("".join(signs.get(token) or _literal_or_set(token) for token in tokens), re.DOTALL)


def _literal_or_set(token: str) -> str:
    if token.startswith("[") and token.endswith("]"):
        return token.replace("[!", "[^", 1).replace("\\", "\\\\")
    return re.escape(token)


def _read(address: str) -> bytes:
    folder, _, name = address.rpartition("/")
    return object_storage(folder).read(name)
