"""The lake: parquet tables cut into partitions, each with a manifest that carries its content hash.

A partition is written to a temporary name, flushed to disk and renamed, so that a reader, or a run that was
killed, finds either the old content or the new one.
"""

import hashlib
import io
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self, TypeVar

import polars as pl

from resources.at_work import beside_others, works_alone
from resources.lake.frames import rows_in
from resources.lake.instants import LossError, with_instants
from resources.lake.listing import stems
from resources.lake.names import PUSHED, WHOLE, file_name, making_name, manifest_name
from resources.lake.versions import content_of, keeping
from resources.resource import Resource
from resources.storage.addresses import storage_at
from resources.storage.durable import write_bytes
from resources.storage.storage import Storage

Content = TypeVar("Content")


class LakeError(Exception):
    """A table, partition or column that was asked for is not there."""


@dataclass(frozen=True)
class Manifest:
    """What one partition holds: rows, columns with types, and the SHA-256 of its parquet bytes.

    `made_of` maps what it was made from (`table@partition`, or `view name`) to hashes; None: from outside of the lake.
    """

    table: str
    partition: str
    rows: int
    sha256: str
    columns: dict[str, str]
    rows_changed: int | None = None
    notes: dict[str, Any] | None = None
    made_of: dict[str, str] | None = None


class Lake(Resource):
    """Tables in one storage: `<root>/<table>/<partition>.parquet`; the root is a folder or `s3://bucket/prefix`.

    With `state`, the folder that all state lies in, a Dagster run is refused while a replay works on it alone.
    """

    root: str
    state: str = ""

    @contextmanager
    def during(self, log: Any, in_run: bool) -> Iterator[Self]:
        """Hold the state folder for as long as a run lasts; what only looks, a sensor, holds nothing."""
        with beside_others(Path(self.state)) if self.state and in_run else nullcontext():
            yield self

    def worked_on(self) -> str | None:
        """Who works on the state folder alone, so that a run is refused for that time; None where nobody does."""
        return works_alone(Path(self.state)) if self.state else None

    @property
    def storage(self) -> Storage:
        """Where everything of the lake lies."""
        return storage_at(self.root)

    def folder(self, table: str) -> Storage:
        """The part of the storage that a table's files lie in."""
        return self.storage.below(table)

    def address(self, table: str, partition: str | None = None) -> str:
        """Where another program reads a partition's parquet, whether or not it exists: a path, or an `s3://` address."""
        return self.storage.at(file_name(table, partition))

    def exists(self, table: str, partition: str | None = None) -> bool:
        """Whether a partition's parquet is there."""
        return self.storage.exists(file_name(table, partition))

    def write(
        self,
        table: str,
        frame: pl.DataFrame,
        partition: str | None = None,
        keys: Sequence[str] = (),
        notes: dict[str, Any] | None = None,
        made_of: Mapping[str, str] | None = None,
        keep: bool = False,
    ) -> Manifest:
        """Replace one partition; with `keys` the manifest says how many rows differ from the content it replaces.

        With `keep` what it replaces stays under its hash, if it came from outside of the lake: nothing else brings it back.

        `notes` and `made_of` are kept in the manifest as they are (JSON values). The same frame gives the same bytes,
        in whatever units and zones its moments are: they become microseconds in UTC, which those without a zone are.
        """
        try:
            frame = with_instants(frame)
        except LossError as error:
            raise LakeError(f"table {table!r}, {error}; nothing is written") from error
        as_json(notes, f"the notes of {table!r}")
        name, content = file_name(table, partition), parquet(frame)
        before = self.storage.load_or_none(name) if keys else None
        changed = rows_changed(self._frame(name, before.content), frame, keys) if before else None
        digest = hashlib.sha256(content).hexdigest()
        manifest = Manifest(
            table=table,
            partition=partition or WHOLE,
            rows=frame.height,
            sha256=digest,
            columns={name: str(kind) for name, kind in frame.schema.items()},
            rows_changed=changed,
            notes=notes,
            made_of=dict(made_of) if made_of else None,
        )
        text = json.dumps(asdict(manifest), sort_keys=True).encode()
        new = not self.storage.exists(name)
        if new:  # who lists partitions at this moment finds none without its manifest
            self.storage.write(manifest_name(table, partition), text)
        with keeping(self.storage, table, partition, digest) if keep else nullcontext():
            self.storage.write(name, content)
        if not new:
            self.storage.write(manifest_name(table, partition), text)
        return manifest

    def read(
        self,
        table: str,
        partitions: Sequence[str] | None = None,
        columns: Sequence[str] | None = None,
        pushed: bool = False,
    ) -> pl.DataFrame:
        """Rows of the named partitions in their order (None: all there are); missing ones are an error.

        `pushed` adds all rows that were pushed beside the partitions.
        """
        in_order = self.partitions(table) if partitions is None else list(partitions)
        missing = [p for p in in_order if not self.exists(table, p)]
        if missing or not in_order:
            there = ", ".join(self.partitions(table)) or "none"
            raise LakeError(
                f"table {table!r} has no partition {', '.join(missing) or '(any)'}; there are: {there}. "
                f"Materialize the asset {table!r} for it first."
            )

        def contents() -> dict[str, bytes]:
            names = [*in_order, *(self.pushed(table) if pushed else ())]
            return {name: self.storage.read(file_name(table, name)) for name in names}

        read = while_folding(contents)
        self._observe(table, read)
        frames = [self._frame(file_name(table, name), content, columns) for name, content in read.items()]
        return frames[0] if len(frames) == 1 else _together(table, list(read), frames)

    def partitions(self, table: str) -> list[str]:
        """Names of the partitions there are, sorted; files of pushed rows are none."""
        return [name for name in stems(self.storage, table, ".parquet") if not name.startswith(PUSHED)]

    def pushed(self, table: str) -> list[str]:
        """Names, as of partitions, of the files of rows that were pushed beside these, sorted."""
        return [name for name in stems(self.storage, table, ".parquet") if name.startswith(PUSHED)]

    def manifest(self, table: str, partition: str | None = None) -> Manifest:
        """The manifest of one partition."""
        stored = self.storage.load_or_none(manifest_name(table, partition))
        if stored is None:
            raise LakeError(
                f"table {table!r} has no manifest for {partition or WHOLE!r}: materialize it first"
            )
        return Manifest(**json.loads(stored.content))

    def described(self, table: str, partition: str | None = None) -> bool:
        """Whether a partition is there and has a manifest."""
        return self.storage.exists(manifest_name(table, partition)) and self.exists(table, partition)

    def hash(self, table: str, partition: str | None = None) -> str:
        """SHA-256 of the bytes that a partition's file has now, whatever its manifest says."""
        return hashlib.sha256(self.storage.read(file_name(table, partition))).hexdigest()

    def holds(self, table: str, partition: str | None, sha256: str) -> bool:
        """Whether a partition's file is there, its manifest names this hash, and its bytes have it."""
        if not self.described(table, partition):
            return False
        return self.manifest(table, partition).sha256 == sha256 == self.hash(table, partition)

    def take(self, origin: "Lake", table: str, partition: str | None = None) -> None:
        """Have a partition of another lake, and its manifest where it has one, as they are there."""
        names = file_name(table, partition), manifest_name(table, partition)
        for stored, name in ((origin.storage.load_or_none(name), name) for name in names):
            if stored is not None:
                self.storage.write(name, stored.content)

    def take_version(self, origin: "Lake", table: str, partition: str | None, sha256: str) -> bool:
        """Have the content that a partition of another lake has, or had, under this hash; whether it is there."""
        version = content_of(origin.storage, table, partition, sha256)
        if version is None:
            return False
        content, manifest = version
        self.storage.write(file_name(table, partition), content)
        if manifest:
            self.storage.write(manifest_name(table, partition), json.dumps(manifest, sort_keys=True).encode())
        return True

    def remember(self, table: str, partition: str | None, record: dict[str, Any]) -> None:
        """Keep beside a partition's manifest how it was made (JSON values); lost in a crash, it is only made again."""
        text = as_json(record, f"how {table!r} was made", default=str)
        self.storage.write(making_name(table, partition), text.encode(), flush=False)

    def remembered(self, table: str, partition: str | None = None) -> dict[str, Any] | None:
        """How a partition was made, or None where that is not known."""
        stored = self.storage.load_or_none(making_name(table, partition))
        try:
            return json.loads(stored.content) if stored else None
        except json.JSONDecodeError:
            return None

    def write_json(self, name: str, payload: dict[str, Any]) -> str:
        """Replace one JSON record, `<root>/<name>.json`, and return the SHA-256 of its bytes."""
        content = as_json(payload, f"the record {name!r}", indent=1, default=str).encode()
        self.storage.write(f"{name}.json", content)
        return hashlib.sha256(content).hexdigest()

    def read_json(self, name: str) -> dict[str, Any] | None:
        """One JSON record, or None where it was never written."""
        stored = self.storage.load_or_none(f"{name}.json")
        return json.loads(stored.content) if stored else None

    def records(self, folder: str) -> list[str]:
        """Names of the JSON records in a folder, without their ending, sorted."""
        return stems(self.storage, folder, ".json")

    def rests_on(self, read: Mapping[str, str]) -> None:
        """Called with partitions, `table@partition`, that what was read instead of them was made of, and their hashes."""

    def _observe(self, table: str, contents: Mapping[str, bytes]) -> None:
        """Called with what was read of a table, by partition."""

    def _frame(self, name: str, content: bytes, columns: Sequence[str] | None = None) -> pl.DataFrame:
        try:
            return rows_in(content, columns)
        except pl.exceptions.PolarsError as error:
            raise LakeError(
                f"file {self.storage.at(name)} cannot be read: {str(error).splitlines()[0]}. "
                f"Materialize this partition again."
            ) from error


def as_json(content: Any, what: str, **layout: Any) -> str:
    """Content as JSON that every reader takes: NaN and infinity, which JSON does not have, are refused."""
    try:
        return json.dumps(content, sort_keys=True, allow_nan=False, **layout)
    except ValueError as error:
        raise LakeError(
            f"{what} holds a number that is not finite: write None for what is not defined"
        ) from error


def while_folding(read: Callable[[], Content]) -> Content:
    """What `read` gives, which lists files and reads them; once more if one was folded into another in between."""
    try:
        return read()
    except FileNotFoundError:
        return read()


def _together(table: str, partitions: Sequence[str], frames: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """The rows of all partitions; numbers widen to a common type, but never to text, and no column may be missing."""
    first = frames[0].schema
    for name, schema in zip(partitions, (frame.schema for frame in frames), strict=True):
        for column in dict.fromkeys([*first, *schema]):
            kinds = schema.get(column), first.get(column)
            if None in kinds or (pl.String in kinds and not {pl.String, pl.Null}.issuperset(kinds)):
                raise LakeError(
                    f"table {table!r}, column {column!r}: {kinds[0] or 'missing'} in partition {name}, "
                    f"{kinds[1] or 'missing'} in partition {partitions[0]}. Materialize the older of them again."
                )
    return pl.concat([frame.select(*first) for frame in frames], how="vertical_relaxed")


def rows_changed(old: pl.DataFrame, new: pl.DataFrame, keys: Sequence[str]) -> int:
    """Rows added, removed or holding another value than before, matched by `keys`."""
    if old.schema != new.schema:
        return max(old.height, new.height)
    ours, theirs = old.hash_rows(seed=0), new.hash_rows(seed=0)
    before = old.select(keys).with_columns(ours.alias("_before"))
    after = new.select(keys).with_columns(theirs.alias("_after"))
    both = before.join(after, on=list(keys), how="full", coalesce=True, nulls_equal=True)
    return both.filter(~pl.col("_before").eq_missing(pl.col("_after"))).height


def write_frame(path: Path, frame: pl.DataFrame) -> str:
    """Replace a parquet file whole, and return the SHA-256 of its bytes."""
    content = parquet(frame)
    write_bytes(path, content)
    return hashlib.sha256(content).hexdigest()


def parquet(frame: pl.DataFrame) -> bytes:
    """A frame as the bytes of a parquet file: the same frame gives the same bytes."""
    buffer = io.BytesIO()
    frame.write_parquet(buffer, compression="lz4", statistics=True)
    return buffer.getvalue()
