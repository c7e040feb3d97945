"""The two databases that every behaviour is tested on."""

from pathlib import Path

import pytest

from tests.feature_repo.online.shop import Database


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
