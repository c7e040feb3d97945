"""A feature view's source read from its files: only the columns that are needed, and only files that can matter.

Whatever is wrong with a file is said with its path, the column and the view, before anything is computed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import PurePosixPath
from typing import NoReturn

import polars as pl
import pyarrow as pa
from polars.exceptions import PanicException, PolarsError

from .files import Footer, Place, SourceError, files_of, footer
from .moments import MICROSECOND, PER_SECOND, finest, is_moment, utc

PAYS = 0.5
"""Rows are filtered by time while reading if at most this share of them can pass; else reading them all is faster."""

UNREADABLE = (PolarsError, PanicException, pa.ArrowException, OSError)
NUMBERS = {"Int32", "Int64", "Float32", "Float64"}
TEXT = (pl.String, pl.Categorical, pl.Enum)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


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
    """Event timestamps that can be chosen: from `first` (None: from ever) to `last`, UTC, both included."""

    first: datetime | None = None
    last: datetime | None = None

    def share(self, low: datetime, high: datetime) -> float:
        """How much of an even spread from low to high lies inside, 0 only if nothing does."""
        first, last = max(self.first or low, low), min(self.last or high, high)
        if first > last:
            return 0.0
        return 1.0 if high == low else max((last - first) / (high - low), 1e-9)


@dataclass(frozen=True)
class Part:
    """One file that is read: its footer, the polars types of the source's columns in it, and what can pass."""

    footer: Footer
    types: dict[str, pl.DataType]
    rows: int
    passing: float


EVER = Span()


def read(source: Source, span: Span = EVER) -> pl.DataFrame:
    """The source's rows in source order (files by path, rows in file order), with `source.columns`.

    Rows whose event timestamp is outside of the span may be left out. Timestamps are UTC without a zone. Raises
    SourceError for no file, an unreadable file, a missing column, or a type that is not what the view declares.
    """
    every = parts(source, span)
    kept = [part for part in every if part.passing > 0]
    if not kept:
        return _normal(pl.DataFrame(schema=every[0].types), source)
    few = sum(part.passing for part in kept) <= PAYS * sum(part.rows for part in kept)
    wanted = span if few else EVER
    alike = len({(part.footer.arrow, tuple(part.types.items())) for part in kept}) == 1
    groups = [kept] if alike else [[part] for part in kept]
    return _together([_normal(_collect(source, group, wanted), source) for group in groups], source)


def parts(source: Source, span: Span = EVER) -> list[Part]:
    """Every file of the source, in its order, checked by its footer alone."""
    try:
        paths = files_of(source.where)
    except UNREADABLE as error:
        raise SourceError(f"view {source.view!r}: {source.where.uri} cannot be listed: {error}") from error
    if not paths:
        raise SourceError(
            f"view {source.view!r}: there is no file at {source.where.uri}: write the table first or correct its path"
        )
    found = [_part(source, path, span) for path in paths]
    if source.created and not any(source.created in part.types for part in found):
        _refuse(source, paths[0], source.created, "is missing there and in every other file of the source")
    return found


def _part(source: Source, path: str, span: Span) -> Part:
    try:
        one = footer(source.where, path, source.timestamp)
        types = one.types(source.columns)
    except UNREADABLE as error:
        _unreadable(source, path, error)
    for name in source.columns:
        if name in types or name in one.hive:
            continue
        if name != source.created:
            _refuse(source, path, name, f"is missing; the file has {', '.join(one.schema.names)}")
    for name, kind in types.items():
        if name in source.moments and not is_moment(kind):
            _refuse(source, path, name, f"is {kind}, not a timestamp: write it as a timestamp or a date")
        if not _fits(source.kinds.get(name, ""), kind):
            _refuse(source, path, name, f"is {kind}, but the view declares {source.kinds[name]}")
    return Part(one, types, *_passing(one, types.get(source.timestamp), span))


def _passing(one: Footer, kind: pl.DataType | None, span: Span) -> tuple[int, float]:
    """Rows of a file, and how many of them lie in the span if each row group is spread evenly."""
    rows = sum(count for count, _, _ in one.spans)
    if not one.spans or not isinstance(kind, pl.Datetime):
        return max(rows, 1), float(max(rows, 1))
    passing = 0.0
    for count, low, high in one.spans:
        whole = low is None or high is None
        passing += count * (1.0 if whole else span.share(_moment(low, kind), _moment(high, kind, 1)))
    return rows, passing


def _moment(number: int, kind: pl.Datetime, more: int = 0) -> datetime:
    microseconds = number * PER_SECOND["us"] // PER_SECOND[kind.time_unit] + more
    try:
        return EPOCH + timedelta(microseconds=microseconds)
    except OverflowError:
        return datetime.max.replace(tzinfo=UTC) if number > 0 else datetime.min.replace(tzinfo=UTC)


def _collect(source: Source, group: Sequence[Part], span: Span) -> pl.DataFrame:
    try:
        return _scan(source, group, span).collect(engine="in-memory")
    except UNREADABLE as error:
        if len(group) == 1:
            _unreadable(source, group[0].footer.path, error)
        for part in group:
            _collect(source, [part], span)
        raise


def _scan(source: Source, group: Sequence[Part], span: Span) -> pl.LazyFrame:
    paths, one, options = [part.footer.path for part in group], group[0], source.where.options
    hive = any(name in part.footer.hive for part in group for name in source.columns)
    if one.footer.arrow:
        frame = pl.scan_ipc(paths, storage_options=options, hive_partitioning=hive, glob=False)  # type: ignore[call-arg]
    else:
        frame = pl.scan_parquet(paths, storage_options=options, hive_partitioning=hive, glob=False)
    frame = frame.select(name for name in source.columns if name in one.types or name in one.footer.hive)
    kind = one.types.get(source.timestamp)
    conditions = _inside(source.timestamp, kind, span) if isinstance(kind, pl.Datetime) else []
    return frame.filter(*conditions) if conditions else frame


def _inside(name: str, kind: pl.Datetime, span: Span) -> list[pl.Expr]:
    """Conditions in the column's own type, a unit wider than the span, which statistics of row groups can answer."""
    margin = timedelta(milliseconds=1) if kind.time_unit == "ms" else MICROSECOND
    bounds = {"first": span.first and span.first - margin, "last": span.last and span.last + margin}
    literals = {
        side: pl.lit((moment if kind.time_zone else moment.replace(tzinfo=None)), dtype=kind)
        for side, moment in bounds.items()
        if moment
    }
    below = [pl.col(name) >= literals["first"]] if "first" in literals else []
    return [*below, *([pl.col(name) <= literals["last"]] if "last" in literals else [])]


def _normal(frame: pl.DataFrame, source: Source) -> pl.DataFrame:
    """All columns of the source, timestamps in UTC without a zone, categories as strings."""
    created = source.created
    if created and created not in frame.columns:
        frame = frame.with_columns(pl.lit(None, pl.Datetime("us")).alias(created))
    moments = [utc(frame[name]) for name in source.moments]
    texts = [frame[name].cast(pl.String) for name in frame.columns if frame[name].dtype in TEXT[1:]]
    return frame.with_columns(*moments, *texts).select(source.columns)


def _together(frames: list[pl.DataFrame], source: Source) -> pl.DataFrame:
    if len(frames) == 1:
        return frames[0]
    unit = finest(*(frame[name] for frame in frames for name in source.moments))
    same = [frame.with_columns(pl.col(source.moments).dt.cast_time_unit(unit)) for frame in frames]
    try:
        return pl.concat(same, how="vertical_relaxed")
    except PolarsError as error:
        raise SourceError(
            f"view {source.view!r}: the files of {source.where.uri} have columns of types that do not go together: "
            f"{error}"
        ) from error


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


def _unreadable(source: Source, path: str, error: BaseException) -> NoReturn:
    name = PurePosixPath(path).name
    raise SourceError(
        f"view {source.view!r}: {path} cannot be read: {error}. If {name} is damaged, write it again or remove it"
    ) from error
