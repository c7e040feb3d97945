"""A PostgreSQL database as one file, by PostgreSQL's own pg_dump and pg_restore; no password is on a command line."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from resources.addresses import shown
from resources.backup.errors import BackupError


def dumped(address: str) -> bytes:
    """The content of a database at one moment."""
    return _run("pg_dump", address, ["--format=custom", "--no-owner", "--no-privileges"]).stdout


def is_empty(address: str) -> bool:
    """Whether a database has no table yet."""
    [(tables,)] = _answer(address, "select count(*) from pg_tables where schemaname = 'public'")
    return tables == 0


def bring_back(address: str, content: bytes) -> None:
    """Make a database what it was: whatever is in it goes, and whoever is connected is cut off."""
    _answer(
        address,
        "select pg_terminate_backend(pid) from pg_stat_activity "
        "where datname = current_database() and pid <> pg_backend_pid()",
    )
    _answer(address, "drop schema public cascade")
    _answer(address, "create schema public")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "content.dump"
        file.write_bytes(content)
        _run("pg_restore", address, ["--no-owner", "--no-privileges", "--exit-on-error", str(file)])


def _answer(address: str, statement: str) -> list[Any]:
    import sqlalchemy
    from sqlalchemy import exc

    engine = sqlalchemy.create_engine(address, isolation_level="AUTOCOMMIT", poolclass=sqlalchemy.NullPool)
    try:
        with engine.connect() as connection:
            result = connection.execute(sqlalchemy.text(statement))
            return list(result) if result.returns_rows else []
    except exc.SQLAlchemyError as error:
        raise BackupError(
            f"{shown(address)} does not do {statement.split(' from')[0]!r} ({type(error).__name__}): see that it is up and "
            "that this user owns it"
        ) from error


def _run(program: str, address: str, options: Sequence[str]) -> subprocess.CompletedProcess[bytes]:
    import sqlalchemy

    path = shutil.which(program)
    if path is None:
        raise BackupError(f"{program} is not installed: apt-get install postgresql-client")
    url = sqlalchemy.make_url(address)
    where = [
        "-h",
        url.host or "",
        "-p",
        str(url.port or 5432),
        "-U",
        url.username or "",
        "-d",
        url.database or "",
    ]
    given = {**os.environ, "PGPASSWORD": str(url.password or "")}
    done = subprocess.run([path, *where, *options], env=given, capture_output=True, check=False)
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip()[-1000:]
        raise BackupError(f"{program} of {shown(address)} ended with {done.returncode}: {said}")
    return done
