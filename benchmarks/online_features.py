"""Reading online features: the standard FeatureStore over our stores, Feast's own, and bare client calls for the same bytes.

Thirty features of three views for 1, 10 and 100 customers. In one process the contenders take turns; what counts is the
CPU time of the caller, beside median and 99th percentile of the wall time. Over HTTP the server's CPU time counts: `feast serve`
against the endpoint's route, which gives the same JSON; both hold the same values in Redis.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import psutil
import yaml

from benchmarks.online_setup import (
    BULK,
    DAY,
    ENGINE,
    NOW,
    VIEWS,
    definitions,
    free_port,
    opened,
    quiet,
    redis_server,
    settings,
    table,
    wait_for,
)
from benchmarks.report import save

CUSTOMERS = 2_000
SIZES = {1: 10, 10: 3, 100: 1}
"""Entities a call, and how many times as many calls, so that each size is measured for about as long.

Not over HTTP: `feast serve` replaces its worker after a thousand requests."""

TURNS = 10
HOST = "127.0.0.1"
JSON = {"Content-Type": "application/json"}
Figures = dict[str, dict[str, float]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=300, help="calls of each contender, more of short ones")
    calls = parser.parse_args().calls
    with tempfile.TemporaryDirectory() as name, redis_server(Path(name)) as (port, _):
        folder = Path(name)
        for view in VIEWS:
            table(view, CUSTOMERS).write_parquet(folder / f"{view}.parquet")
        stores = filled(folder, port)
        here = in_process(stores, folder, port, calls)
        there = over_http(folder, port, calls)
    figures = {f"{who} {n}": figure for (who, n), figure in (here | there).items()}
    ratios = ratios_of(here, there)
    kept = {"calls": calls, "features": 30, "reads": figures}
    print(table_of(kept))
    print("  ".join(f"{name} {ratio:.2f}" for name, ratio in ratios.items()))
    save("online_features", kept, ratios)


def filled(folder: Path, port: int) -> dict[str, Any]:
    """Stock and bulk stores on SQLite and Redis, each brought online by its own `materialize`."""
    online = {
        "stock sqlite": {"type": "sqlite", "path": str(folder / "stock.db")},
        "bulk sqlite": {"type": BULK["sqlite"], "path": str(folder / "bulk.db")},
        "stock redis": {"type": "redis", "connection_string": f"{HOST}:{port},db=1"},
        "bulk redis": {"type": BULK["redis"], "connection_string": f"{HOST}:{port},db=2"},
    }
    stores = {}
    for name, config in online.items():
        (folder / name).mkdir()
        more = {"batch_engine": ENGINE} if name.startswith("bulk") else {}
        stores[name] = opened(folder / name, config, **more)
        quiet(lambda name=name: stores[name].apply(definitions(folder)))
        quiet(lambda name=name: stores[name].materialize(NOW - 2 * DAY, NOW))
    return stores


def in_process(
    stores: dict[str, Any], folder: Path, port: int, calls: int
) -> dict[tuple[str, int], dict[str, float]]:
    """CPU and wall milliseconds a call of every store, and of the bare clients."""
    found = {}
    for n in SIZES:
        rows = {"customer_id": list(range(n))}
        contenders = {name: reading(store, rows) for name, store in stores.items()}
        contenders |= {"bare sqlite": bare_sqlite(folder / "stock.db", n), "bare redis": bare_redis(port, n)}
        answers = [contenders[name]() for name in stores]
        if any(not same(answer, answers[0]) for answer in answers[1:]):
            raise SystemExit(f"the stores do not agree on {n} customers")
        for name, figure in timed(contenders, calls * SIZES[n]).items():
            found[name, n] = figure
    return found


def reading(store: Any, rows: dict[str, list[int]]) -> Callable[[], dict[str, list[Any]]]:
    """Feast's own call for the service's features, to Python values."""
    service = store.get_feature_service("scoring")
    return lambda: store.get_online_features(service, rows).to_dict()


def same(ours: dict[str, list[Any]], theirs: dict[str, list[Any]]) -> bool:
    """Whether two answers hold the same values under the same names."""
    return ours.keys() == theirs.keys() and all(ours[name] == theirs[name] for name in ours)


def bare_sqlite(path: Path, n: int) -> Callable[[], Any]:
    """The rows of `n` customers as sqlite3 gives them, nothing decoded."""
    import sqlite3

    connection = sqlite3.connect(path)
    queries = []
    for view in VIEWS:
        keys = connection.execute(f"SELECT DISTINCT entity_key FROM bench_{view} LIMIT {n}").fetchall()
        marks = ",".join("?" * n)
        query = f"SELECT entity_key, feature_name, value FROM bench_{view} WHERE entity_key IN ({marks})"
        queries.append((query, [key for (key,) in keys]))
    return lambda: [connection.execute(query, keys).fetchall() for query, keys in queries]


def bare_redis(port: int, n: int) -> Callable[[], Any]:
    """The hashes of `n` customers as the client gives them, nothing decoded."""
    import redis

    client: Any = redis.Redis(port=port, db=1)
    keys = sorted(client.scan_iter(count=10_000))[:n]
    fields = list(client.hgetall(keys[0]))

    def ask() -> Any:
        with client.pipeline(transaction=False) as pipeline:
            for key in keys:
                pipeline.hmget(key, fields)
            return pipeline.execute()

    return ask


def timed(contenders: dict[str, Callable[[], Any]], calls: int) -> Figures:
    """Milliseconds a call: CPU as the median over ten turns, wall as percentiles over all calls."""
    cpu: dict[str, list[float]] = {name: [] for name in contenders}
    wall: dict[str, list[float]] = {name: [] for name in contenders}
    each = max(calls // TURNS, 1)
    for _ in range(TURNS):
        for name, call in contenders.items():
            began = time.process_time()
            for _ in range(each):
                started = time.perf_counter()
                call()
                wall[name].append((time.perf_counter() - started) * 1e3)
            cpu[name].append((time.process_time() - began) / each * 1e3)
    return {name: figure(median(cpu[name]), wall[name]) for name in contenders}


def figure(cpu: float, wall: list[float]) -> dict[str, float]:
    """CPU, p50 and p99 in milliseconds."""
    return {"cpu_ms": cpu, "p50_ms": float(np.percentile(wall, 50)), "p99_ms": float(np.percentile(wall, 99))}


def over_http(folder: Path, port: int, calls: int) -> dict[tuple[str, int], dict[str, float]]:
    """The same through `feast serve` and through the endpoint's route."""
    found = {}
    with feast_serve(folder, port) as stock, route(folder, port) as ours:
        servers = {"http stock": stock, "http bulk": ours}
        for n in SIZES:
            for name, one in asked(servers, n, calls).items():
                found[name, n] = one
    return found


def asked(servers: dict[str, tuple[int, psutil.Process]], n: int, calls: int) -> Figures:
    """Post the same question to each server in turn; CPU is the server's, wall the caller's."""
    import httpx

    body = json.dumps({"feature_service": "scoring", "entities": {"customer_id": list(range(n))}})
    cpu: dict[str, list[float]] = {name: [] for name in servers}
    wall: dict[str, list[float]] = {name: [] for name in servers}
    each = max(calls // TURNS, 1)
    clients = {name: httpx.Client(base_url=f"http://{HOST}:{port}") for name, (port, _) in servers.items()}
    answers = {name: posted(client, body) for name, client in clients.items()}
    if values(answers["http stock"]) != values(answers["http bulk"]):
        raise SystemExit(f"the servers do not agree on {n} customers")
    for _ in range(TURNS):
        for name, (_, process) in servers.items():
            began = spent(process)
            for _ in range(each):
                started = time.perf_counter()
                posted(clients[name], body)
                wall[name].append((time.perf_counter() - started) * 1e3)
            cpu[name].append((spent(process) - began) / each * 1e3)
    return {name: figure(float(np.mean(cpu[name])), wall[name]) for name in servers}


def posted(client: Any, body: str) -> Any:
    """The reply's text."""
    reply = client.post("/get-online-features", content=body, headers=JSON, timeout=60)
    if reply.status_code != 200:
        raise SystemExit(f"{reply.url} answers {reply.status_code}: {reply.text[:500]}")
    return reply.text


def values(text: str) -> dict[str, list[Any]]:
    """Values by feature name of a reply."""
    reply = json.loads(text)
    names = reply["metadata"]["feature_names"]
    names = names["val"] if isinstance(names, dict) else names
    return {name: result["values"] for name, result in zip(names, reply["results"], strict=True)}


def spent(process: psutil.Process) -> float:
    """CPU-seconds of a server and its workers."""
    times = [one.cpu_times() for one in (process, *process.children(recursive=True))]
    return sum(one.user + one.system for one in times)


@contextmanager
def feast_serve(folder: Path, redis_port: int) -> Iterator[tuple[int, psutil.Process]]:
    """`feast serve` with one worker over the stock Redis store."""
    home = folder / "stock redis"
    config = settings(home, {"type": "redis", "connection_string": f"{HOST}:{redis_port},db=1"})
    (home / "feature_store.yaml").write_text(yaml.safe_dump(config))
    port = free_port()
    feast = Path(sys.executable).with_name("feast")
    command = [str(feast), "-c", str(home), "serve", "--host", HOST, "--port", str(port), "--no-access-log"]
    with running(command, port) as process:
        yield port, process


@contextmanager
def route(folder: Path, redis_port: int) -> Iterator[tuple[int, psutil.Process]]:
    """The endpoint's route under one uvicorn, over the bulk Redis store."""
    port = free_port()
    command = [sys.executable, "-W", "ignore", "-m", __spec__.name if __spec__ else __name__, "--serve"]
    with running([*command, str(folder), str(redis_port), str(port)], port) as process:
        yield port, process


@contextmanager
def running(command: list[str], port: int) -> Iterator[psutil.Process]:
    """A server of its own process group, ended with all of its workers."""
    nowhere = subprocess.DEVNULL
    with subprocess.Popen(command, start_new_session=True, stdout=nowhere, stderr=nowhere) as server:
        try:
            wait_for(port)
            yield psutil.Process(server.pid)
        finally:
            os.killpg(server.pid, signal.SIGKILL)


def serve(folder: str, redis_port: str, port: str) -> None:
    """What `--serve` runs: the route over the bulk store of the benchmark."""
    import uvicorn
    from fastapi import FastAPI

    from resources.features.registered_services import registered
    from resources.serving.http.features import mount

    config = {"type": BULK["redis"], "connection_string": f"{HOST}:{redis_port},db=2"}
    store = opened(Path(folder) / "bulk redis", config, batch_engine=ENGINE)

    @cache
    def defined(service: str) -> Any:
        return store.get_feature_service(service)

    class Features:
        """What the route asks of a FeatureStoreResource."""

        use_case = ""

        def feast(self) -> Any:
            return store

        def registered(self, service: str) -> Any:
            return registered(store, defined(service))

    app: Any = mount(FastAPI(), lambda question: Features())  # type: ignore[arg-type,return-value]
    uvicorn.run(app, host=HOST, port=int(port), log_level="error", access_log=False)


def ratios_of(
    here: dict[tuple[str, int], dict[str, float]], there: dict[tuple[str, int], dict[str, float]]
) -> dict[str, float]:
    """Stock's CPU over ours by name; `vs_feast_stock` is the smallest of those in one process."""
    ratios = {
        f"{kind}_{n}": here[f"stock {kind}", n]["cpu_ms"] / here[f"bulk {kind}", n]["cpu_ms"]
        for kind in BULK
        for n in SIZES
    }
    bare = {
        f"{kind}_{n}_vs_bare": here[f"bare {kind}", n]["cpu_ms"] / here[f"bulk {kind}", n]["cpu_ms"]
        for kind in BULK
        for n in SIZES
    }
    web = {f"http_{n}": there["http stock", n]["cpu_ms"] / there["http bulk", n]["cpu_ms"] for n in SIZES}
    smallest = min([*ratios.values(), *web.values()])
    return {name: round(x, 3) for name, x in ({"vs_feast_stock": smallest} | ratios | web | bare).items()}


def table_of(figures: dict[str, Any]) -> str:
    """What the screen and the page show of the figures."""
    lines = [f"{'30 features, entities':22}{'CPU ms':>10}{'p50 ms':>10}{'p99 ms':>10}"]
    for name in sorted(figures["reads"], key=_place):
        one = figures["reads"][name]
        lines.append(f"{name:22}{one['cpu_ms']:10.3f}{one['p50_ms']:10.3f}{one['p99_ms']:10.3f}")
    return "\n".join(lines)


def _place(name: str) -> tuple[bool, str, int, int]:
    """SQLite, Redis, HTTP; by entities; stock, bulk, bare."""
    *who, n = name.split()
    way = next(word for word in ("stock", "bulk", "bare") if word in who)
    kind = next(word for word in who if word != way)
    return kind == "http", kind, int(n), ("stock", "bulk", "bare").index(way)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--serve"]:
        serve(*sys.argv[2:5])
    else:
        main()
