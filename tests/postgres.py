"""A real PostgreSQL server of a test's own, on a free port of the loopback address."""

import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

PASSWORD = "open sesame"
OWNER = "postgres"
"""Whom the server runs as where tests run as root, which it refuses."""


@contextmanager
def served(folder: Path, port: int) -> Iterator[str]:
    """A server with an empty database; its address, with a password that needs quoting."""
    programs = _programs()
    data, secret = folder / "data", folder / "secret"
    folder.mkdir(parents=True, exist_ok=True)
    secret.write_text(PASSWORD)
    if os.geteuid() == 0:
        for path in (folder, *folder.parents):
            if path.stat().st_uid == 0 and path.is_relative_to("/tmp") and path != Path("/tmp"):
                path.chmod(0o711)
        shutil.chown(folder, OWNER)
        shutil.chown(secret, OWNER)
    made = [
        "initdb",
        "-D",
        data,
        "-U",
        "shop",
        "-A",
        "scram-sha-256",
        f"--pwfile={secret}",
        "-E",
        "UTF8",
        "--no-sync",
    ]
    subprocess.run(_command(programs, made), check=True, capture_output=True)
    options = f"-c listen_addresses=127.0.0.1 -c port={port} -c unix_socket_directories= -c fsync=off"
    start = ["pg_ctl", "-D", data, "-w", "-l", folder / "log", "-o", options, "start"]
    subprocess.run(_command(programs, start), check=True, stdout=subprocess.DEVNULL)
    try:
        yield f"postgresql+psycopg2://shop:{PASSWORD.replace(' ', '%20')}@127.0.0.1:{port}/postgres"
    finally:
        stop = ["pg_ctl", "-D", data, "-m", "immediate", "-w", "stop"]
        subprocess.run(_command(programs, stop), check=True, stdout=subprocess.DEVNULL)


def _programs() -> Path:
    """The folder of the newest version that Debian's package has put there."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/pg_ctl"), key=lambda path: float(path.parts[-3]))
    if not found:
        pytest.skip("PostgreSQL's programs are not installed: apt-get install postgresql")
    return found[-1].parent


def _command(programs: Path, words: Sequence[object]) -> list[str]:
    program, *rest = map(str, words)
    run_as = (
        ["setpriv", f"--reuid={OWNER}", f"--regid={OWNER}", "--clear-groups"] if os.geteuid() == 0 else []
    )
    return [*run_as, str(programs / program), *rest]
