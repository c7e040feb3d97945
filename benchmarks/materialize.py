"""Bringing features online in bulk, against Feast's stock stores and against the limit, in one run.

Each contender materialises the same tables of ten features a customer, three rounds in turn. What counts is the CPU time
of this process and of the Redis server together. The limit writes the bytes that the stock store left, ready made.
"""

import argparse
import sqlite3
import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from benchmarks.online_setup import (
    BULK,
    DAY,
    ENGINE,
    NOW,
    VIEWS,
    cpu,
    definitions,
    opened,
    quiet,
    redis_server,
    table,
)
from benchmarks.report import save

ROUNDS = 3
ORDER = tuple(f"{kind} {way}" for kind in BULK for way in ("stock", "bulk", "limit"))
OFFLINE = {"offline_store": {"type": "feature_repo.offline_store.store.PolarsOfflineStore"}}
BATCH = 1_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=20_000, help="customers in each of three views")
    rows = parser.parse_args().rows
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for view in VIEWS:
            table(view, rows).write_parquet(folder / f"{view}.parquet")
        with redis_server(folder) as (port, server):
            seconds = measured(folder, port, server)
    rates = {contender: len(VIEWS) * rows / spent for contender, spent in seconds.items()}
    ratios = {
        "redis_vs_feast_stock": rates["redis bulk"] / rates["redis stock"],
        "sqlite_vs_feast_stock": rates["sqlite bulk"] / rates["sqlite stock"],
        "redis_vs_limit": rates["redis bulk"] / rates["redis limit"],
        "sqlite_vs_limit": rates["sqlite bulk"] / rates["sqlite limit"],
    }
    figures = {
        "rows": rows,
        "views": len(VIEWS),
        "rows a CPU-second": rates,
        "CPU-seconds, median of three rounds": seconds,
    }
    print(f"{len(VIEWS)} views of 10 features, {rows} rows each")
    print(table_of(figures))
    print("  ".join(f"{name} {ratio:.2f}" for name, ratio in ratios.items()))
    save("materialize", figures, {name: round(ratio, 3) for name, ratio in ratios.items()})


def table_of(figures: dict[str, Any]) -> str:
    """What the screen and the page show of the figures."""
    rates, seconds = figures["rows a CPU-second"], figures["CPU-seconds, median of three rounds"]
    lines = [f"{'':14}{'rows a CPU-second':>20}{'CPU-s':>10}"]
    return "\n".join(lines + [f"{who:14}{rates[who]:20,.0f}{seconds[who]:10.2f}" for who in ORDER])


def measured(folder: Path, port: int, server: psutil.Process) -> dict[str, float]:
    """Median CPU-seconds of each contender over the rounds."""
    contenders = {**sqlite_contenders(folder), **redis_contenders(folder, port)}
    spent: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(ROUNDS):
        for name, (empty, run) in contenders.items():
            quiet(empty)
            before = cpu(server)
            quiet(run)
            spent[name].append(cpu(server) - before)
    return {name: statistics.median(each) for name, each in spent.items()}


Contender = tuple[Callable[[], Any], Callable[[], Any]]


def sqlite_contenders(folder: Path) -> dict[str, Contender]:
    """Stock, bulk, and sqlite3 given the stock store's rows."""
    stock = store(folder / "sqlite stock", folder, {"type": "sqlite", "path": str(folder / "stock.db")})
    bulk = store(
        folder / "sqlite bulk",
        folder,
        {"type": BULK["sqlite"], "path": str(folder / "bulk.db")},
        batch_engine=ENGINE,
        **OFFLINE,
    )
    held: list[list[tuple[Any, ...]]] = []
    columns = "entity_key, feature_name, value, vector_value, event_ts, created_ts"

    def empty(path: Path) -> Callable[[], None]:
        def emptied() -> None:
            with sqlite3.connect(path) as connection:
                names = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
                for (name,) in names:
                    connection.execute(f'DELETE FROM "{name}"')

        return emptied

    def fresh() -> None:
        if not held:
            with sqlite3.connect(f"file:{folder / 'stock.db'}?mode=ro", uri=True) as stocked:
                tables = [f"bench_{view}" for view in VIEWS]
                held.extend(
                    stocked.execute(
                        f"SELECT {columns} FROM {name}".replace("event_ts", "CAST(event_ts AS TEXT)")
                    ).fetchall()
                    for name in tables
                )
        (folder / "limit.db").unlink(missing_ok=True)
        with sqlite3.connect(folder / "limit.db") as connection:
            for view in VIEWS:
                connection.execute(
                    f"CREATE TABLE {view} (entity_key BLOB, feature_name TEXT, value BLOB, vector_value BLOB, "
                    "event_ts timestamp, created_ts timestamp, PRIMARY KEY(entity_key, feature_name))"
                )

    def limit() -> None:
        with sqlite3.connect(folder / "limit.db") as connection:
            for view, rows in zip(VIEWS, held, strict=True):
                connection.executemany(f"INSERT INTO {view} VALUES (?, ?, ?, ?, ?, ?)", rows)

    return {
        "sqlite stock": (empty(folder / "stock.db"), materialising(stock)),
        "sqlite bulk": (empty(folder / "bulk.db"), materialising(bulk)),
        "sqlite limit": (fresh, limit),
    }


def redis_contenders(folder: Path, port: int) -> dict[str, Contender]:
    """Stock, bulk, and redis-server given the stock store's hashes."""
    import redis

    def online(kind: str, db: int) -> dict[str, Any]:
        return {"type": kind, "connection_string": f"127.0.0.1:{port},db={db}"}

    stock = store(folder / "redis stock", folder, online("redis", 1))
    bulk = store(folder / "redis bulk", folder, online(BULK["redis"], 2), batch_engine=ENGINE, **OFFLINE)
    clients = {db: redis.Redis(port=port, db=db) for db in (1, 2, 3)}
    held: list[tuple[bytes, int]] = []

    def flush(db: int) -> Callable[[], Any]:
        return clients[db].flushdb

    def fresh() -> None:
        clients[3].flushdb()
        if not held:
            held.extend(commands(clients[1]))

    def limit() -> None:
        connection = clients[3].connection_pool.get_connection()
        for batch, count in held:
            connection.send_packed_command([batch])
            for _ in range(count):
                connection.read_response()
        clients[3].connection_pool.release(connection)

    return {
        "redis stock": (flush(1), materialising(stock)),
        "redis bulk": (flush(2), materialising(bulk)),
        "redis limit": (fresh, limit),
    }


def commands(client: Any) -> list[tuple[bytes, int]]:
    """An HSET for each hash of a database, as they go over the wire, a thousand to a piece, and how many a piece has."""
    packer = client.connection_pool.get_connection()
    hashes = [(key, client.hgetall(key)) for key in client.scan_iter(count=10_000)]
    packed = [
        b"".join(packer.pack_command("HSET", key, *(part for pair in values.items() for part in pair)))
        for key, values in hashes
    ]
    client.connection_pool.release(packer)
    pieces = [packed[first : first + BATCH] for first in range(0, len(packed), BATCH)]
    return [(b"".join(piece), len(piece)) for piece in pieces]


def store(home: Path, tables: Path, online: dict[str, Any], **more: Any) -> Any:
    """A feature store of its own folder over the tables, with their definitions applied."""
    home.mkdir()
    opened_store = opened(home, online, **more)
    quiet(lambda: opened_store.apply(definitions(tables)))
    return opened_store


def materialising(feature_store: Any) -> Callable[[], Any]:
    """Feast's own call for the day of the tables."""
    return lambda: feature_store.materialize(NOW - 2 * DAY, NOW)


if __name__ == "__main__":
    main()
