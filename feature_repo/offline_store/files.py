"""Where a source's files lie, local or on s3://, and what their footers say without reading a row."""

import fnmatch
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from glob import glob, has_magic
from pathlib import Path, PurePosixPath

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import fs, ipc

PARQUET = (".parquet", ".pq", ".parq")
ARROW = (".arrow", ".feather", ".ipc")
S3 = "s3://"
ESCAPED = re.compile(r"\[([*?[])\]")
"""A sign of a pattern as `glob.escape` writes it, to mean itself."""

Types = dict[str, pl.DataType]


class SourceError(ValueError):
    """A source's file or column is not as the feature view needs it; the message names file, column and view."""


class FileGoneError(SourceError):
    """A file that the source had when it was listed is there no more: somebody replaced it by another one."""


@dataclass(frozen=True)
class Place:
    """A source's path as its FileSource gives it, absolute, and the S3 endpoint if it is not Amazon's."""

    uri: str
    endpoint: str = ""

    @property
    def remote(self) -> bool:
        """Whether it is on S3."""
        return self.uri.startswith(S3)

    @property
    def filesystem(self) -> fs.FileSystem:
        """pyarrow's file system for it; on S3 keys and region come from the environment."""
        if not self.remote:
            return fs.LocalFileSystem()
        return fs.S3FileSystem(endpoint_override=self.endpoint or None)

    @property
    def options(self) -> dict[str, str] | None:
        """polars' storage options for it."""
        if not self.endpoint or not self.remote:
            return None
        return {
            "aws_endpoint_url": self.endpoint,
            "aws_allow_http": str(self.endpoint.startswith("http:")).lower(),
        }

    def bare(self, path: str) -> str:
        """A path as the file system takes it."""
        return path.removeprefix(S3)


@dataclass(frozen=True)
class Footer:
    """One file: its path, rows (None: not said), column types, and rows by span of its row groups.

    `spans` has `(rows, first, last)` a row group, in the timestamp's own physical unit, empty where a group has no
    statistics. `hive` are columns that stand as `name=value` in the path below the source's folder, `above` those names
    that stand in the path of that folder and are no columns.
    """

    path: str
    schema: pa.Schema
    spans: tuple[tuple[int, int | None, int | None], ...] = ()
    hive: tuple[str, ...] = ()
    above: tuple[str, ...] = ()

    @property
    def arrow(self) -> bool:
        """Whether it is Arrow IPC, not parquet."""
        return self.path.endswith(ARROW)

    def types(self, columns: tuple[str, ...]) -> Types:
        """polars types of those of the columns that the file has; the same object for files that are alike in them."""
        return _types(self.schema, columns)


def place(uri: str, repo_path: Path | str | None, endpoint: str = "") -> Place:
    """The absolute place of a FileSource's path; relative ones lie under the repository.

    On S3 the endpoint is the source's own, else that of `AWS_ENDPOINT_URL`, else Amazon's.
    """
    if "://" in uri and not uri.startswith((S3, "file://")):
        raise SourceError(f"{uri}: this store reads local paths, file:// and s3://")
    if uri.startswith(S3):
        variables = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
        return Place(
            uri, endpoint or next((os.environ[name] for name in variables if os.environ.get(name)), "")
        )
    local = Path(uri.removeprefix("file://"))
    return Place(str(local if local.is_absolute() or repo_path is None else Path(repo_path) / local))


def is_pattern(path: str) -> bool:
    """Whether a path stands for several; signs that `glob.escape` has put in brackets stand for themselves."""
    return has_magic(ESCAPED.sub("", path))


def literal(path: str) -> str:
    """A path that is no pattern as the file system has it."""
    return ESCAPED.sub(r"\1", path)


def files_of(where: Place) -> list[str]:
    """Paths of a source's files, sorted: the file itself, what a pattern matches, or all below a folder.

    Of a folder only parquet and Arrow IPC files count, and none whose name begins with a dot or an underscore.
    """
    paths = _remote(where) if where.remote else _local(where.uri)
    return sorted(paths, key=lambda path: path.split("/"))


def footer(where: Place, path: str, timestamp: str) -> Footer:
    """A file's footer, with the spans of the timestamp column. Raises what pyarrow raises for a file it cannot read.

    One on disk is read again only when the file is another one, or has been written to.
    """
    above = _fixed(where.uri)
    if where.remote:
        return _footer(where, path, timestamp, above)
    status = Path(path).stat()
    return _remembered(path, timestamp, above, status.st_ino, status.st_mtime_ns, status.st_size)


@lru_cache(maxsize=4096)
def _remembered(path: str, timestamp: str, above: int, *_: int) -> Footer:
    return _footer(Place(path), path, timestamp, above)


def _footer(where: Place, path: str, timestamp: str, above: int) -> Footer:
    folders = PurePosixPath(path).parts[:-1]
    names = [
        tuple(p.partition("=")[0] for p in some if "=" in p) for some in (folders[above:], folders[:above])
    ]
    if path.endswith(ARROW):
        with where.filesystem.open_input_file(where.bare(path)) as handle:
            return Footer(path, _alike(ipc.open_file(handle).schema.remove_metadata()), (), *names)
    meta = pq.read_metadata(where.bare(path), filesystem=where.filesystem if where.remote else None)
    schema = _alike(meta.schema.to_arrow_schema().remove_metadata())
    return Footer(path, schema, tuple(_spans(meta, timestamp)), *names)


def _fixed(uri: str) -> int:
    """How many parts of a source's path are no pattern: those below may stand for columns."""
    parts = PurePosixPath(uri).parts
    return next((number for number, part in enumerate(parts) if is_pattern(part)), len(parts))


@lru_cache(maxsize=256)
def _alike(schema: pa.Schema) -> pa.Schema:
    """One schema for all files that have the same: a table has many files, and their footers are remembered."""
    return schema


@lru_cache(maxsize=256)
def _types(schema: pa.Schema, columns: tuple[str, ...]) -> Types:
    there = [schema.field(name) for name in columns if name in schema.names]
    empty = pl.DataFrame(pl.from_arrow(pa.schema(there).empty_table()))
    return _one_for_all(tuple(empty.schema.items()))


@lru_cache(maxsize=1024)
def _one_for_all(types: tuple[tuple[str, pl.DataType], ...]) -> Types:
    return dict(types)


def _spans(meta: pq.FileMetaData, timestamp: str) -> Iterator[tuple[int, int | None, int | None]]:
    names = [meta.schema.column(n).path for n in range(meta.num_columns)]
    if timestamp not in names:
        return
    column = names.index(timestamp)
    for group in range(meta.num_row_groups):
        rows, statistics = meta.row_group(group).num_rows, meta.row_group(group).column(column).statistics
        if statistics is not None and statistics.has_min_max and statistics.physical_type == "INT64":
            yield rows, statistics.min_raw, statistics.max_raw
        else:
            yield rows, None, None


def _local(uri: str) -> list[str]:
    path = Path(uri)
    if path.is_file():
        return [uri]
    if path.is_dir():
        inside = (file.relative_to(path) for file in path.rglob("*") if file.is_file())
        return [str(path / file) for file in inside if _counts(file.parts)]
    # Path.glob takes no absolute pattern.
    matching = glob(uri, recursive=True) if has_magic(uri) else []  # noqa: PTH207
    return [file for file in matching if Path(file).is_file()]


def _remote(where: Place) -> list[str]:
    system, bare = where.filesystem, where.bare(where.uri)
    if not has_magic(bare) and system.get_file_info(bare).type == fs.FileType.File:
        return [where.uri]
    fixed = re.split(r"[*?\[]", bare)[0]
    folder = (fixed.rpartition("/")[0] if has_magic(bare) else bare).rstrip("/")
    below = system.get_file_info(fs.FileSelector(folder, recursive=True, allow_not_found=True))
    paths = [info.path for info in below if info.type == fs.FileType.File]
    if has_magic(bare):
        return [S3 + path for path in paths if _matches(path.split("/"), bare.split("/"))]
    return [S3 + path for path in paths if _counts(path[len(folder) :].strip("/").split("/"))]


def _counts(parts: "tuple[str, ...] | list[str]") -> bool:
    hidden = any(part.startswith((".", "_")) and "=" not in part for part in parts)
    return not hidden and parts[-1].endswith((*PARQUET, *ARROW))


def _matches(parts: list[str], pattern: list[str]) -> bool:
    if not pattern or not parts:
        return not pattern and not parts
    if pattern[0] == "**":
        return _matches(parts, pattern[1:]) or _matches(parts[1:], pattern)
    shown = not parts[0].startswith(".") or pattern[0].startswith(".")
    return shown and fnmatch.fnmatchcase(parts[0], pattern[0]) and _matches(parts[1:], pattern[1:])
