"""Rows of a database by a query: read in parts, in the types that it has them in, and without changing anything.

An address is SQLAlchemy's; `duckdb:///file` is read by DuckDB's own client, which needs no other package, and what
begins with `adbc+` by Arrow's. A connection that is lost, or cannot be had, is tried again; a query that the database
refuses is not.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from importlib.util import find_spec
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from resources.addresses import HIDDEN, shown
from resources.queries import BusyDatabaseError, DatabaseError, Query, bounds

if TYPE_CHECKING:
    import polars as pl
    from sqlalchemy import Connection, Engine

PART = 50_000
"""Rows that are in memory at once before they have their types."""

TRIES = 4
FIRST_PAUSE_S = 0.5
DUCKDB = "duckdb"
PACKAGES = {"postgresql": "psycopg2-binary", "mysql": "PyMySQL", "mssql": "pyodbc", "oracle": "oracledb"}
"""What has to be installed beside SQLAlchemy, by the first word of an address; any other driver is named after a plus sign."""


def read_query(address: str, query: Query, rows: int = PART) -> "Iterator[pl.DataFrame]":
    """What a query gives, `rows` at a time; an answer without rows is one frame that has its columns.

    A try that fails after some parts were handed out is the last one: rows are never given twice.
    """
    import polars as pl
    import tenacity
    from sqlalchemy.exc import SQLAlchemyError

    given = 0

    def begun() -> "Iterator[pl.DataFrame]":
        parts = _parts(address, query, rows)
        return chain([next(parts)], parts)

    tries: Callable[..., Any] = tenacity.Retrying(
        retry=tenacity.retry_if_exception(_is_passing),
        wait=tenacity.wait_exponential(multiplier=FIRST_PAUSE_S, max=8),
        stop=tenacity.stop_after_attempt(TRIES),
        reraise=True,
    )
    try:
        for part in tries(begun):
            given += part.height
            yield part
    except (SQLAlchemyError, pl.exceptions.PolarsError, TypeError, ValueError, OverflowError) as error:
        after = f" after {given} rows" if given else ""
        raise DatabaseError(f"{shown(address)}: {_said(error, address)}{after}") from None


def _parts(address: str, query: Query, rows: int) -> "Iterator[pl.DataFrame]":
    if address.startswith(f"{DUCKDB}:"):
        return _of_duckdb(address, query, rows)
    if address.startswith("adbc+"):
        from resources.arrow_databases import of_adbc

        return of_adbc(address, query, rows)
    return _of_sqlalchemy(address, query, rows)


def _of_duckdb(address: str, query: Query, rows: int) -> "Iterator[pl.DataFrame]":
    try:
        import duckdb
    except ImportError:
        raise DatabaseError(f"{shown(address)}: DuckDB is not installed: pip install duckdb") from None
    try:
        yield from _of_duckdb_file(unquote(urlsplit(address).path).removeprefix("/"), query, rows)
    except duckdb.Error as error:
        busy = isinstance(error, duckdb.IOException) and "lock" in str(error)
        kind = BusyDatabaseError if busy else DatabaseError
        raise kind(f"{shown(address)}: {_said(error, address)}") from None


def _of_duckdb_file(file: str, query: Query, rows: int) -> "Iterator[pl.DataFrame]":
    import duckdb
    import polars as pl

    with closing(duckdb.connect(file, read_only=True)) as connection:
        connection.execute("SET TimeZone = $zone", {"zone": query.zone})
        given = bounds(DUCKDB, query) if query.span else None
        answer = connection.execute(query.named.sub(r"$\1", query.text), given)
        reader: Any = answer.to_arrow_reader(rows)
        yield pl.DataFrame(pl.from_arrow(reader.schema.empty_table()))
        for batch in reader:
            yield pl.DataFrame(pl.from_arrow(batch))


def _of_sqlalchemy(address: str, query: Query, rows: int) -> "Iterator[pl.DataFrame]":
    from sqlalchemy import text

    with _engine(address) as engine, engine.connect() as connection:
        _only_read(connection, query.zone)
        given = bounds(engine.dialect.name, query) if query.span else {}
        streamed = connection.execution_options(stream_results=True, max_row_buffer=rows)
        answer = streamed.execute(text(query.text), given)
        if not answer.returns_rows:
            raise DatabaseError(f"{shown(address)}: the query gives no rows: write one SELECT")
        names = list(answer.keys())
        if twice := next((name for name in names if names.count(name) > 1), None):
            raise DatabaseError(
                f"{shown(address)}: the query gives two columns {twice!r}: name one of them with AS"
            )
        yield _frame(names, [])
        for part in answer.partitions(rows):
            yield _frame(names, part)


def _frame(names: list[str], rows: Any) -> "pl.DataFrame":
    """Rows as the database's client gave them, each column in the type of its own values."""
    import polars as pl

    columns = zip(*rows, strict=True) if rows else ([] for _ in names)
    return pl.DataFrame(
        [pl.Series(name, _plain(values)) for name, values in zip(names, columns, strict=True)]
    )


def _plain(values: Any) -> list[Any]:
    """Values of a column as polars takes them, an identifier or a network's address as the text that it is."""
    from datetime import date, time
    from decimal import Decimal

    def plain(value: Any) -> Any:
        if isinstance(value, datetime) and value.tzinfo:
            return value.astimezone(UTC)
        return value if value is None or isinstance(value, plain_types) else str(value)

    plain_types = (bool, int, float, str, bytes, date, time, timedelta, Decimal, list, tuple, dict)
    return [plain(value) for value in values]


@contextmanager
def _engine(address: str) -> "Iterator[Engine]":
    from sqlalchemy import create_engine
    from sqlalchemy.exc import ArgumentError, NoSuchModuleError
    from sqlalchemy.pool import NullPool

    kind = re.split(r"[+:]", address, maxsplit=1)[0]
    try:
        engine = create_engine(_with_driver(address), poolclass=NullPool)
        _refuse_missing_file(engine)
    except (ArgumentError, NoSuchModuleError) as error:
        raise DatabaseError(
            f"{shown(address)} is no address of a database ({_said(error, address)}): write it as postgresql://user:password@host/name"
        ) from None
    except ModuleNotFoundError as error:
        package = error.name if "+" in address.partition(":")[0] else PACKAGES.get(kind, error.name)
        raise DatabaseError(f"{shown(address)} needs the package {package}: pip install {package}") from None
    try:
        yield engine
    finally:
        engine.dispose()


def _with_driver(address: str) -> str:
    """SQLAlchemy takes psycopg for PostgreSQL where none is named; psycopg2 does as well where it alone is installed."""
    plain = address.startswith("postgresql://")
    return (
        f"postgresql+psycopg2{address.removeprefix('postgresql')}"
        if plain and find_spec("psycopg") is None and find_spec("psycopg2")
        else address
    )


def _refuse_missing_file(engine: "Engine") -> None:
    """SQLite would make an empty database where none is."""
    file = engine.url.database
    if engine.dialect.name == "sqlite" and file and not file.startswith("file:") and not Path(file).is_file():
        raise DatabaseError(f"no SQLite database is at {file}: correct the address")


def _only_read(connection: "Connection", zone: str) -> None:
    """Let the database refuse what would change it, and let it take moments without a zone for those of `zone`."""
    from sqlalchemy import text

    kind = connection.dialect.name
    if kind == "postgresql":
        connection.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"))
        connection.execute(text("SELECT set_config('TimeZone', :zone, true)"), {"zone": zone})
    elif kind in ("mysql", "mariadb"):
        connection.execute(text("SET SESSION TRANSACTION READ ONLY"))
        connection.rollback()
    elif kind == "sqlite":
        connection.execute(text("PRAGMA query_only = ON"))


def _is_passing(error: BaseException) -> bool:
    """Whether the connection failed, and not the query."""
    from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError

    if isinstance(error, DBAPIError) and error.connection_invalidated:
        return True
    if isinstance(error, InterfaceError | BusyDatabaseError):
        return True
    return isinstance(error, OperationalError) and error.statement is None


def _said(error: BaseException, address: str) -> str:
    """What a database says, in one line; never its password."""
    text = str(getattr(error, "orig", None) or error)
    first = next((line.strip() for line in text.splitlines() if line.strip()), type(error).__name__)
    password = urlsplit(address).password
    for secret in {password, unquote(password)} if password else ():
        first = first.replace(secret, HIDDEN)
    return shown(first)
