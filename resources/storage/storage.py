"""What storage does, whatever holds it: a folder of this machine or a bucket of an object store.

Names are parts between slashes. Content is replaced whole, and a call that returns has been acknowledged: a reader
finds the old content or the new, and a killed process or a lost power supply takes nothing back.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple

from resources.storage.contained import below
from resources.storage.errors import AbsentError, ConflictError

if TYPE_CHECKING:
    from pyarrow.fs import FileSystem


@dataclass(frozen=True)
class Stored:
    """Content with its stamp: two stored under one name that have the same stamp have the same content."""

    content: bytes
    stamp: str


class Entry(NamedTuple):
    """What a listing says of a name: its bytes, and a mark that is another one after any write of other content."""

    size: int
    mark: str


class Storage(ABC):
    """One tree of names; `address` is its root, as `storage_at` takes it."""

    address: str

    @abstractmethod
    def load(self, name: str) -> Stored:
        """Content and stamp; raises AbsentError where nothing is."""

    @abstractmethod
    def write(self, name: str, content: bytes, flush: bool = True) -> None:
        """Replace content whole, whatever is there; without `flush` a power cut may undo it."""

    @abstractmethod
    def put_if_absent(self, name: str, content: bytes) -> str:
        """Write what must not be there yet, and return its stamp; raises ConflictError where something is."""

    @abstractmethod
    def put_if_unchanged(self, name: str, content: bytes, stamp: str) -> str:
        """Replace what still has this stamp, and return the new one; raises ConflictError where it has not."""

    @abstractmethod
    def stamp(self, name: str) -> str | None:
        """The stamp of what is there now; None where nothing is."""

    @abstractmethod
    def size(self, name: str) -> int | None:
        """Bytes of what is there now; None where nothing is."""

    @abstractmethod
    def changed(self, name: str) -> datetime:
        """When content was written, by the clock of whoever holds it; raises AbsentError where nothing is."""

    @abstractmethod
    def names(self, folder: str = "", ending: str = "", deep: bool = False) -> list[str]:
        """Names in a folder ("": the root), sorted, whole from the root on; `deep`: in those below it, too.

        Names that begin with a dot are storage's own, and are not listed.
        """

    @abstractmethod
    def entries(self, folder: str = "", ending: str = "", deep: bool = False) -> dict[str, Entry]:
        """What `names` lists, each with its size and a mark; it costs one listing, as no content is read."""

    def marks(self, folder: str = "", ending: str = "", deep: bool = False) -> dict[str, str]:
        """Names in a folder as `names` lists them, each with a mark that is another one after any write of other content."""
        return {name: entry.mark for name, entry in self.entries(folder, ending, deep).items()}

    def folder_mark(self, folder: str) -> str | None:
        """A mark that is another one after anything was written to or removed from a folder, told without listing it.

        None where the storage has none, or where a write of this moment could leave it as it is.
        """
        return None

    @abstractmethod
    def delete(self, name: str) -> bool:
        """Remove for good; whether anything was there."""

    @abstractmethod
    def clear(self) -> None:
        """Remove all that is here, storage's own names too; what others write meanwhile may stay."""

    @abstractmethod
    def keep(self, source: str, target: str) -> None:
        """Store content under a second name that outlives the first; a target that is there is taken to hold it.

        Raises AbsentError where there is no source.
        """

    @abstractmethod
    def locked(self, name: str, wait: bool = True) -> AbstractContextManager[None]:
        """Hold a name alone, among all who take it through this method; not re-entrant.

        With `wait` off, LeaseHeldError at once where another has it.
        """

    @abstractmethod
    def sweep(self) -> int:
        """Remove what killed processes left half-written, and return how much that was."""

    @abstractmethod
    def at(self, name: str) -> str:
        """Where another program reads this content: a path, or an address of the object store."""

    @abstractmethod
    def for_arrow(self) -> tuple[str, "FileSystem | None"]:
        """The root as a path, and the file system of Arrow in which it lies (None: this machine's), for libraries that write by themselves."""

    @abstractmethod
    def below(self, folder: str) -> "Storage":
        """The tree below one folder."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Storage) and self.address == other.address

    def __hash__(self) -> int:
        return hash(self.address)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.address!r})"

    def read(self, name: str) -> bytes:
        """Content; raises AbsentError where nothing is."""
        return self.load(name).content

    def exists(self, name: str) -> bool:
        """Whether anything is stored under a name."""
        return self.size(name) is not None

    def load_or_none(self, name: str) -> Stored | None:
        """Content and stamp; None where nothing is."""
        try:
            return self.load(name)
        except AbsentError:
            return None

    def put(self, name: str, content: bytes, before: Stored | None) -> str:
        """Write over exactly what was loaded before (None: nothing); raises ConflictError where that has changed."""
        if before is None:
            return self.put_if_absent(name, content)
        return self.put_if_unchanged(name, content, before.stamp)

    def update(self, name: str, change: Callable[[bytes | None], bytes], tries: int = 100) -> bytes:
        """Replace content by what `change` makes of it (None: nothing is there), as if nobody else wrote meanwhile.

        `change` is called again where somebody did. Raises ConflictError after so many tries.
        """
        import tenacity

        def attempt() -> bytes:
            before = self.load_or_none(name)
            after = change(before.content if before else None)
            self.put(name, after, before)
            return after

        return tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(ConflictError),
            wait=tenacity.wait_random_exponential(multiplier=0.01, max=1),
            stop=tenacity.stop_after_attempt(tries),
            reraise=True,
        )(attempt)


def plain(name: str, root: str) -> str:
    """A name as it is, checked: raises OutsideError where a part is empty, `.` or `..`, or leads elsewhere."""
    below(root, name)
    return name


def listed(names: Sequence[str], ending: str) -> list[str]:
    """Those with this ending, sorted, without what is storage's own."""
    return sorted(n for n in names if n.endswith(ending) and not n.startswith(".") and "/." not in n)
