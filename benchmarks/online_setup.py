"""What the two online benchmarks share: a Redis server of their own, three views of ten features, and a way to count CPU."""

import contextlib
import io
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import psutil

NOW = datetime(2024, 5, 1, tzinfo=UTC)
DAY = timedelta(days=1)
VIEWS = ("account", "card", "device")
ENGINE = {"type": "feature_repo.online_store.engine.BulkEngine"}
BULK = {
    "sqlite": "feature_repo.online_store.sqlite.store.BulkSqliteOnlineStore",
    "redis": "feature_repo.online_store.redis.store.BulkRedisOnlineStore",
}


def free_port() -> int:
    """A port of the loopback address that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextlib.contextmanager
def redis_server(folder: Path) -> Iterator[tuple[int, psutil.Process]]:
    """A Redis server without persistence on a free port; its port and process."""
    port = free_port()
    command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as server:
        try:
            wait_for(port)
            yield port, psutil.Process(server.pid)
        finally:
            server.terminate()


def wait_for(port: int, seconds: float = 90) -> None:
    """Return once somebody listens on a port of the loopback address."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise TimeoutError(f"nobody answers on port {port} after {seconds} s")


def cpu(*processes: psutil.Process) -> float:
    """CPU-seconds of this process and of others with their children."""
    total = time.process_time()
    for process in processes:
        for one in (process, *process.children(recursive=True)):
            with contextlib.suppress(psutil.NoSuchProcess):
                times = one.cpu_times()
                total += times.user + times.system
    return total


def table(view: str, rows: int) -> pl.DataFrame:
    """Ten features of each customer, eight numbers, a count and a word, some of them null; one row a customer."""
    random = np.random.default_rng(sum(view.encode()))
    numbers = {
        f"{view}_{i}": pl.Series(random.normal(size=rows).astype(np.float32)).set(
            pl.Series(random.random(rows) < 0.01), None
        )
        for i in range(8)
    }
    seconds = int((NOW - DAY).timestamp()) + random.integers(0, 86_400, rows)
    return pl.DataFrame(
        {
            "customer_id": np.arange(rows),
            "event_timestamp": pl.Series(seconds * 1_000_000).cast(pl.Datetime("us", "UTC")),
            **numbers,
            f"{view}_8": random.integers(0, 5_000, rows),
            f"{view}_9": pl.Series(["gold", "silver", "none"]).gather(random.integers(0, 3, rows)),
        }
    )


def definitions(folder: Path) -> list[Any]:
    """Customer, and the three views over the tables in a folder; valid for thirty years, so that today they still are."""
    from feast import Entity, FeatureService, FeatureView, Field, FileSource, ValueType
    from feast.types import Float32, Int64, String

    customer = Entity(name="customer", join_keys=["customer_id"], value_type=ValueType.INT64)
    views = [
        FeatureView(
            name=name,
            entities=[customer],
            ttl=timedelta(days=365 * 30),
            schema=[
                Field(name="customer_id", dtype=Int64),
                *(Field(name=f"{name}_{i}", dtype=Float32) for i in range(8)),
                Field(name=f"{name}_8", dtype=Int64),
                Field(name=f"{name}_9", dtype=String),
            ],
            source=FileSource(
                name=name, path=str(folder / f"{name}.parquet"), timestamp_field="event_timestamp"
            ),
        )
        for name in VIEWS
    ]
    return [customer, *views, FeatureService(name="scoring", features=[*views])]


def settings(folder: Path, online: dict[str, Any], **more: Any) -> dict[str, Any]:
    """What stands in feature_store.yaml."""
    return {
        "project": "bench",
        "provider": "local",
        "registry": {
            "registry_type": "file",
            "path": str(folder / "registry.db"),
            "cache_ttl_seconds": 3600,
        },
        "offline_store": {"type": "file"},
        "online_store": online,
        "entity_key_serialization_version": 3,
        **more,
    }


def opened(folder: Path, online: dict[str, Any], **more: Any) -> Any:
    """A feature store with these settings."""
    from feast import FeatureStore
    from feast.repo_config import RepoConfig

    return FeatureStore(config=RepoConfig(**settings(folder, online, **more)))


def quiet(action: Callable[[], Any]) -> Any:
    """What an action returns, without what it prints."""
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        return action()
