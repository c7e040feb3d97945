"""From an address to its storage: a path is a folder of this machine, `s3://bucket/prefix` an object store."""

from pathlib import Path

from resources.storage.local import LocalStorage
from resources.storage.storage import Storage


def storage_at(address: str | Path) -> Storage:
    """The storage with its root there; raises AddressError for an address of another kind."""
    text = str(address)
    if text.startswith("s3://"):
        from resources.storage.object_store import object_storage

        return object_storage(text)
    if "://" in text:
        from resources.storage.errors import AddressError

        raise AddressError(f"{text!r} is no storage that is known: give a folder, or s3://bucket/prefix")
    return LocalStorage(text)
