"""Where a fit keeps what it needs to go on, wherever that lies: a folder that all its workers see, or an object store."""

from typing import Any, Protocol, Self


class Content(Protocol):
    """What lies under a name."""

    @property
    def content(self) -> bytes: ...


class Checkpoints(Protocol):
    """The part of a storage that fits use; `resources.storage` has the real ones, and pickles them for other processes."""

    address: str
    """The folder's path, or the address of the object store."""

    def load_or_none(self, name: str) -> Content | None:
        """What lies under a name; None where nothing is."""
        ...

    def write(self, name: str, content: bytes) -> None:
        """Replace content whole: whoever reads it sees the old or the new, also after a crash."""
        ...

    def at(self, name: str) -> str:
        """Where polars and Arrow read this content."""
        ...

    def below(self, folder: str) -> Self:
        """The checkpoints of one fit."""
        ...

    def clear(self) -> None:
        """Remove all that is here."""
        ...

    def for_arrow(self) -> tuple[str, Any]:
        """The root as a path, and the file system of Arrow in which it lies (None: this machine's)."""
        ...


def name_in(address: str) -> str:
    """The name of a fit, from the address of its checkpoints."""
    return address.rstrip("/").rpartition("/")[2]


def for_ray(checkpoints: Checkpoints) -> dict[str, Any]:
    """What a run of Ray is told so that it keeps its own state among them."""
    path, system = checkpoints.for_arrow()
    folder, _, name = path.rpartition("/")
    return {"name": name, "storage_path": folder, "storage_filesystem": system}
