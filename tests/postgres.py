"""A real PostgreSQL server of a test's own, on a free port of the loopback address."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from mlops_assets.local.cluster_parts import POSTGRES_USER, as_postgres, postgres_program
from mlops_assets.local.running import DevError

PASSWORD = "open sesame"


def needed_postgres(name: str) -> str:
    """Path of one of PostgreSQL's programs; missing ones skip the test and say what to install."""
    try:
        return postgres_program(name)
    except DevError as error:
        pytest.skip(str(error))


@contextmanager
def served(folder: Path, port: int) -> Iterator[str]:
    """A server with an empty database; its address, with a password that needs quoting."""
    make, control = needed_postgres("initdb"), needed_postgres("pg_ctl")
    data, secret = folder / "data", folder / "secret"
    folder.mkdir(parents=True, exist_ok=True)
    secret.write_text(PASSWORD)
    if os.geteuid() == 0:
        for path in (folder, secret):
            shutil.chown(path, POSTGRES_USER)
    options = ["-U", "shop", "-A", "scram-sha-256", f"--pwfile={secret}", "-E", "UTF8", "--no-sync"]
    _run([make, "-D", str(data), *options])
    settings = f"-c listen_addresses=127.0.0.1 -c port={port} -c unix_socket_directories= -c fsync=off"
    _run([control, "-D", str(data), "-w", "-l", str(folder / "log"), "-o", settings, "start"])
    try:
        yield f"postgresql+psycopg2://shop:{PASSWORD.replace(' ', '%20')}@127.0.0.1:{port}/postgres"
    finally:
        _run([control, "-D", str(data), "-m", "immediate", "-w", "stop"])


def _run(command: list[str]) -> None:
    subprocess.run(as_postgres(command), check=True, stdout=subprocess.DEVNULL)
