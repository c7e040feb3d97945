"""Versions of a table's partitions: what stands there now, and what replaced source partitions held before.

Replaced content lies beside the table under its SHA-256, `<table>/_kept/<partition>/<sha256>.parquet`, with a record of
when it was written and its manifest. It is there before what replaces it is, so a process that is killed loses neither.
"""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from resources.lake.names import (
    MANIFESTS,
    PUSHED,
    VERSIONS,
    WHOLE,
    file_name,
    kept_name,
    manifest_name,
)
from resources.storage.errors import AbsentError
from resources.storage.storage import Storage

SHORTEST = 4
"""Fewest letters of a hash that name a version."""


class VersionError(Exception):
    """A version of a table that is not there, is named by too little, or is not what its hash says."""


@dataclass(frozen=True)
class TableVersion:
    """One content of one partition; `written` when it was, `current` whether it stands there now, `size` in bytes."""

    table: str
    partition: str
    sha256: str
    written: datetime
    size: int
    rows: int | None
    current: bool

    @property
    def key(self) -> tuple[str, str, str]:
        return self.table, self.partition, self.sha256

    def __str__(self) -> str:
        return f"{self.table}@{self.partition}"


@contextmanager
def keeping(storage: Storage, table: str, partition: str | None, sha256: str) -> Iterator[None]:
    """Replace a partition in here, by content with this hash: what it holds is kept first, if it is a source.

    Writers of one partition come one after the other, so that none replaces what another has not kept.
    """
    name = file_name(table, partition)
    if not storage.exists(name):
        yield
        return
    with storage.locked(f"{table}/{VERSIONS}/{partition or WHOLE}"):
        _keep(storage, table, partition, sha256)
        yield


def _keep(storage: Storage, table: str, partition: str | None, sha256: str) -> None:
    manifest = _json(storage, manifest_name(table, partition))
    before = storage.load_or_none(file_name(table, partition))
    if before is None or (manifest or {}).get("made_of"):
        return
    digest = digest_of(before.content)
    if digest == sha256:
        return
    name, target = file_name(table, partition), kept_name(table, partition, digest)
    record = {
        "written": storage.changed(name).isoformat(),
        "manifest": manifest if manifest and manifest["sha256"] == digest else None,
    }
    storage.keep(name, target)
    if digest_of(storage.read(target)) != digest:
        storage.write(target, before.content)
    storage.write(kept_name(table, partition, digest, ".json"), json.dumps(record, sort_keys=True).encode())


def versions(storage: Storage, table: str) -> list[TableVersion]:
    """All versions of a table's partitions, oldest first; raises VersionError where there is none."""
    there = [*kept_versions(storage, table), *_current(storage, table)]
    if not there:
        raise VersionError(
            f"table {table!r} has no version; tables are: {', '.join(tables(storage)) or 'none'}"
        )
    current = {version.key for version in there if version.current}
    once = [version for version in there if version.current or version.key not in current]
    return sorted(once, key=lambda version: (version.written, version.partition))


def kept_versions(storage: Storage, table: str | None = None) -> list[TableVersion]:
    """The replaced contents that are kept of a table, or of all tables."""
    names = storage.names(f"{table}/{VERSIONS}" if table else "", ".parquet", deep=True)
    return [_version_of(storage, name) for name in names if f"/{VERSIONS}/" in name]


def tables(storage: Storage) -> list[str]:
    """The tables that have partitions."""
    names = storage.names(ending=".json", deep=True)
    return sorted({name.split(f"/{MANIFESTS}/")[0] for name in names if f"/{MANIFESTS}/" in name})


def version_named(storage: Storage, table: str, start: str) -> TableVersion:
    """The version whose hash begins so; raises VersionError where none or several do."""
    if len(start) < SHORTEST:
        raise VersionError(f"{start!r} is too short: give {SHORTEST} letters of the hash or more")
    there = versions(storage, table)
    hits = {version.sha256: version for version in there if version.sha256.startswith(start)}
    if len(hits) != 1:
        known = ", ".join(sha256[:12] for sha256 in hits) or "none of its versions"
        raise VersionError(f"{table}@{start} names {known}: `mlops data log {table}` shows the hashes")
    return next(iter(hits.values()))


def content_of(
    storage: Storage, table: str, partition: str | None, sha256: str
) -> tuple[bytes, dict[str, Any] | None] | None:
    """Parquet bytes with this hash, and their manifest: what the partition holds now, or held before; None: neither."""
    current = storage.load_or_none(file_name(table, partition))
    if current and digest_of(current.content) == sha256:
        return current.content, _json(storage, manifest_name(table, partition))
    before = storage.load_or_none(kept_name(table, partition, sha256))
    if before and digest_of(before.content) == sha256:
        record = _json(storage, kept_name(table, partition, sha256, ".json")) or {}
        return before.content, record.get("manifest")
    return None


def read_version(storage: Storage, version: TableVersion) -> bytes:
    """A version's parquet bytes; raises VersionError where they are not what the hash says."""
    content = content_of(storage, *version.key)
    if content is None:
        raise VersionError(
            f"{version} with hash {version.sha256} is not what its hash says: its file was changed or cut; "
            f"restore it from a copy"
        )
    return content[0]


def remove_version(storage: Storage, version: TableVersion) -> None:
    """Remove kept content for good: the record first, so that one that is half removed is still listed."""
    storage.delete(kept_name(*version.key, ".json"))
    storage.delete(kept_name(*version.key))


def made_of_now(storage: Storage) -> Iterator[tuple[str, str, str]]:
    """Table, partition and hash of all that a partition of the lake is made of now, whether or not it has been replaced."""
    for name in storage.names(ending=".json", deep=True):
        if f"/{MANIFESTS}/" in name:
            for upstream, sha256 in ((_json(storage, name) or {}).get("made_of") or {}).items():
                table, _, partition = upstream.partition("@")
                yield table, partition, sha256


def digest_of(content: bytes) -> str:
    """The SHA-256 that content is known by."""
    return hashlib.sha256(content).hexdigest()


def _version_of(storage: Storage, name: str) -> TableVersion:
    table, _, rest = name.partition(f"/{VERSIONS}/")
    partition, _, file = rest.rpartition("/")
    sha256 = file.removesuffix(".parquet")
    record = _json(storage, kept_name(table, partition, sha256, ".json")) or {}
    written = datetime.fromisoformat(record["written"]) if record else storage.changed(name)
    rows = (record.get("manifest") or {}).get("rows")
    return TableVersion(table, partition, sha256, written, storage.size(name) or 0, rows, current=False)


def _current(storage: Storage, table: str) -> Iterator[TableVersion]:
    for name in storage.names(table, ".parquet"):
        partition = name.removeprefix(f"{table}/").removesuffix(".parquet")
        if not partition.startswith(PUSHED):
            content = storage.read(name)
            manifest = _json(storage, manifest_name(table, partition)) or {}
            sha256, written = digest_of(content), storage.changed(name)
            rows = manifest.get("rows") if manifest.get("sha256") == sha256 else None
            yield TableVersion(table, partition, sha256, written, len(content), rows, current=True)


def _json(storage: Storage, name: str) -> dict[str, Any] | None:
    try:
        return json.loads(storage.read(name))
    except AbsentError:
        return None
