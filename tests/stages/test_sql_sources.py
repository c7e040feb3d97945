"""A query of a real database gives the rows of a span in the types of the spec, or says in words why it cannot."""

import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from zoneinfo import ZoneInfo

import duckdb
import polars as pl
import pytest
from sqlalchemy import create_engine, text

from mlops_assets.spec.calendar import Calendar
from mlops_assets.spec.sources import NAMED
from mlops_assets.spec.table import TableSpec
from mlops_assets.stages.errors import NotYetThereError, SourceError
from mlops_assets.stages.sources import read_rows, refuse_unfit_source
from resources import databases
from resources.databases import read_query
from resources.queries import Query
from tests import postgres
from tests.declared import END, START, loans, loans_frame

QUERY = (
    "SELECT loan_id, amount, zipcode, applied_at FROM loans WHERE applied_at >= :start AND applied_at < :end"
)
SOURCE = {"kind": "sql", "database": "SHOP_DATABASE", "query": QUERY}
WEEK = SimpleNamespace(start=START, end=END)
KINDS = ("sqlite", "duckdb", "postgresql", "adbc+sqlite", "adbc+postgresql")

Execute = Callable[..., None]


@pytest.fixture(scope="module")
def postgres_address(tmp_path_factory: pytest.TempPathFactory, free_port: Any) -> Iterator[str]:
    with postgres.served(tmp_path_factory.mktemp("postgres"), free_port()) as address:
        yield address


@pytest.fixture(params=KINDS)
def database(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Any]:
    """An empty database of each kind: its kind, its address, and how a test writes to it."""
    kind = request.param.removeprefix("adbc+")
    if kind == "postgresql":
        address = request.getfixturevalue("postgres_address")
        with create_engine(address).begin() as connection:
            connection.execute(text("DROP SCHEMA public CASCADE"))
            connection.execute(text("CREATE SCHEMA public"))
    else:
        address = f"{kind}:///{tmp_path}/shop.db"
    by = address.replace("postgresql+psycopg2", "postgresql") if "adbc" in request.param else address
    read_by = f"adbc+{by}" if "adbc" in request.param else by
    monkeypatch.setenv("SHOP_DATABASE", read_by)
    yield SimpleNamespace(kind=kind, address=read_by, execute=lambda *given: execute(address, *given))


def execute(address: str, statement: str, rows: list[tuple[Any, ...]] | None = None) -> None:
    """Write to a database by its own client."""
    if address.startswith("duckdb"):
        with duckdb.connect(address.removeprefix("duckdb:///")) as duck:
            duck.executemany(statement, rows) if rows else duck.execute(statement)
    elif address.startswith("sqlite"):
        with sqlite3.connect(address.removeprefix("sqlite:///")) as lite:
            lite.executemany(statement, rows or [()])
        lite.close()
    else:
        engine = create_engine(address)
        connection = engine.raw_connection()
        connection.cursor().executemany(statement.replace("?", "%s"), rows or [()])
        connection.commit()
        engine.dispose()


def rows_of(spec: TableSpec, span: Any = WEEK) -> pl.DataFrame:
    return read_rows(spec, Path("/"), span).frame


def refusal(spec: TableSpec, span: Any = WEEK) -> str:
    with pytest.raises(SourceError) as caught:
        read_rows(spec, Path("/"), span)
    return str(caught.value)


def fill(database: Any, *days: int) -> pl.DataFrame:
    """A loan at noon of each day, in a table with moments where the database has them."""
    frame = loans_frame(*days)
    moment = {"sqlite": "TEXT", "duckdb": "TIMESTAMPTZ", "postgresql": "TIMESTAMPTZ"}[database.kind]
    database.execute(
        f"CREATE TABLE loans (loan_id INTEGER, amount DOUBLE PRECISION, zipcode TEXT, applied_at {moment})"
    )
    rows = [
        (number, amount, code, f"{at:%Y-%m-%d %H:%M:%S}" if database.kind == "sqlite" else at)
        for number, amount, code, at in frame.rows()
    ]
    database.execute("INSERT INTO loans VALUES (?, ?, ?, ?)", rows)
    return frame


def test_the_rows_of_a_partition_are_those_that_the_database_has_of_it_and_no_others(database):
    frame = fill(database, *range(1, 16))
    assert rows_of(loans(source=SOURCE)).equals(frame.filter(pl.col("applied_at") < END))


def test_whatever_is_in_one_part_the_rows_are_the_same(database, monkeypatch):
    frame = fill(database, *range(1, 8))
    for rows in (1, 2, 3, 100):
        parts = list(read_query(database.address, Query(QUERY, NAMED, (START, END), "UTC"), rows))
        assert [part.height for part in parts if part.height] == [min(rows, 7 - n) for n in range(0, 7, rows)]
        assert pl.concat([part for part in parts if part.height])["loan_id"].sort().equals(frame["loan_id"])


TYPES = {
    "int": ("BIGINT", 2**63 - 1),
    "float": ("DOUBLE PRECISION", 0.1 + 0.2),
    "str": ("TEXT", 'Zoë\'s "shop" : start'),
    "bool": ("BOOLEAN", True),
    "date": ("DATE", date(2024, 2, 29)),
    "datetime": ("TIMESTAMPTZ", datetime(2024, 2, 29, 12, 30, 15, 123456, tzinfo=UTC)),
}


@pytest.mark.parametrize("kind", TYPES)
def test_a_value_keeps_its_type_and_a_missing_one_stays_missing(database, kind):
    declared, value = TYPES[kind]
    written = value
    if database.kind == "sqlite" and isinstance(value, date):
        declared, written = "TEXT", value.isoformat()
    database.execute(f"CREATE TABLE things (number BIGINT, value {declared})")
    database.execute("INSERT INTO things VALUES (?, ?)", [(1, written), (2, None)])
    spec = TableSpec.model_validate(
        {
            "name": "things",
            "source": {**SOURCE, "query": "SELECT number, value FROM things"},
            "columns": {"number": "int", "value": f"{kind} | null"},
            "key": ["number"],
        }
    )
    assert rows_of(spec, SimpleNamespace(start=None, end=None))["value"].to_list() == [value, None]


@pytest.mark.parametrize("declared", ["TIMESTAMP", "TIMESTAMPTZ"])
def test_no_hour_of_a_year_with_its_two_changes_of_the_clocks_is_lost_or_doubled(database, declared):
    """A row each half hour around both changes; without a zone as the clocks of Berlin show it, where two hours look alike."""
    zone = ZoneInfo("Europe/Berlin")
    changes = (datetime(2024, 3, 31, 1, tzinfo=UTC), datetime(2024, 10, 27, 1, tzinfo=UTC))
    moments = [change + timedelta(minutes=30 * n) for change in changes for n in range(-7, 8)]
    lite = database.kind == "sqlite"
    plain = lite or declared == "TIMESTAMP"
    shown = [at.astimezone(zone).replace(tzinfo=None) if plain else at for at in moments]
    written = [at.isoformat("T" if n % 2 else " ") if lite else at for n, at in enumerate(shown)]
    database.execute(f"CREATE TABLE ticks (number BIGINT, moment {'TEXT' if lite else declared})")
    database.execute("INSERT INTO ticks VALUES (?, ?)", list(enumerate(written)))
    spec = TableSpec.model_validate(
        {
            "name": "ticks",
            "source": {
                **SOURCE,
                "query": "SELECT number, moment FROM ticks WHERE moment >= :start AND moment < :end",
            },
            "columns": {"number": "int", "moment": "datetime"},
            "key": ["number"],
            "time": "moment",
            "timezone": "Europe/Berlin",
            "empty": "allowed",
        }
    )
    by_hours = [] if database.address.startswith("adbc") else [("hourly", timedelta(hours=6))]
    for cadence, near in (*by_hours, ("daily", timedelta(days=2))):
        calendar = Calendar(cadence=cadence, start=date(2024, 3, 28), timezone="Europe/Berlin")
        spans = [calendar.partition(name) for name in calendar.names(moments[-1] + timedelta(days=1))]
        around = [span for span in spans if any(abs(span.start - change) < near for change in changes)]
        read = [number for span in around for number in rows_of(spec, span)["number"].to_list()]
        assert sorted(read) == list(range(len(moments)))


def test_reading_changes_nothing(database):
    fill(database, 1, 2)
    if database.kind == "postgresql":
        database.execute("CREATE FUNCTION wipe() RETURNS int LANGUAGE sql AS 'DELETE FROM loans RETURNING 1'")
        query = "SELECT wipe() AS loan_id, 1.5 AS amount, '1' AS zipcode, now() AS applied_at"
    else:
        query = "DELETE FROM loans RETURNING loan_id, amount, zipcode, applied_at"
    spec = loans(source={**SOURCE, "query": f"{query} /* :start :end */"})
    assert "read" in refusal(spec)
    assert rows_of(loans(source=SOURCE)).height == 2


def test_a_missing_column_and_one_of_another_type_are_told_by_name_before_anything_is_written(database):
    fill(database, 1)
    renamed = {**SOURCE, "query": QUERY.replace("zipcode,", "zipcode AS code,")}
    assert "has no column 'zipcode'; it has loan_id" in refusal(loans(source=renamed))
    assert refuse_unfit_source(loans(source=SOURCE), Path("/")) == "read from the database in SHOP_DATABASE"
    with pytest.raises(SourceError, match="has no column 'zipcode'"):
        refuse_unfit_source(loans(source=renamed), Path("/"))
    texts = {**SOURCE, "query": QUERY.replace("amount,", "'much' AS amount,")}
    assert "row 1, column 'amount': 'much' is not a finite number" in refusal(loans(source=texts))


def test_a_span_without_rows_is_waited_for(database):
    fill(database, 20)
    with pytest.raises(NotYetThereError, match="no row from 2024-01-01"):
        rows_of(loans(source=SOURCE))


def test_a_query_that_the_database_refuses_is_told_in_its_words_and_tried_once(database, monkeypatch):
    fill(database, 1)
    pauses: list[float] = []
    monkeypatch.setattr("tenacity.nap.time.sleep", pauses.append)
    told = refusal(loans(source={**SOURCE, "query": QUERY.replace("loans", "lones")}))
    assert "lones" in told and not pauses


def test_a_server_that_comes_back_is_read_and_one_that_does_not_is_told_without_its_password(
    monkeypatch, free_port
):
    import psycopg2

    refused: list[int] = []
    real = psycopg2.connect

    def connect(*given: Any, **named: Any) -> Any:
        refused.append(1)
        return real(*given, **named)

    monkeypatch.setattr(psycopg2, "connect", connect)
    monkeypatch.setattr("tenacity.nap.time.sleep", lambda _: None)
    address = f"postgresql+psycopg2://shop:{postgres.PASSWORD.replace(' ', '%20')}@127.0.0.1:{free_port()}/x"
    monkeypatch.setenv("SHOP_DATABASE", address)
    told = refusal(loans(source=SOURCE))
    assert len(refused) == databases.TRIES
    assert "refused" in told and "sesame" not in told


@pytest.mark.parametrize("by", ["postgresql", "adbc+postgresql"])
def test_a_password_that_is_refused_is_tried_again_and_not_told(postgres_address, monkeypatch, by):
    pauses: list[float] = []
    monkeypatch.setattr("tenacity.nap.time.sleep", pauses.append)
    wrong = postgres_address.replace("postgresql+psycopg2", by).replace("open%20sesame", "shut%20sesame")
    monkeypatch.setenv("SHOP_DATABASE", wrong)
    told = refusal(loans(source=SOURCE))
    assert "password authentication failed" in told and "sesame" not in told
    assert len(pauses) == databases.TRIES - 1


def test_types_of_postgresql_that_arrow_lacks_are_read_as_texts_and_numbers_or_told(
    postgres_address, monkeypatch
):
    monkeypatch.setenv("SHOP_DATABASE", postgres_address.replace("postgresql+psycopg2", "adbc+postgresql"))
    number = "0a0b0c0d-0000-4000-8000-000000000001"
    query = f"SELECT '{number}'::uuid AS loan_id, 1234.50::numeric(10, 2) AS amount, '{{}}'::jsonb AS zipcode"
    columns = {"loan_id": "str", "amount": "float", "zipcode": "str"}
    spec = loans(source={**SOURCE, "query": query}, columns=columns, time=None)
    whole = SimpleNamespace(start=None, end=None)
    assert rows_of(spec, whole).rows() == [(number, 1234.5, "{}")]
    spec = loans(source={**SOURCE, "query": f"{query}, interval '1 day' AS late"}, columns=columns, time=None)
    assert "column 'late' is of the type" in refusal(spec, whole) and "CAST(late AS text)" in refusal(
        spec, whole
    )


def test_a_driver_that_is_not_installed_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "adbc_driver_postgresql.dbapi", None)
    monkeypatch.setenv("SHOP_DATABASE", "adbc+postgresql://shop:sesame@127.0.0.1/x")
    told = refusal(loans(source=SOURCE))
    assert "pip install adbc-driver-postgresql" in told and "sesame" not in told


def test_a_file_that_another_process_writes_to_is_waited_for(tmp_path, monkeypatch):
    file = tmp_path / "shop.db"
    fill(SimpleNamespace(kind="duckdb", execute=lambda *given: execute(f"duckdb:///{file}", *given)), 1)
    monkeypatch.setenv("SHOP_DATABASE", f"duckdb:///{file}")
    held = "import duckdb, sys; duckdb.connect(sys.argv[1]); print(flush=True); input()"
    command = [sys.executable, "-c", held, str(file)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as writer:
        assert writer.stdout is not None and writer.stdout.readline()
        monkeypatch.setattr("tenacity.nap.time.sleep", lambda _: writer.communicate(b"\n"))
        assert rows_of(loans(source=SOURCE)).height == 1


def test_after_a_lost_connection_the_first_part_is_asked_for_again(postgres_address, monkeypatch):
    """The server ends the session while it answers, once."""
    execute(postgres_address, "DROP TABLE IF EXISTS loans")
    fill(SimpleNamespace(kind="postgresql", execute=lambda *given: execute(postgres_address, *given)), 1, 2)
    monkeypatch.setenv("SHOP_DATABASE", postgres_address)
    monkeypatch.setattr("tenacity.nap.time.sleep", lambda _: None)
    real, cut = databases._only_read, []

    def only_read(connection: Any, zone: str) -> None:
        real(connection, zone)
        if not cut:
            cut.append(connection.execute(text("SELECT pg_backend_pid()")).scalar_one())
            execute(postgres_address, f"SELECT pg_terminate_backend({cut[0]}, 5000)")

    monkeypatch.setattr(databases, "_only_read", only_read)
    assert rows_of(loans(source=SOURCE)).height == 2
    assert len(cut) == 1


@pytest.mark.parametrize(
    ("address", "says"),
    [
        ("postgresql+nothing://shop:sesame@127.0.0.1/x", "is no address of a database"),
        ("shop.db", "is no address of a database"),
        ("sqlite:////nowhere/shop.db", "no SQLite database is at /nowhere/shop.db"),
        ("mysql+mysqldb://shop:sesame@127.0.0.1/x", "pip install MySQLdb"),
        ("adbc+snowflake://shop:sesame@127.0.0.1/x", "no ADBC driver 'snowflake' is known"),
        ("adbc+sqlite:////nowhere/shop.db", "no SQLite database is at /nowhere/shop.db"),
    ],
)
def test_an_address_that_cannot_be_one_is_told_with_the_fix(monkeypatch, address, says):
    monkeypatch.setenv("SHOP_DATABASE", address)
    told = refusal(loans(source=SOURCE))
    assert says in told and "sesame" not in told


def test_a_variable_that_is_not_set_is_named(monkeypatch):
    monkeypatch.delenv("SHOP_DATABASE", raising=False)
    assert "needs the environment variable SHOP_DATABASE" in refusal(loans(source=SOURCE))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"database": "postgresql://shop:sesame@host/x"}, "an address stands there"),
        ({"query": "SELECT 1 WHERE a > :begin"}, "the parameter :begin"),
        ({"query": " ; "}, "query is empty"),
        ({"query": "SELECT * FROM loans"}, "add WHERE applied_at >= :start AND applied_at < :end"),
    ],
)
def test_what_cannot_be_asked_is_refused_when_the_spec_is_read(changes, says):
    with pytest.raises(ValueError, match=says):
        loans(source={**SOURCE, **changes})


def test_a_static_table_is_read_whole_and_its_query_names_no_span(database):
    fill(database, 1, 2, 9)
    whole = {
        **SOURCE,
        "query": "SELECT loan_id, '12:30' AS at, CAST(amount AS VARCHAR(9)) AS zipcode FROM loans",
    }
    columns = {"loan_id": "int", "zipcode": "str", "at": "str"}
    spec = loans(source=whole, columns=columns, time=None)
    assert rows_of(spec, SimpleNamespace(start=None, end=None))["loan_id"].to_list() == [1, 2, 9]
    with pytest.raises(ValueError, match="is static, read whole"):
        loans(source=SOURCE, time=None)
