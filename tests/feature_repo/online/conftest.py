"""The two databases that every behaviour is tested on, and settings for generated cases."""

import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from tests.conftest import needed_program
from tests.feature_repo.online.shop import Database

settings.register_profile("steady", deadline=None, derandomize=True, print_blob=True)
settings.load_profile("steady")
"""Generated cases are the same in every run, and no slow machine makes one fail."""


@pytest.fixture(scope="session")
def redis_port(free_port: Callable[[], int], tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """A Redis server of this test run on the loopback address; skipped where it is not installed."""
    program = needed_program("redis-server", "apt-get install redis-server")
    port, folder = free_port(), tmp_path_factory.mktemp("redis")
    command = [program, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as server:
        try:
            _wait_for(port)
            yield port
        finally:
            server.terminate()


def _wait_for(port: int) -> None:
    for _ in range(200):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise TimeoutError(f"redis-server does not answer on port {port}")


@pytest.fixture(params=["sqlite", "redis"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Database:
    """An empty database of each kind."""
    if request.param == "sqlite":
        return Database("sqlite", {"path": str(tmp_path / "online.db")})
    import redis

    port = request.getfixturevalue("redis_port")
    with redis.Redis(port=port) as client:
        client.flushall()
    return Database("redis", {"connection_string": f"127.0.0.1:{port}"})
