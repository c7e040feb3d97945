"""Rows of a database by ADBC: they come as Arrow, column by column, and never pass through Python one by one.

`adbc+postgresql://user:password@host/name` and `adbc+sqlite:////folder/file.db`, each by a driver of its own.
"""

from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote, urlsplit

from resources.addresses import shown
from resources.queries import BusyDatabaseError, DatabaseError, Query, bounds

if TYPE_CHECKING:
    import polars as pl
    import pyarrow as pa

SCHEME = "adbc+"
DRIVERS = ("postgresql", "sqlite")
IN_TEXT = ("numeric",)
"""Types that the driver gives as their text, by the names that PostgreSQL has for them."""


def of_adbc(address: str, query: Query, rows: int) -> "Iterator[pl.DataFrame]":
    """What a query gives, at most `rows` at a time, the first frame without any: it has the columns.

    Raises DatabaseError for an address of a driver that is not known or not installed, and for what the database refuses.
    """
    kind = urlsplit(address).scheme.removeprefix(SCHEME)
    if kind not in DRIVERS:
        raise DatabaseError(
            f"{shown(address)}: no ADBC driver {kind!r} is known: begin it with {SCHEME}{DRIVERS[0]} or {SCHEME}{DRIVERS[1]}"
        )
    try:
        driver: Any = import_module(f"adbc_driver_{kind}.dbapi")
    except ModuleNotFoundError:
        package = f"adbc-driver-{kind}"
        raise DatabaseError(f"{shown(address)} needs the package {package}: pip install {package}") from None
    try:
        yield from _read(driver, kind, address.removeprefix(SCHEME), query, rows)
    except driver.Error as error:
        lost = isinstance(error, driver.OperationalError) and not getattr(error, "sqlstate", None)
        busy = lost and (kind == "postgresql" or "locked" in str(error))
        raise (BusyDatabaseError if busy else DatabaseError)(str(error)) from None


def _read(driver: Any, kind: str, address: str, query: Query, rows: int) -> "Iterator[pl.DataFrame]":
    import polars as pl

    options = {"adbc.sqlite.query.batch_rows": str(rows)} if kind == "sqlite" else {}
    with driver.connect(_of_sqlite(address) if kind == "sqlite" else address) as connection:
        with connection.cursor() as asking:
            _only_read(asking, kind, query.zone)
        with connection.cursor(adbc_stmt_kwargs=options) as cursor:
            cursor.execute(_filled_in(kind, query))
            reader: pa.RecordBatchReader = cursor.fetch_record_batch()
            empty = _frame(reader.schema.empty_table())
            # SQLite has no types before it has rows.
            yield empty.cast(pl.Null) if kind == "sqlite" else empty
            for batch in reader:
                frame = _frame(_table(batch))
                yield from (frame.slice(first, rows) for first in range(0, frame.height, rows))


def _of_sqlite(address: str) -> str:
    """The file as SQLite opens it to be read alone; it would make an empty database where none is."""
    file = unquote(urlsplit(address).path).removeprefix("/")
    if not Path(file).is_file():
        raise DatabaseError(f"no SQLite database is at {file}: correct the address")
    return f"file:{quote(file)}?mode=ro"


def _only_read(cursor: Any, kind: str, zone: str) -> None:
    """Let the database refuse what would change it, and take moments without a zone for those of `zone`."""
    if kind == "postgresql":
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        cursor.execute("SELECT set_config('TimeZone', $1, true)", (zone,))
        cursor.fetchall()


def _filled_in(kind: str, query: Query) -> str:
    """The query with its span written out: PostgreSQL's driver streams only what has no parameters."""
    given = bounds(kind, query) if query.span else {}
    return query.named.sub(lambda match: _moment(given[match[1]]), query.text).replace("\\:", ":")


def _moment(moment: datetime | str) -> str:
    """A moment as PostgreSQL has it, or the text by which SQLite compares it."""
    return f"'{moment}'" if isinstance(moment, str) else f"TIMESTAMPTZ '{moment.isoformat(' ')}'"


def _table(batch: "pa.RecordBatch") -> "pa.Table":
    import pyarrow as pa

    return pa.Table.from_batches([batch])


def _frame(table: "pa.Table") -> "pl.DataFrame":
    """Columns in polars' types. Raises DatabaseError for one that has none there, and for two of one name."""
    import polars as pl

    names = table.column_names
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise DatabaseError(f"the query gives two columns {twice!r}: name one of them with AS")
    columns = (_column(name, column) for name, column in zip(names, table.columns, strict=True))
    return pl.DataFrame([*columns])


def _column(name: str, column: "pa.ChunkedArray") -> "pl.Series":
    import polars as pl
    import pyarrow as pa

    kind = column.type
    if isinstance(kind, pa.UuidType):
        return pl.Series(
            name, [value if value is None else str(value) for value in column.to_pylist()], pl.String
        )
    if isinstance(kind, pa.OpaqueType) and kind.type_name in IN_TEXT:
        numbers = [value if value is None else Decimal(value) for value in _storage(column).to_pylist()]
        return pl.Series(name, numbers, None if column.null_count < len(column) else pl.Decimal(38, 0))
    if isinstance(kind, pa.BaseExtensionType) and pa.types.is_string(kind.storage_type):
        return pl.Series(name, _storage(column))
    if isinstance(kind, pa.BaseExtensionType) or pa.types.is_interval(kind):
        said = kind.type_name if isinstance(kind, pa.OpaqueType) else kind
        raise DatabaseError(
            f"column {name!r} is of the type {said}, which has no reading here: write CAST({name} AS text) AS {name}"
        )
    return pl.Series(name, column)


def _storage(column: "pa.ChunkedArray") -> "pa.ChunkedArray":
    import pyarrow as pa

    return pa.chunked_array([chunk.storage for chunk in column.chunks], column.type.storage_type)
