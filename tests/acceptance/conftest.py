"""What the long tests share."""

from collections.abc import Callable, Iterator
from pathlib import Path

import dagster as dg
import pytest

from tests.acceptance.businesses import Business
from tests.acceptance.kube_api import kubernetes_api, prepared
from tests.flights.thinned import thin


@pytest.fixture(scope="session")
def winter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every third flight of the first thirteen weeks: fewer, and the first model misses its floor."""
    return thin(tmp_path_factory.mktemp("winter"), every=3, before="2013-04-02")


@pytest.fixture(scope="session")
def kubeconfig(tmp_path_factory: pytest.TempPathFactory, free_port: Callable[[], int]) -> Iterator[Path]:
    """Of a real Kubernetes API that knows RayJobs; its user may send fits and do nothing else. Skipped without one."""
    with kubernetes_api(tmp_path_factory.mktemp("kubernetes"), free_port) as config:
        prepared(config)
        yield config


@pytest.fixture
def business(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Business]:
    """A business of loans in a folder, with a Dagster instance of its own."""
    monkeypatch.setenv("MLOPS_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("MLOPS_USE_CASES", str(tmp_path / "loans"))
    (tmp_path / "dagster").mkdir()
    with dg.instance_for_test(temp_dir=str(tmp_path / "dagster")) as instance:
        yield Business(tmp_path, instance).write()
