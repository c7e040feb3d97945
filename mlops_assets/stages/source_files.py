"""Files of a table's source, opened lazily, and every way in which one is no readable parquet or CSV, in words."""

import csv
import io
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from glob import escape, has_magic
from pathlib import Path
from typing import Any

import polars as pl

from mlops_assets.spec.sources import CsvSource, FileSource, ParquetSource
from mlops_assets.stages.errors import NotYetThereError, SourceError
from mlops_assets.stages.file_kinds import content_kind, how_to_mend
from resources.addresses import shown
from resources.storage.errors import AddressError, StorageError
from resources.storage.files import ForeignFile, files_at

ROW = "_row"
"""Column with the number of a row in its file, from 0, the header not counted."""

VARIABLE = re.compile(r"\$\{([^}]*)\}")
PARQUET = b"PAR1"
HEAD = 65_536


def located(
    source: FileSource, folder: Path, unread: Callable[[str], bool] | None = None
) -> list[ForeignFile]:
    """The files of a source, each once, in order of their names; relative paths are of `folder`.

    The state of `unread` files of this machine is not asked for. Raises NotYetThereError for a path that nothing is at, SourceError for one that cannot be.
    """
    files_by_address: dict[str, ForeignFile] = {}
    for written in [source.path] if isinstance(source.path, str) else source.path:
        files = _at(path := placed(written, folder), unread)
        if not files:
            raise NotYetThereError(f"no file is at {path}", "missing", {"path": path})
        files_by_address.update((file.address, file) for file in files)
    return [files_by_address[address] for address in sorted(files_by_address)]


def placed(written: str, folder: Path) -> str:
    """A path of a spec with its variables filled in, absolute; raises SourceError for a variable that is not set."""
    path = filled_in(written, "path")
    if "://" in path:
        return path
    beside = escape(str(folder)) if has_magic(path) else folder
    return os.path.normpath(Path(beside, Path(path).expanduser()))


def filled_in(written: str, what: str) -> str:
    """A text of a spec with its variables filled in; raises SourceError for a variable that is not set."""

    def value(match: re.Match[str]) -> str:
        if not (setting := os.environ.get(match[1])):
            raise SourceError(
                f"{what} {written!r} needs the environment variable {match[1]}, which is not set: set it"
            )
        return setting

    return VARIABLE.sub(value, written)


def opened(file: ForeignFile, source: FileSource) -> pl.LazyFrame:
    """The rows of a file with their numbers, not read yet; all of a CSV's values are texts."""
    if file.is_folder:
        raise SourceError(
            f"{file.address} is a folder, expected is a {_kind_of(source)} file: name its files, for example {file.address}/*"
        )
    if isinstance(source, CsvSource):
        return _csv(file, source)
    if not file.remote or not file.size:
        with _readable(file):
            first, last = file.ends(HEAD)
        _refuse_kind(file, source, first)
        if not last.endswith(PARQUET):
            raise SourceError(f"file {file.address} is not a whole parquet file: copy it again")
    options: Any = {} if file.address.startswith("s3://") else {"credential_provider": None}
    return pl.scan_parquet(file.address, row_index_name=ROW, glob=False, hive_partitioning=False, **options)


def problem_of(file: ForeignFile, source: FileSource, error: Exception) -> SourceError:
    """What is wrong with a file that polars cannot read, at which row where that can be told."""
    if isinstance(source, CsvSource):
        with _readable(file):
            content = file.content()
        for problem in (_not_utf8(content), _other_width(content, source.separator)):
            if problem:
                return SourceError(f"file {file.address}, {problem}")
    elif file.remote:
        with _readable(file):
            _refuse_kind(file, source, file.ends(HEAD)[0])
    said = (str(error).splitlines() or [type(error).__name__])[0]
    return SourceError(f"file {file.address} cannot be read: {shown(said)}")


def refuse_short_rows(file: ForeignFile, source: CsvSource, columns: list[str], rows: pl.DataFrame) -> None:
    """Raise for a CSV with a row of fewer values than it has columns, which polars fills up with empty ones.

    Only looked for where the file's last column, which `rows` has, is empty in a row; without quotes, counting
    separators is enough.
    """
    if len(columns) < 2 or not (rows[columns[-1]] == "").any():
        return
    with _readable(file):
        content = file.content()
    separators = content.count(source.separator.encode())
    if b'"' not in content and separators == (len(columns) - 1) * content.count(b"\n"):
        return
    if problem := _other_width(content, source.separator):
        raise SourceError(f"file {file.address}, {problem}")


def _at(path: str, unread: Callable[[str], bool] | None) -> list[ForeignFile]:
    try:
        return files_at(path, unread)
    except (AddressError, StorageError, OSError) as error:
        raise SourceError(f"{path} cannot be reached: {error}") from error


def _kind_of(source: FileSource) -> str:
    return "parquet" if isinstance(source, ParquetSource) else "CSV"


def _refuse_kind(file: ForeignFile, source: FileSource, first: bytes) -> None:
    kind, expected = content_kind(first), _kind_of(source)
    if kind != expected:
        raise SourceError(
            f"file {file.address} holds {kind}, expected is {expected}: {how_to_mend(kind, expected)}"
        )


def _csv(file: ForeignFile, source: CsvSource) -> pl.LazyFrame:
    with _readable(file):
        content = file.content() if file.remote else None
        first, last = file.ends(HEAD) if content is None else (content[:HEAD], content[-HEAD:])
    _refuse_kind(file, source, first)
    if not last.endswith((b"\n", b"\r")):
        raise SourceError(
            f"file {file.address} ends inside a row (no line break): it is truncated, or still being written; end its "
            "last row with a line break"
        )
    names = _header(first, source.separator)
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise SourceError(f"file {file.address} has the column {twice!r} twice: rename one of them")
    return pl.scan_csv(
        Path(file.address) if content is None else io.BytesIO(content),
        separator=source.separator,
        infer_schema=False,
        empty_string_is_null=False,
        row_index_name=ROW,
        glob=False,
    )


def _header(first: bytes, separator: str) -> list[str]:
    text = first.decode("utf-8-sig", errors="replace")
    return next(csv.reader(io.StringIO(text, newline=""), delimiter=separator), [])


def _not_utf8(content: bytes) -> str | None:
    try:
        content.decode()
    except UnicodeDecodeError as error:
        row = content.count(b"\n", 0, error.start)
        return (
            f"row {row}: byte 0x{content[error.start]:02x} is no text in UTF-8: save the file in UTF-8, for instance "
            "with `iconv -f latin1 -t utf-8`"
        )
    return None


def _other_width(content: bytes, separator: str) -> str | None:
    """The first row with more or fewer values than the header has names."""
    text = io.StringIO(content.decode("utf-8-sig", errors="replace"), newline="")
    rows: Iterator[list[str]] = csv.reader(text, delimiter=separator, strict=True)
    try:
        header = next(rows, [])
        for number, values in enumerate(rows, start=1):
            if values and len(values) != len(header):
                return f"row {number}: {len(values)} values where the header has {len(header)}: correct it in the source"
    except csv.Error as error:
        return f"it is not a readable CSV file: {error}"
    return None


@contextmanager
def _readable(file: ForeignFile) -> Iterator[None]:
    """Turn what reading a file raises into an error of the source."""
    try:
        yield
    except (OSError, StorageError) as error:
        said = getattr(error, "strerror", None) or error
        raise SourceError(f"file {file.address} cannot be read ({said}): make it readable") from error
