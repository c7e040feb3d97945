"""Storage in a bucket of an object store: whole objects, put with If-None-Match and If-Match where it speaks S3.

Buckets of Google's and containers of Azure's are read by the same calls; state is not kept there.
"""

import os
import socket
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from resources.addresses import shown
from resources.storage.errors import (
    AbsentError,
    AddressError,
    ConflictError,
    StorageError,
    UnreachableError,
)
from resources.storage.lease import leased
from resources.storage.storage import Entry, Storage, Stored, listed, plain

if TYPE_CHECKING:
    from obstore.store import AzureStore, GCSStore, S3Store
    from pyarrow.fs import FileSystem

    Client = S3Store | GCSStore | AzureStore

SCHEME = "s3://"
BUCKETS = (SCHEME, "gs://", "az://")
"""How the address of an object store begins; of az:// the first part is a container of AZURE_STORAGE_ACCOUNT_NAME."""

ENDPOINTS = {
    SCHEME: ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"),
    "gs://": ("GOOGLE_BASE_URL",),
    "az://": ("AZURITE_BLOB_STORAGE_URL", "AZURE_STORAGE_ENDPOINT"),
}
DECIDES = (
    "GOOGLE_SERVICE_ACCOUNT",
    "GOOGLE_APPLICATION_CREDENTIALS",
    "AZURE_STORAGE_ACCOUNT_NAME",
    "AZURE_STORAGE_SAS_TOKEN",
)
"""Variables that another client is made for, beside the endpoint's."""

WRITER = "mlops-put"
"""Metadata of a conditional put: tells one's own put, repeated after its answer got lost, from another's."""

LOCK_S = 30.0
"""How long a lock outlives a process that was killed."""


class ObjectStorage(Storage):
    """The objects of a bucket under one prefix; keys, region and endpoint come from the cloud's own variables."""

    def __init__(self, bucket: str, prefix: str, client: "Client", scheme: str = SCHEME) -> None:
        self.bucket, self.prefix, self._store, self._scheme = bucket, prefix.strip("/"), client, scheme
        self.address = f"{scheme}{bucket}/{self.prefix}".rstrip("/")

    def __reduce__(self) -> tuple[Any, ...]:
        """In another process it has that one's client, with the keys of its environment."""
        return object_storage, (self.address,)

    def load(self, name: str) -> Stored:
        import obstore

        with self._answered(name):
            result = obstore.get(self._store, self._key(name))
            return Stored(bytes(result.bytes()), _stamp(result.meta))

    def write(self, name: str, content: bytes, flush: bool = True) -> None:
        self._put(name, content, "overwrite", None)

    def put_if_absent(self, name: str, content: bytes) -> str:
        return self._conditional(name, content, "create")

    def put_if_unchanged(self, name: str, content: bytes, stamp: str) -> str:
        return self._conditional(name, content, {"e_tag": stamp})

    def stamp(self, name: str) -> str | None:
        meta = self._meta(name)
        return _stamp(meta) if meta else None

    def size(self, name: str) -> int | None:
        meta = self._meta(name)
        return meta["size"] if meta else None

    def changed(self, name: str) -> datetime:
        import obstore

        with self._answered(name):
            return obstore.head(self._store, self._key(name))["last_modified"]

    def names(self, folder: str = "", ending: str = "", deep: bool = False) -> list[str]:
        return listed(list(self._objects(folder, deep)), ending)

    def entries(self, folder: str = "", ending: str = "", deep: bool = False) -> dict[str, Entry]:
        objects = self._objects(folder, deep)
        return {name: _entry(objects[name]) for name in listed(list(objects), ending)}

    def delete(self, name: str) -> bool:
        import obstore

        there = self.exists(name)
        with self._answered(name):
            obstore.delete(self._store, self._key(name))
        return there

    def clear(self) -> None:
        import obstore

        keys = [self._key(name) for name in self._objects("", deep=True)]
        with self._answered(""):
            obstore.delete(self._store, keys)

    def keep(self, source: str, target: str) -> None:
        import obstore

        if not self.exists(target):
            with self._answered(source):
                obstore.copy(self._store, self._key(source), self._key(target))

    @contextmanager
    def locked(self, name: str, wait: bool = True) -> Iterator[None]:
        holder = f"process {os.getpid()} on {socket.gethostname()}"
        folder, _, last = name.rpartition("/")
        with leased(self, f"{folder}/.{last}.lock".lstrip("/"), holder, LOCK_S, None if wait else 0):
            yield

    def sweep(self) -> int:
        """Nothing: an object is there whole or not at all."""
        return 0

    def at(self, name: str) -> str:
        return f"{self._scheme}{self.bucket}/{self._key(name)}"

    def for_arrow(self) -> tuple[str, "FileSystem"]:
        from resources.storage.arrow import object_system

        return f"{self.bucket}/{self.prefix}".rstrip("/"), object_system(**_options(_endpoint()))

    def below(self, folder: str) -> "ObjectStorage":
        return ObjectStorage(self.bucket, self._key(folder), self._store, self._scheme)

    def _key(self, name: str) -> str:
        plain(name, self.address)
        return f"{self.prefix}/{name}" if self.prefix else name

    def _objects(self, folder: str, deep: bool) -> dict[str, Any]:
        """What the store lists of a folder, by name from the root on."""
        import obstore

        top = self._key(folder) if folder else self.prefix
        with self._answered(folder):
            if deep:
                objects = [meta for batch in obstore.list(self._store, top or None) for meta in batch]
            else:
                objects = obstore.list_with_delimiter(self._store, top or None)["objects"]
        start = len(self.prefix) + 1 if self.prefix else 0
        return {meta["path"][start:]: meta for meta in objects}

    def _meta(self, name: str) -> Any | None:
        import obstore

        try:
            with self._answered(name):
                return obstore.head(self._store, self._key(name))
        except AbsentError:
            return None

    def _conditional(self, name: str, content: bytes, mode: Any) -> str:
        from obstore.exceptions import AlreadyExistsError, PreconditionError

        writer = uuid.uuid4().hex
        try:
            return self._put(name, content, mode, writer)
        except (AlreadyExistsError, PreconditionError, AbsentError) as error:
            if stamp := self._written_by(name, writer):
                return stamp
            raise ConflictError(
                f"{self.at(name)} has changed meanwhile: read it again; nothing was written"
            ) from error

    def _put(self, name: str, content: bytes, mode: Any, writer: str | None) -> str:
        import obstore

        attributes: Any = {WRITER: writer} if writer else None
        with self._answered(name):
            result = obstore.put(
                self._store, self._key(name), content, mode=mode, attributes=attributes, use_multipart=False
            )
        return _stamp(result)

    def _written_by(self, name: str, writer: str) -> str | None:
        """The stamp of what is there now, if this very put wrote it."""
        import obstore

        try:
            with self._answered(name):
                result = obstore.get(self._store, self._key(name))
        except AbsentError:
            return None
        return _stamp(result.meta) if result.attributes.get(WRITER) == writer else None

    @contextmanager
    def _answered(self, name: str) -> Iterator[None]:
        """Turn what the client raises into errors of storage; conditions that failed are left to who set them."""
        from obstore.exceptions import AlreadyExistsError, BaseError, PreconditionError

        try:
            yield
        except (AlreadyExistsError, PreconditionError, StorageError):
            raise
        except FileNotFoundError as error:
            raise AbsentError(f"{self.address}/{name} is not there") from error
        except (BaseError, OSError) as error:
            raise UnreachableError(f"{self.address}/{name}: {_sentence(error)}") from error


def object_storage(address: str) -> ObjectStorage:
    """The storage at `s3://bucket/prefix`, or at an address of `BUCKETS`; raises AddressError where it names no bucket."""
    scheme = next(one for one in BUCKETS if address.startswith(one))
    bucket, _, prefix = address.removeprefix(scheme).partition("/")
    if not bucket:
        raise AddressError(f"{address!r} names no bucket: give {scheme}bucket/prefix")
    by = tuple(os.environ.get(name) for name in DECIDES)
    client = _client(scheme, bucket, _endpoint(scheme), by, os.getpid())
    return ObjectStorage(bucket, prefix, client, scheme)


@lru_cache(maxsize=16)
def _client(scheme: str, bucket: str, endpoint: str, by: tuple[str | None, ...], process: int) -> "Client":
    """One client, with its connections, for all of a process."""
    from obstore import store

    options = _options(endpoint)
    if scheme == SCHEME:
        return store.S3Store(bucket, **options)
    kind = store.GCSStore if scheme == "gs://" else store.AzureStore
    return kind(bucket, client_options=options["client_options"])


def _endpoint(scheme: str = SCHEME) -> str:
    return next((there for name in ENDPOINTS[scheme] if (there := os.environ.get(name))), "")


def _options(endpoint: str) -> dict[str, Any]:
    """What a client is told beside the keys and the region, which it takes from the environment."""
    return {
        "client_options": {"allow_http": True} if endpoint.startswith("http://") else {},
        "config": {"endpoint": endpoint} if endpoint else {},
    }


def _entry(meta: Any) -> Entry:
    return Entry(meta["size"], f"{_stamp(meta)} {meta['last_modified']}")


def _stamp(result: Any) -> str:
    tag = result["e_tag"]
    if not tag:
        raise UnreachableError("the object store gives no ETag, without which no write can be conditional")
    return tag


def _sentence(error: Exception) -> str:
    return shown(str(error).splitlines()[0])[:300]
