"""What the store writes: pushed rows, logged features and saved data sets, each file whole or not at all.

A file gets a temporary name, is flushed and renamed; on S3 an object appears when its upload is complete. Nothing
is written before everything has been checked.
"""

import hashlib
import io
import os
import shutil
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from feast.errors import SavedDatasetLocationAlreadyExists
from pyarrow import feather

from .files import ARROW, PARQUET, Footer, Place, SourceError, files_of, footer, is_pattern, literal
from .moments import is_moment
from .sources import Source

DIGEST = 12
FILE = "data.parquet"


def append(source: Source, table: pa.Table) -> str:
    """Add rows to a source; what was there is not touched, and the same rows added twice are there once.

    Where the source is a folder or a pattern the rows become a file of their own,
    `pushed-<first event time>-<hash>.parquet`, sorted by (keys, event timestamp, created), which comes after files
    named by date. A source of one file is replaced whole by itself and the new rows. Returns the path. Raises
    SourceError for missing or unknown columns, null timestamps and values that do not fit the source's types.
    """
    paths = files_of(source.where)
    single = _is_file(source.where.uri)
    there = footer(source.where, paths[0], source.timestamp) if paths else None
    rows = _checked(source, table, there)
    if single:
        return _replace_with(source, rows)
    rows = pl.DataFrame(pl.from_arrow(rows)).sort(_layout(source, rows), maintain_order=True).to_arrow()
    first = pl.Series(rows[source.timestamp]).min()
    assert isinstance(first, datetime)
    content = _parquet(rows)
    name = f"pushed-{first:%Y%m%dT%H%M%S}-{hashlib.sha256(content).hexdigest()[:DIGEST]}.parquet"
    return write_bytes(source.where, f"{_folder(source)}/{name}", content)


def write_logs(where: Place, table: pa.Table, partition_by: list[str]) -> list[str]:
    """Add a chunk of logs to a folder, one file for each value of `partition_by`, named by its content.

    The same chunk written again is there once. Returns the paths.
    """
    frame = pl.DataFrame(pl.from_arrow(table))
    groups = (
        frame.partition_by(partition_by, as_dict=True, maintain_order=True) if partition_by else {(): frame}
    )
    paths = []
    for values, rows in groups.items():
        content = _parquet(rows.to_arrow())
        folders = [f"{name}={value}" for name, value in zip(partition_by, values, strict=True)]
        name = f"{hashlib.sha256(content).hexdigest()[:DIGEST]}.parquet"
        paths.append(write_bytes(where, "/".join([where.uri.rstrip("/"), *folders, name]), content))
    return paths


def write_dataset(where: Place, evaluate: Callable[[], pa.Table], overwrite: bool) -> str:
    """Write a table as one file, or as a folder with one where the path has no ending; returns the file's path."""
    there = files_of(where)
    if not overwrite and (there or (not where.remote and Path(where.uri).exists())):
        raise SavedDatasetLocationAlreadyExists(location=where.uri)
    content = (_arrow if where.uri.endswith(ARROW) else _parquet)(evaluate())
    if where.uri.endswith((*PARQUET, *ARROW)) or Path(where.uri).is_file():
        return write_bytes(where, where.uri, content)
    return _write_folder(where, content, there)


def write_bytes(where: Place, path: str, content: bytes) -> str:
    """Put a file there, whole or not at all, and return its path."""
    if where.remote:
        with where.filesystem.open_output_stream(where.bare(path)) as stream:
            stream.write(content)
        return path
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    with temporary.open("wb") as handle:
        handle.write(content)
        handle.flush()
        os.fsync(handle.fileno())
    temporary.replace(target)
    return path


def _write_folder(where: Place, content: bytes, old: list[str]) -> str:
    """Replace a folder's files: on disk by renaming a new folder into its place."""
    path = f"{where.uri.rstrip('/')}/{FILE}"
    if where.remote:
        write_bytes(where, path, content)
        for left in set(old) - {path}:
            where.filesystem.delete_file(where.bare(left))
        return path
    folder = Path(where.uri)
    new, gone = (folder.with_name(f".{folder.name}.{os.getpid()}.{end}") for end in ("tmp", "old"))
    write_bytes(where, str(new / FILE), content)
    if folder.exists():
        folder.rename(gone)
    new.rename(folder)
    shutil.rmtree(gone, ignore_errors=True)
    return path


def _checked(source: Source, table: pa.Table, there: Footer | None) -> pa.Table:
    """The rows in the source's types and without what pandas adds."""
    table = table.replace_schema_metadata(None)
    table = table.select([name for name in table.column_names if not name.startswith("__index_level_")])
    known = set(there.schema.names) if there else set(table.column_names)
    missing = [name for name in source.columns if name not in table.column_names and name != source.created]
    unknown = [name for name in table.column_names if name not in known | set(source.columns)]
    for names, what in ((missing, "lack"), (unknown, "have, but the source has not,")):
        if names:
            raise SourceError(
                f"view {source.view!r}: the rows for {source.where.uri} {what} {', '.join(names)}: nothing is written"
            )
    moments = pl.Series(table[source.timestamp])
    if not is_moment(moments.dtype) or moments.null_count() or not len(moments):
        raise SourceError(
            f"view {source.view!r}: the column {source.timestamp!r} of {len(moments)} rows for {source.where.uri} "
            f"is {moments.dtype} with {moments.null_count()} nulls: every row needs a timestamp; nothing is written"
        )
    return table if there is None else _cast(source, table, there)


def _cast(source: Source, table: pa.Table, there: Footer) -> pa.Table:
    columns = {}
    for name in table.column_names:
        kind = there.schema.field(name).type if name in there.schema.names else table.schema.field(name).type
        values = table[name]
        try:
            if (
                pa.types.is_timestamp(kind)
                and kind.tz
                and values.type == pa.timestamp(getattr(values.type, "unit", "us"))
            ):
                values = values.cast(pa.timestamp(values.type.unit, "UTC"))
            columns[name] = values.cast(kind)
        except pa.ArrowException as error:
            raise SourceError(
                f"view {source.view!r}: values of {name!r} do not fit {kind}, which {there.path} has: {error}; "
                "nothing is written"
            ) from error
    return pa.table(columns)


def _replace_with(source: Source, rows: pa.Table) -> str:
    path, system = source.where.uri, source.where.filesystem
    path = path if Path(path).is_file() else literal(path)
    tables = [rows]
    if files_of(source.where):
        with system.open_input_file(source.where.bare(path)) as handle:
            tables.insert(0, feather.read_table(handle) if path.endswith(ARROW) else pq.read_table(handle))
    both = pa.concat_tables(tables, promote_options="default")
    return write_bytes(source.where, path, (_arrow if path.endswith(ARROW) else _parquet)(both))


def _layout(source: Source, rows: pa.Table) -> list[str]:
    created = [source.created] if source.created in rows.column_names else []
    return [*source.keys, source.timestamp, *(name for name in created if name)]


def _folder(source: Source) -> str:
    uri = source.where.uri.rstrip("/")
    if Path(uri).is_dir():
        return uri
    folder = uri.rpartition("/")[0] if is_pattern(uri) else uri
    if is_pattern(folder):
        raise SourceError(
            f"view {source.view!r}: {uri} matches files of several folders, so that new rows have no place; nothing is written"
        )
    return literal(folder)


def _is_file(uri: str) -> bool:
    return Path(uri).is_file() or (not is_pattern(uri) and uri.endswith((*PARQUET, *ARROW)))


def _parquet(table: pa.Table) -> bytes:
    sink = io.BytesIO()
    pq.write_table(table, sink, compression="zstd", compression_level=1)
    return sink.getvalue()


def _arrow(table: pa.Table) -> bytes:
    sink = io.BytesIO()
    feather.write_feather(table, sink, compression="uncompressed", chunksize=max(table.num_rows, 1))
    return sink.getvalue()
