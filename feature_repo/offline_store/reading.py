"""A source's rows, read lazily: only the columns that are needed, and of parquet only what the time span can need."""

from collections.abc import Sequence

import polars as pl
import pyarrow as pa
from polars.exceptions import PolarsError
from pyarrow import ipc

from .files import FileGoneError, Place, SourceError
from .moments import LIMIT, PER_SECOND, finest, utc
from .sources import EVER, TEXT, UNREADABLE, Part, Source, Span, parts, unreadable

PAYS = 0.5
"""Rows are filtered by time while reading if at most this share of them can pass; else reading them all is faster."""


def read(source: Source, span: Span = EVER) -> pl.DataFrame:
    """The source's rows in source order (files by path, rows in file order), with `source.columns`.

    Rows whose event timestamp is outside of the span may be left out. Timestamps are UTC without a zone. Raises
    SourceError for no file, an unreadable file, a missing column, or a type that is not what the view declares.
    """
    try:
        return _read(source, span)
    except FileGoneError:
        return _read(source, span)


def _read(source: Source, span: Span) -> pl.DataFrame:
    every = parts(source, span)
    passing = [part for part in every if part.passing > 0]
    if not passing:
        return _normal(pl.DataFrame(schema=every[0].types), source)
    few = sum(part.passing for part in passing) <= PAYS * sum(part.rows for part in passing)
    limits = span if few else EVER
    alike = len({(part.footer.arrow, id(part.types)) for part in passing}) == 1
    groups = [passing] if alike else [[part] for part in passing]
    return _together([_normal(_collect(source, group, limits), source) for group in groups], source)


def read_part(source: Source, part: Part, span: Span = EVER) -> pl.DataFrame:
    """The rows of one of the source's files, as `read` gives them."""
    return _normal(_collect(source, [part], span), source)


def schema(source: Source, of_files: Sequence[Part]) -> pl.Schema:
    """Names and types of what `read` gives, from the footers alone; timestamps in the finest unit of the files."""
    empty = [_normal(pl.DataFrame(schema=part.types), source) for part in of_files]
    units = {frame[name].dtype.time_unit for frame in empty for name in source.moments}  # type: ignore[attr-defined]
    unit = "ns" if "ns" in units else "us"
    return _united(
        [frame.with_columns(pl.col(source.moments).dt.cast_time_unit(unit)) for frame in empty], source
    ).schema


def _collect(source: Source, group: Sequence[Part], span: Span) -> pl.DataFrame:
    try:
        return _arrow(source, group) if group[0].footer.arrow else _parquet(source, group, span)
    except UNREADABLE as error:
        if len(group) == 1:
            unreadable(source, group[0].footer.path, error)
        for part in group:
            _collect(source, [part], span)
        raise


def _parquet(source: Source, group: Sequence[Part], span: Span) -> pl.DataFrame:
    one, paths = group[0], [part.footer.path for part in group]
    hive = any(name in part.footer.hive for part in group for name in source.columns)
    if hive and (twice := [name for name in one.footer.above if name in source.columns]):
        raise SourceError(
            f"view {source.view!r}: {one.footer.path} has {twice[0]}= above the folder of its source, where it is no "
            "column: rename that folder"
        )
    frame = pl.scan_parquet(
        paths,
        storage_options=source.where.options,
        hive_partitioning=hive,
        glob=False,
        extra_columns="ignore",
    )
    frame = frame.select(name for name in source.columns if name in one.types or name in one.footer.hive)
    kind = one.types.get(source.timestamp)
    conditions = _inside(source.timestamp, kind, span) if isinstance(kind, pl.Datetime) else []
    return (frame.filter(*conditions) if conditions else frame).collect(engine="in-memory")


def _arrow(source: Source, group: Sequence[Part]) -> pl.DataFrame:
    """Arrow IPC, mapped into memory where it lies on disk: no byte of it is copied."""
    names = [name for name in source.columns if name in group[0].types]
    return pl.concat(
        [_record_batches(source.where, part.footer.path, names) for part in group], rechunk=False
    )


def _record_batches(where: Place, path: str, names: list[str]) -> pl.DataFrame:
    options = None
    if where.remote:
        handle = where.filesystem.open_input_file(where.bare(path))
        schema = ipc.open_file(handle).schema
        options = ipc.IpcReadOptions(included_fields=sorted(schema.get_field_index(name) for name in names))
    else:
        # Left whole: pyarrow copies the columns of a mapped file when it is told which ones to read.
        handle = pa.memory_map(path)
    return pl.DataFrame(
        pl.from_arrow(ipc.open_file(handle, options=options).read_all().select(names), rechunk=False)
    )


def _inside(name: str, kind: pl.Datetime, span: Span) -> list[pl.Expr]:
    """Conditions in the column's own type, a unit wider than the span, which statistics of row groups can answer."""
    conditions = []
    if span.first is not None and (first := _literal(span.first, kind, -1)) is not None:
        conditions.append(pl.col(name) >= first)
    if span.last is not None and (last := _literal(span.last, kind, 1)) is not None:
        conditions.append(pl.col(name) <= last)
    return conditions


def _literal(micro: int, kind: pl.Datetime, margin: int) -> pl.Expr | None:
    number = micro * PER_SECOND[kind.time_unit] // PER_SECOND["us"] + margin
    return pl.lit(number, pl.Int64).cast(kind) if abs(number) < LIMIT else None


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
    if unit == "ns":
        _refuse_far_moments(frames, source)
    return _united(
        [frame.with_columns(pl.col(source.moments).dt.cast_time_unit(unit)) for frame in frames], source
    )


def _united(frames: Sequence[pl.DataFrame], source: Source) -> pl.DataFrame:
    try:
        return pl.concat(frames, how="vertical_relaxed")
    except PolarsError as error:
        raise SourceError(
            f"view {source.view!r}: the files of {source.where.uri} have columns of types that do not go together: "
            f"{error}"
        ) from error


def _refuse_far_moments(frames: Sequence[pl.DataFrame], source: Source) -> None:
    for frame in frames:
        for name in source.moments:
            micro = frame[name].dt.timestamp("us").abs().max()
            if isinstance(micro, int) and micro > LIMIT // 1000:
                raise SourceError(
                    f"view {source.view!r}: {name!r} in {source.where.uri} has nanoseconds in one file and moments before "
                    "1678 or after 2262 in another, which no unit holds both: write the files in microseconds"
                )
