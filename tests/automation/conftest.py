"""What the tests of automation share."""

from collections.abc import Iterator

import dagster as dg
import pytest

from tests.automation.businesses import Business


@pytest.fixture
def business(tmp_path, monkeypatch) -> Iterator[Business]:
    """A business of loans in a folder, with a Dagster instance of its own."""
    monkeypatch.setenv("MLOPS_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("MLOPS_USE_CASES", str(tmp_path / "loans"))
    (tmp_path / "dagster").mkdir()
    with dg.instance_for_test(temp_dir=str(tmp_path / "dagster")) as instance:
        yield Business(tmp_path, instance).write()
