"""What the long tests share."""

from pathlib import Path

import pytest

from tests.flights.thinned import thin


@pytest.fixture(scope="session")
def winter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every third flight of the first thirteen weeks: fewer, and the first model misses its floor."""
    return thin(tmp_path_factory.mktemp("winter"), every=3, before="2013-04-02")
