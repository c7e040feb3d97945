"""A folder of this machine that stands for a storage which other machines write too.

Who reads a folder goes on reading files; what is in it follows the storage, and what is put into it goes to the storage
first. A mirror without a storage is the folder alone, so that nobody has to know which of the two he works with.
"""

import contextlib
import json
from contextlib import AbstractContextManager
from pathlib import Path

from resources.storage.addresses import storage_at
from resources.storage.durable import remove, write_bytes
from resources.storage.errors import AbsentError
from resources.storage.locks import file_lock
from resources.storage.storage import Storage

KNOWN, LOCK = ".mirror.json", ".mirror.lock"
"""What of a folder came from the storage, each with its mark there; names with a dot are not mirrored."""


class Mirror:
    """One folder, and the storage at `address` that it follows; without an address, the folder alone."""

    def __init__(self, folder: Path | str, address: str = "") -> None:
        self.folder, self.address = Path(folder), address

    @property
    def storage(self) -> Storage:
        """Where the content lies for everybody."""
        return storage_at(self.address or self.folder)

    def pull(self) -> None:
        """Bring what others wrote into the folder, and take away what they removed; files that nobody put there stay.

        What lies deeper comes first, so that a record is never there before the file that it names.
        """
        if not self.address:
            return
        marks = self.storage.marks(deep=True)
        with file_lock(self.folder / LOCK):
            known = self._known()
            if marks == known and all((self.folder / name).exists() for name in marks):
                return
            for name in sorted(marks, key=lambda one: (-one.count("/"), one)):
                if known.get(name) != marks[name] or not (self.folder / name).exists():
                    self._take(name)
            for name in set(known) - set(marks):
                remove(self.folder / name)
            self._remember(marks)

    def put(self, name: str, content: bytes) -> Path:
        """Write for everybody, then here; where it lies here."""
        path = self.folder / name
        if self.address:
            self.storage.write(name, content)
        write_bytes(path, content)
        self.note(name)
        return path

    def note(self, name: str) -> None:
        """Remember that a file here lies in the storage too, so that it goes from here when somebody removes it there."""
        if not self.address:
            return
        with file_lock(self.folder / LOCK):
            known = self._known()
            if name not in known:
                self._remember({**known, name: ""})

    def remove(self, name: str) -> bool:
        """Remove for everybody, then here; whether anything was there."""
        there = bool(self.address) and self.storage.delete(name)
        return remove(self.folder / name) or there

    def locked(self, name: str) -> AbstractContextManager[None]:
        """Hold a name alone among all who have this mirror, on whichever machine."""
        return self.storage.locked(name)

    def _take(self, name: str) -> None:
        """One file from the storage; what is here already is left as it is, so that nobody sees a change in it."""
        with contextlib.suppress(AbsentError):
            content, path = self.storage.read(name), self.folder / name
            if not path.is_file() or path.read_bytes() != content:
                write_bytes(path, content)

    def _remember(self, marks: dict[str, str]) -> None:
        write_bytes(self.folder / KNOWN, json.dumps(marks, sort_keys=True).encode(), flush=False)

    def _known(self) -> dict[str, str]:
        try:
            return json.loads((self.folder / KNOWN).read_bytes())
        except (FileNotFoundError, ValueError):
            return {}


def ship(folder: Path, storage: Storage, before: set[str]) -> set[str]:
    """Bring the files of a folder that only this process writes to a storage, and take those away that it took away.

    `before` is what the last call returned, the empty set at first: then nothing is taken away.
    """
    marks = storage_at(folder).marks(deep=True)
    there = set(storage.names(deep=True)) if set(marks) - before else before
    for name in sorted(set(marks) - there):
        with contextlib.suppress(FileNotFoundError):
            storage.write(name, (folder / name).read_bytes())
    for name in sorted(before - set(marks)):
        storage.delete(name)
    return set(marks)
