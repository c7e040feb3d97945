"""What a feature view reads of its source, checked file by file from the footers before a row is read.

Whatever is wrong with a file is said with its path, the column and the view.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import NoReturn

import polars as pl
import pyarrow as pa
from polars.exceptions import PanicException, PolarsError

from .files import FileGoneError, Footer, Place, SourceError, Types, files_of, footer
from .moments import PER_SECOND, is_moment

UNREADABLE = (PolarsError, PanicException, pa.ArrowException, OSError)
NUMBERS = {"Int32", "Int64", "Float32", "Float64"}
TEXT = (pl.String, pl.Categorical, pl.Enum)


@dataclass(frozen=True)
class Source:
    """What a view reads: columns by their names in the files, and the declared type of its features.

    `created` may be missing in some of the files, where it is null; `kinds` maps a feature's column to the name of
    its Feast type.
    """

    view: str
    where: Place
    timestamp: str
    created: str | None = None
    keys: tuple[str, ...] = ()
    features: tuple[str, ...] = ()
    kinds: Mapping[str, str] = field(default_factory=dict)

    @property
    def columns(self) -> list[str]:
        """Every column, each once, in the order in which it is read."""
        created = (self.created,) if self.created else ()
        return list(dict.fromkeys((*self.keys, self.timestamp, *created, *self.features)))

    @property
    def moments(self) -> list[str]:
        """The timestamp columns."""
        return [name for name in (self.timestamp, self.created) if name]


@dataclass(frozen=True)
class Span:
    """Event timestamps that can be chosen: microseconds since 1970, both ends included, None for no bound."""

    first: int | None = None
    last: int | None = None

    def share(self, low: int, high: int) -> float:
        """How much of an even spread from low to high lies inside, 0 only if nothing does."""
        first = low if self.first is None else max(self.first, low)
        last = high if self.last is None else min(self.last, high)
        if first > last:
            return 0.0
        return 1.0 if high == low else max((last - first) / (high - low), 1e-9)


@dataclass(frozen=True)
class Part:
    """One file: its footer, the polars types of the source's columns in it (one object for files alike), what can pass."""

    footer: Footer
    types: Types
    rows: int
    passing: float


EVER = Span()


def parts(source: Source, span: Span = EVER) -> list[Part]:
    """Every file of the source, in its order, checked by its footer alone."""
    try:
        return _parts(source, span)
    except FileGoneError:
        return _parts(source, span)


def _parts(source: Source, span: Span) -> list[Part]:
    try:
        paths = files_of(source.where)
    except UNREADABLE as error:
        raise SourceError(f"view {source.view!r}: {source.where.uri} cannot be listed: {error}") from error
    if not paths:
        raise SourceError(
            f"view {source.view!r}: there is no file at {source.where.uri}: write the table first or correct its path"
        )
    files = [_part(source, path, span) for path in paths]
    kinds = _first_of_each_kind(files)
    for part in kinds:
        _check_types(source, part)
    _check_families(source, kinds)
    if source.created and not any(source.created in part.types for part in files):
        _refuse(source, paths[0], source.created, "is missing there and in every other file of the source")
    return files


def _first_of_each_kind(of_files: list[Part]) -> list[Part]:
    first: dict[int, Part] = {}
    for part in of_files:
        first.setdefault(id(part.types), part)
    return list(first.values())


def _check_types(source: Source, part: Part) -> None:
    for name, kind in part.types.items():
        if name in source.moments and not is_moment(kind):
            what = f"is {kind}, not a timestamp: write it as a timestamp or a date"
            _refuse(source, part.footer.path, name, what)
        if not _fits(source.kinds.get(name, ""), kind):
            _refuse(source, part.footer.path, name, f"is {kind}, but the view declares {source.kinds[name]}")


def _check_families(source: Source, of_files: list[Part]) -> None:
    """Refuse a column that is one kind of thing in one file and another in the next, for polars would make text of it."""
    seen: dict[str, Part] = {}
    for part in of_files:
        for name, kind in part.types.items():
            if kind == pl.Null:
                continue
            first = seen.setdefault(name, part)
            if _family(first.types[name]) != _family(kind):
                _refuse(
                    source,
                    part.footer.path,
                    name,
                    f"is {kind}, but {first.types[name]} in {first.footer.path}",
                )


def _family(kind: pl.DataType) -> str:
    if kind.is_numeric():
        return "number"
    if is_moment(kind):
        return "moment"
    return "text" if kind in TEXT else str(kind.base_type())


def _part(source: Source, path: str, span: Span) -> Part:
    try:
        one = footer(source.where, path, source.timestamp)
        types = one.types(tuple(source.columns))
    except UNREADABLE as error:
        unreadable(source, path, error)
    missing = [name for name in source.columns if name not in types and name not in one.hive]
    if missing and missing != [source.created]:
        absent = next(name for name in missing if name != source.created)
        _refuse(source, path, absent, f"is missing; the file has {', '.join(one.schema.names)}")
    return Part(one, types, *_passing(one, types.get(source.timestamp), span))


def _passing(one: Footer, kind: pl.DataType | None, span: Span) -> tuple[int, float]:
    """Rows of a file, and how many of them lie in the span if each row group is spread evenly."""
    rows = sum(count for count, _, _ in one.spans)
    if not one.spans or not isinstance(kind, pl.Datetime):
        return max(rows, 1), float(max(rows, 1))
    passing = 0.0
    for count, low, high in one.spans:
        if low is None or high is None:
            passing += count
        else:
            passing += count * span.share(_micro(low, kind), _micro(high, kind) + 1)
    return rows, passing


def _micro(number: int, kind: pl.Datetime) -> int:
    return number * PER_SECOND["us"] // PER_SECOND[kind.time_unit]


def _fits(declared: str, kind: pl.DataType) -> bool:
    if kind == pl.Null:
        return True
    if declared in NUMBERS:
        return kind.is_numeric() or kind == pl.Boolean
    if declared.startswith(("Array", "Set")):
        return isinstance(kind, pl.List | pl.Array)
    expected = {"String": kind in TEXT, "Bool": kind == pl.Boolean, "Bytes": kind in (pl.Binary, pl.String)}
    return expected.get(declared, True)


def _refuse(source: Source, path: str, column: str, what: str) -> NoReturn:
    raise SourceError(f"view {source.view!r}: in {path} the column {column!r} {what}")


def unreadable(source: Source, path: str, error: BaseException) -> NoReturn:
    name = PurePosixPath(path).name
    kind = FileGoneError if isinstance(error, FileNotFoundError) else SourceError
    raise kind(
        f"view {source.view!r}: {path} cannot be read: {error}. If {name} is damaged, write it again or remove it"
    ) from error
