"""The two databases that every behaviour is tested on, and settings for generated cases."""

from pathlib import Path

import pytest
from hypothesis import settings

from tests.feature_repo.online.shop import Database

settings.register_profile("steady", deadline=None, derandomize=True, print_blob=True)
settings.load_profile("steady")
"""Generated cases are the same in every run, and no slow machine makes one fail."""


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
