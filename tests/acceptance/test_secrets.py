"""A password in every address, a whole small life with them, and then a look at everything that was left or seen."""

import gzip
import os
import re
import sqlite3
import subprocess
import sys
import threading
import zlib
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import psutil
import pytest

from resources.settings import PROJECT_ROOT
from tests.acceptance.test_training_during_outage import Server
from tests.conftest import needed_program
from tests.flights.thinned import thin
from tests.small_year import THROUGH

SECRET = "hunter2-5f1e"
CLI = (sys.executable, "-W", "ignore", "-m", "mlops_assets.cli")


class Watch:
    """The command lines of all processes of this machine, looked at again and again while something runs."""

    def __init__(self) -> None:
        self.seen: set[str] = set()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def _look(self) -> None:
        while not self._done.wait(0.1):
            for process in psutil.process_iter(["cmdline"]):
                self.seen.add(" ".join(process.info["cmdline"] or []))

    def __enter__(self) -> "Watch":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()


@pytest.fixture(scope="module")
def life(tmp_path_factory, free_port):
    """Eight weeks with a password in every address; the folder, what was printed, and what ran."""
    folder = tmp_path_factory.mktemp("secrets")
    (folder / "server").mkdir()
    server, redis_port = Server(folder / "server", free_port()), free_port()
    redis = [
        needed_program("redis-server", "apt-get install redis-server"),
        "--port",
        str(redis_port),
        "--save",
        "",
    ]
    configured = folder / "redis.conf"
    configured.write_text(f"bind 127.0.0.1\nrequirepass {SECRET}\ndir {folder}\n")
    kept = {k: v for k, v in os.environ.items() if k not in ("DAGSTER_HOME", "MLFLOW_TRACKING_URI")}
    environment = kept | {
        "MLOPS_HOME": str(folder / "home"),
        "MLOPS_DATA": str(thin(folder / "data", every=2, before="2013-04-01")),
        "PYTHONPATH": str(PROJECT_ROOT),
        "MLFLOW_TRACKING_URI": server.uri.replace("://", f"://alice:{SECRET}@"),
        "MLOPS_ONLINE_STORE": f"redis://:{SECRET}@127.0.0.1:{redis_port}/0",
        "MLOPS_RAY_ADDRESS": f"ray://alice:{SECRET}@127.0.0.1:{free_port()}",
        "MLOPS_DAGSTER_URL": f"http://alice:{SECRET}@127.0.0.1:3000",
        "MLOPS_MLFLOW_PATIENCE_S": "1",
    }
    commands = [
        ("run", "--through", THROUGH, "--no-compare", "--no-second-model"),
        ("history", "flight_delay"),
        ("audit", "verify"),
    ]
    server.start()
    server.wait()
    printed = []
    with (
        Watch() as watch,
        subprocess.Popen([redis[0], str(configured), *redis[1:]], stdout=subprocess.DEVNULL) as cache,
    ):
        try:
            printed += [said(command, environment) for command in commands]
        finally:
            server.kill()
        try:
            printed += [said(("audit", "verify"), environment), said(("train", "flight_delay"), environment)]
        finally:
            cache.terminate()
    return folder, printed, watch.seen


def said(command: tuple[str, ...], environment: dict[str, str]) -> tuple[int, str]:
    done = subprocess.run([*CLI, *command], env=environment, cwd=PROJECT_ROOT, capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


def test_the_life_was_lived_with_those_addresses(life):
    folder, printed, seen = life
    assert [code for code, _ in printed[:3]] == [0, 0, 0], printed[0][1][-3000:]
    assert [code for code, _ in printed[3:]] != [0, 0]
    assert (folder / "home" / "serving" / "flight_delay.json").exists()
    assert any("mlflow server" in line for line in seen)


def test_nothing_that_was_printed_and_no_command_line_has_the_password(life):
    _, printed, seen = life
    assert [text for _, text in printed if SECRET in text] == []
    assert [line for line in seen if SECRET in line] == []


def test_no_file_database_or_table_has_it(life):
    folder, _, _ = life
    files = [p for part in ("home", "server") for p in (folder / part).rglob("*") if p.is_file()]
    assert len(files) > 100
    assert {p.suffix for p in files} >= {".parquet", ".db", ".json", ".html"}
    assert [str(p) for p in files if any(SECRET.encode() in content for content in contents(p))] == []


def test_the_key_of_the_audit_log_is_in_its_own_file_alone(life):
    folder, printed, seen = life
    own = folder / "home" / "keys" / "audit.key"
    key = own.read_text().strip()
    assert len(key) == 64
    assert [text for _, text in printed if key in text] + [line for line in seen if key in line] == []
    files = [p for part in ("home", "server") for p in (folder / part).rglob("*") if p.is_file()]
    shapes = (key.encode(), bytes.fromhex(key))
    assert [p for p in files if any(shape in c for c in contents(p) for shape in shapes)] == [own]


def test_the_look_would_find_one(tmp_path):
    """The control: planted as text, compressed, in a table and in a database, it is found."""
    (tmp_path / "a.log").write_text(f"at http://alice:{SECRET}@host")
    (tmp_path / "b.gz").write_bytes(gzip.compress(SECRET.encode()))
    pl.DataFrame({"uri": [SECRET]}).write_parquet(tmp_path / "c.parquet", compression="lz4")
    with sqlite3.connect(tmp_path / "d.db") as database:
        database.execute("create table runs (body blob)")
        database.execute("insert into runs values (?)", (zlib.compress(SECRET.encode()),))
    database.close()
    for file in tmp_path.iterdir():
        assert any(SECRET.encode() in content for content in contents(file)), file


def contents(file: Path) -> Iterator[bytes]:
    """The bytes of a file, and what is packed in it: cells of a table, rows of a database, compressed snapshots."""
    raw = file.read_bytes()
    yield raw
    yield from unpacked(raw)
    if file.suffix == ".parquet":
        frame = pl.read_parquet(file, glob=False)
        yield frame.select(pl.selectors.string()).write_csv().encode()
    if raw.startswith(b"SQLite format 3\0"):
        yield from rows(file)


def rows(file: Path) -> Iterator[bytes]:
    database = sqlite3.connect(f"file:{file}?mode=ro", uri=True)
    try:
        for (table,) in database.execute("select name from sqlite_master where type = 'table'").fetchall():
            for row in database.execute(f'select * from "{table}"'):
                for value in row:
                    cell = value if isinstance(value, bytes) else str(value).encode()
                    yield cell
                    yield from unpacked(cell)
    finally:
        database.close()


def unpacked(content: bytes) -> Iterator[bytes]:
    """What zlib or gzip made of it, where it is that."""
    if re.match(rb"\x1f\x8b|\x78[\x01\x5e\x9c\xda]", content):
        try:
            yield zlib.decompress(content, 47)
        except zlib.error:
            return
