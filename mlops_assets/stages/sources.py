"""The rows of a table's source for a span of time, in the types that its spec declares, or refused in words.

Only the rows of the span are turned into their types: what is wrong elsewhere in a file stops no other partition. Of a
parquet file only the row groups that may have such rows are read.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from importlib import import_module
from pathlib import Path
from typing import Any

import polars as pl

from mlops_assets.ml.typed import DAY, INSTANT, TYPES, local_day, typed
from mlops_assets.spec.http import HttpSource
from mlops_assets.spec.sources import CsvSource, FileSource, PythonSource, SqlSource
from mlops_assets.spec.table import TableSpec
from mlops_assets.stages.errors import NotYetThereError, SourceError
from mlops_assets.stages.source_databases import A_DAY_LONG_AGO, columns_of, queried
from mlops_assets.stages.source_files import ROW, located, opened, problem_of, refuse_short_rows
from mlops_assets.stages.source_http import csv_of, fetched, json_of
from mlops_assets.stages.source_rows import Part, Span, refuse_columns, rows_of_span, typed_rows
from mlops_assets.stages.source_spans import Bounds, Spans
from mlops_assets.stages.tables import Rows
from resources.lake.lake import Lake
from resources.storage.files import ForeignFile

NEAR = timedelta(days=2)
"""Rows so far outside of a span are read too where a file's times have no zone, or one that stands in the text."""


@dataclass(frozen=True)
class _Span:
    start: datetime | None
    end: datetime | None


_WHOLE = _Span(None, None)
_LONG_AGO = _Span(A_DAY_LONG_AGO, A_DAY_LONG_AGO + timedelta(days=1))


def read_rows(spec: TableSpec, folder: Path, span: Span, spans: Spans | None = None) -> Rows:
    """The rows with `start <= time < end`, sorted by time and key; all of a static table.

    `folder` is the use case's, of which relative paths are. With `spans` only the files are read that may have such rows. Raises SourceError for a source that is not as the spec
    says, and NotYetThereError where there is no row, unless the spec allows for that.
    """
    source = spec.reads
    if isinstance(source, PythonSource):
        parts, origin = [_called(spec, source, span)], source.function
    elif isinstance(source, SqlSource):
        parts, origin = list(_queried(spec, source, span)), f"the database in {source.database}"
    elif isinstance(source, HttpSource):
        parts, origin = list(_fetched(spec, source, span)), source.url
    else:
        files = located(source, folder)
        some = spans.inside(files, span.start, span.end) if spans else files
        parts = [_read(spec, source, file, span) for file in some]
        origin = f"{len(files)} files" if len(files) > 1 else Path(files[0].address).name
    frame = pl.concat([part.frame for part in parts]) if parts else _no_rows(spec)
    if not frame.height and spec.empty == "wait":
        raise _not_there(spec, folder, span, spans)
    left_out = sorted({name for part in parts for name in part.left_out})
    outside = sum(part.outside for part in parts)
    notes = {
        "read from": origin,
        **({"source columns left out": ", ".join(left_out)} if left_out else {}),
        **({"rows outside of the partition left out": outside} if outside else {}),
    }
    return Rows(frame.sort(*([spec.time] if spec.time else []), *spec.key, maintain_order=True), notes)


def states(
    spec: TableSpec, folder: Path, unread: Callable[[str], bool] | None = None
) -> list[list[str | int]] | None:
    """What changes whenever the source's files may have: path, size, time and inode, of `unread` files the path alone.

    None of what is no file.
    """
    if not isinstance(spec.reads, FileSource):
        return None
    return [[*file.state] for file in located(spec.reads, folder, unread)]


def awaited(spec: TableSpec, folder: Path, span: Span, spans: Spans | None = None) -> NotYetThereError | None:
    """Why the rows of a span are still to be waited for, or None where they are there.

    Raises SourceError for a source that is not as the spec says.
    """
    try:
        read_rows(spec, folder, span, spans)
    except NotYetThereError as error:
        return error
    return None


def spans_of(spec: TableSpec, lake: Lake, table: str) -> Spans:
    """What is noted of the files of a table's source."""
    return Spans(lake, table, spec, lambda file: _bounds(spec, file))


def _bounds(spec: TableSpec, file: ForeignFile) -> Bounds | None:
    """The first and the last moment of a file's rows, in microseconds; None where one cannot be told, to be refused when it is read."""
    source, name = spec.reads, str(spec.time)
    assert isinstance(source, FileSource)
    try:
        rows = opened(file, source)
        names = [column for column in rows.collect_schema() if column != ROW]
        if isinstance(source, CsvSource):
            rows = rows.filter(~pl.all_horizontal(pl.col(names) == "")).select(_present(name, source))
        time = rows.select(name).collect(engine="in-memory")[name]
    except (SourceError, pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError):
        return None
    values, bad = typed(time, spec.columns[name].kind, spec.timezone or "UTC")
    if bad is not None or values.has_nulls() or not values.len():
        return None
    moments = values.cast(INSTANT).dt.timestamp("us")
    return int(moments.min()), int(moments.max())  # type: ignore[arg-type]


def _no_rows(spec: TableSpec) -> pl.DataFrame:
    return pl.DataFrame(schema={name: TYPES[column.kind] for name, column in spec.columns.items()})


def load(path: str) -> Any:
    """The function that a spec names; raises SourceError where it cannot be had."""
    module, _, name = path.partition(":")
    try:
        function = getattr(import_module(module), name, None)
    except ImportError as error:
        raise SourceError(f"{path}: module {module} cannot be imported: {error}") from error
    if not callable(function):
        raise SourceError(f"{path}: module {module} has no function {name!r}: name one that it has")
    return function


def _read(spec: TableSpec, source: FileSource, file: ForeignFile, span: Span) -> Part:
    scan = opened(file, source)
    try:
        schema = dict(scan.collect_schema())
        refuse_columns(spec, schema, f"file {file.address}")
        names = [name for name in schema if name != ROW]
        if csv := isinstance(source, CsvSource):
            scan = scan.filter(~pl.all_horizontal(pl.col(names) == ""))
        columns = dict.fromkeys((ROW, *spec.columns, *(names[-1:] if csv else ())))
        rows = scan.filter(_near(spec, schema, span)).select(*columns).collect(engine="in-memory")
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
        raise problem_of(file, source, error) from error
    if isinstance(source, CsvSource):
        refuse_short_rows(file, source, names, rows)
        rows = rows.with_columns(_present(name, source) for name in spec.columns)
    left_out = [name for name in names if name not in spec.columns]
    return rows_of_span(spec, rows, span, f"file {file.address}", left_out)


def _present(name: str, source: CsvSource) -> pl.Expr:
    return pl.when(~pl.col(name).is_in(["", *source.missing])).then(pl.col(name)).alias(name)


def _called(spec: TableSpec, source: PythonSource, span: Span) -> Part:
    function = load(source.function)
    try:
        answer = function(span.start, span.end) if spec.time else function()
    except NotYetThereError:
        raise
    except Exception as error:
        raise SourceError(f"{source.function} failed with {type(error).__name__}: {error}") from error
    frame = answer.collect() if isinstance(answer, pl.LazyFrame) else answer
    if not isinstance(frame, pl.DataFrame):
        kind = f"{type(answer).__module__.split('.')[0]}.{type(answer).__name__}"
        fix = "return polars.from_pandas(frame)" if kind == "pandas.DataFrame" else "return one"
        raise SourceError(f"{source.function} gives a {kind}, expected is a polars.DataFrame: {fix}")
    return typed_rows(spec, frame, span, source.function)


def _queried(spec: TableSpec, source: SqlSource, span: Span) -> Iterator[Part]:
    """The rows of a query, part by part, each in its types before the next is read."""
    before = 0
    for frame in queried(spec, source, span.start, span.end):
        yield typed_rows(spec, frame, span, f"the query of {source.database}", before)
        before += frame.height


def _fetched(spec: TableSpec, source: HttpSource, span: Span) -> Iterator[Part]:
    """The rows of a web address, page by page."""
    before, rows, where = 0, json_of(spec, source), f"the answer of {source.url}"
    for page in fetched(spec, source, span):
        if page.file:
            yield _read(spec, csv_of(source), page.file, span)
        elif page.height:
            frame, left_out = rows.frame(page.rows, page.address)
            part = typed_rows(spec, frame, span, page.address, before)
            yield Part(part.frame, left_out, part.outside)
        before += page.height
    rows.refuse_absent(where)


def _look_at_page(spec: TableSpec, source: HttpSource) -> None:
    """Ask for the rows of a day long ago, of which there are none as a rule, or for a static table's first page."""
    rows = json_of(spec, source)
    for page in fetched(spec, source, _WHOLE if spec.static else _LONG_AGO):
        if page.file:
            schema = dict(opened(page.file, csv_of(source)).collect_schema())
            refuse_columns(spec, schema, page.address)
        elif page.height:
            refuse_columns(spec, dict(rows.frame(page.rows, page.address)[0].schema), page.address)
            rows.refuse_absent(page.address)
        return


def _near(spec: TableSpec, schema: dict[str, Any], span: Span) -> pl.Expr:
    """Rows that may be of the span, told without reading all of a file; those without a time are, to be refused."""
    if spec.time is None or span.start is None or span.end is None:
        return pl.lit(True)
    time, kind, zone = pl.col(spec.time), schema[spec.time], spec.timezone or "UTC"
    if isinstance(kind, pl.Datetime):
        sure = kind.time_zone or zone == "UTC"
        far = timedelta(seconds=1) if sure else NEAR
        return time.is_between(_as(span.start - far, kind), _as(span.end + far, kind)) | time.is_null()
    day = time.cast(pl.String).str.slice(0, 10)
    inside = day.is_between(
        pl.lit(local_day(span.start - NEAR, "UTC")), pl.lit(local_day(span.end + NEAR, "UTC"))
    )
    return inside | ~day.str.contains(DAY) | time.is_null()


def _as(moment: datetime, kind: pl.Datetime) -> pl.Expr:
    """A moment in a column's own unit and zone, so that its statistics can be compared with it."""
    series = pl.Series([moment], dtype=INSTANT).dt.cast_time_unit(kind.time_unit)
    zoned = (
        series.dt.convert_time_zone(kind.time_zone) if kind.time_zone else series.dt.replace_time_zone(None)
    )
    return pl.lit(zoned[0], dtype=kind)


def _not_there(spec: TableSpec, folder: Path, span: Span, spans: Spans | None = None) -> NotYetThereError:
    """That a span has no rows, with the newest row that the source has."""
    if span.start is None or span.end is None:
        return NotYetThereError(f"the source of table {spec.name!r} has no rows", "empty")
    newest = newest_row(spec, folder, spans)
    late = newest is not None and newest < span.start
    numbers = {
        "from": f"{span.start}",
        "to": f"{span.end}",
        "newest row": f"{newest}" if newest else "not known",
    }
    age = f", its newest is of {newest}" if newest else ""
    return NotYetThereError(
        f"the source of table {spec.name!r} has no row from {span.start} to {span.end}{age}: wait for it, or say "
        "empty: allowed where a partition may have none",
        "late" if late else "empty",
        numbers,
    )


def newest_row(spec: TableSpec, folder: Path, spans: Spans | None = None) -> datetime | None:
    """The newest time of any row; of texts the last by the alphabet."""
    if not isinstance(spec.reads, FileSource) or spec.time is None:
        return None
    if spans:
        return spans.newest(located(spec.reads, folder))
    moments: list[datetime] = []
    for file in located(spec.reads, folder):
        time = opened(file, spec.reads).select(pl.col(spec.time).max()).collect()[spec.time]
        moment, bad = typed(time, "datetime", spec.timezone or "UTC")
        moments += [] if bad is not None or moment.has_nulls() else moment.to_list()
    return max(moments, default=None)


def refuse_unfit_source(spec: TableSpec, folder: Path) -> str:
    """Look at a source without reading its rows; a sentence on what is there.

    Raises NotYetThereError where nothing is there yet, and SourceError for a source that is not as the spec says: a
    function that cannot be had, a database that does not answer, a file that cannot be read, a column that is missing or of another type.
    """
    if isinstance(spec.reads, PythonSource):
        load(spec.reads.function)
        return f"made by {spec.reads.function}"
    if isinstance(spec.reads, SqlSource):
        refuse_columns(spec, columns_of(spec, spec.reads), f"the query of {spec.reads.database}")
        return f"read from the database in {spec.reads.database}"
    if isinstance(spec.reads, HttpSource):
        _look_at_page(spec, spec.reads)
        return f"read from {spec.reads.url}"
    files = located(spec.reads, folder)
    for file in files:
        try:
            schema = dict(opened(file, spec.reads).collect_schema())
        except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
            raise problem_of(file, spec.reads, error) from error
        refuse_columns(spec, schema, f"file {file.address}")
    return f"{len(files)} files" if len(files) > 1 else f"1 file, {files[0].address}"
