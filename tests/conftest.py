"""What tests of every part share: free ports, a state folder of their own, and system programs that may be missing."""

import gc
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest

from resources.settings import Settings, settings, silence_usage_reports
from tests import forked, generated, parts, registries, workers
from tests.skips import pytest_runtest_makereport

__all__ = ["pytest_runtest_makereport"]

silence_usage_reports()

hypothesis.settings.register_profile(
    "steady", max_examples=60, deadline=None, derandomize=True, print_blob=True
)
hypothesis.settings.register_profile(
    "fuzz", max_examples=200, deadline=None, derandomize=False, print_blob=True, database=None
)
hypothesis.settings.register_profile(
    "mutants",
    hypothesis.settings.get_profile("steady"),
    phases=(hypothesis.Phase.explicit, hypothesis.Phase.generate),
    report_multiple_bugs=False,
)
"""For `make mutants`: the same cases, and the first that fails is enough."""

hypothesis.settings.load_profile("steady")
"""Generated cases are the same in every run but those of `make fuzz`, and no slow machine makes one fail."""


ALLOCATIONS = 100_000
"""Objects that are made between two rounds of the garbage collector."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--parts=cluster` runs the tests that work over `tests.parts` over those of a cluster."""
    parser.addoption(
        parts.OPTION, choices=list(parts.KINDS), default=parts.LAPTOP, help="a laptop's or a cluster's"
    )


def pytest_configure(config: pytest.Config) -> None:
    """Which parts there are is known before the first test, and what tests are generated from is the same in every run."""
    parts.choose(config)
    if config.getoption("--hypothesis-profile") != "fuzz":
        generated.draw_from_nothing_loaded()
    gc.disable()


@pytest.hookimpl(trylast=True)
def pytest_collection_finish() -> None:
    """What was collected stays until the end: the garbage collector does not walk through it in every round."""
    gc.freeze()
    gc.set_threshold(ALLOCATIONS, 10, 20)
    gc.enable()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> workers.Schedule | None:
    """Which worker takes what, where whole files are to be given out."""
    return workers.Schedule(config, log) if config.getoption("dist") == "loadfile" else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Where workers share the tests, they begin with the longest files."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        workers.longest_first(items)


def pytest_sessionfinish() -> None:
    """What was started for commands of the tests ends with them."""
    forked.stop()
    parts.stop()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="session", autouse=True)
def new_registries(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """An MLflow database that a test opens anew is the copy of one that MLflow made in this run; migrations are read once."""
    with pytest.MonkeyPatch.context() as patch:
        registries.read_migrations_once(patch)
        registries.share(patch, workers.folder_of_run(tmp_path_factory) / "registry")
        yield


@pytest.fixture(scope="session")
def free_port() -> Callable[[], int]:
    """A function that gives a port of the loopback address which nobody listens on."""
    return _free_port


@pytest.fixture
def mlops_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty MLOPS_HOME that this test alone uses; MLflow and Dagster find theirs below it."""
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("MLOPS_HOME", str(home))
    for variable in ("MLFLOW_TRACKING_URI", "DAGSTER_HOME"):
        monkeypatch.delenv(variable, raising=False)
    return home


@pytest.fixture
def flights_features(monkeypatch: pytest.MonkeyPatch) -> None:
    """The flights' definitions for every use case, also for one of a test's that has no folder."""
    monkeypatch.setenv("MLOPS_FEATURE_REPO", "mlops_assets.use_cases.flights.features")


@pytest.fixture(scope="module")
def pumps_features() -> Iterator[None]:
    """The pumps' definitions for every use case, also for the pumps, which have no folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLOPS_FEATURE_REPO", "tests.pumps.repo")
        yield


@pytest.fixture(scope="module")
def ingested(pumps_features: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A state folder with five weeks of the pumps and an empty registry; not to be changed."""
    from tests.pumps.promotion import ingested

    return ingested(tmp_path_factory.mktemp("ingested"))


@pytest.fixture(scope="module")
def championed(ingested: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of that folder in which version 2 is champion and version 1 is its challenger; not to be changed."""
    from tests.pumps.promotion import AUTOMATIC, copied

    project = copied(ingested, tmp_path_factory.mktemp("championed"))
    project.make(AUTOMATIC)
    return project.home


@pytest.fixture
def project(ingested: Path, tmp_path: Path) -> Any:
    """The pumps' model over a copy of that folder."""
    from tests.pumps.promotion import copied

    return copied(ingested, tmp_path)


@pytest.fixture
def local_settings(mlops_home: Path) -> Settings:
    """Settings of that empty state, on three free ports."""
    ports = {f"MLOPS_{name}_PORT": str(_free_port()) for name in ("DAGSTER", "MLFLOW", "SERVE")}
    return settings({"MLOPS_HOME": str(mlops_home), **ports})


@pytest.fixture(scope="session")
def chromium() -> str:
    """Path of the system's Chromium; without one the test is skipped."""
    return needed_program("chromium", "apt-get install chromium")


def needed_program(name: str, install: str) -> str:
    """Path of a system program; missing ones skip the test and say what to install."""
    if found := shutil.which(name):
        return found
    pytest.skip(f"{name} is not installed: {install}")


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


REDIS_DATABASE = 11
"""Of the test run's Redis, so that no other test's entities are there."""


@pytest.fixture
def redis_client(redis_port: int) -> Iterator[Any]:
    """A database of the test run's Redis, empty before and after."""
    from redis import Redis

    with Redis(port=redis_port, db=REDIS_DATABASE) as client:
        client.flushdb()
        yield client
        client.flushdb()


@pytest.fixture
def redis_address(redis_port: int) -> str:
    """The address of that database."""
    return f"redis://127.0.0.1:{redis_port}/{REDIS_DATABASE}"


def _wait_for(port: int) -> None:
    for _ in range(200):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise TimeoutError(f"redis-server does not answer on port {port}")


@pytest.fixture(scope="session")
def small_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """MLOPS_HOME after eight replayed weeks of thinned flights, with a champion; all workers share it, so copy it."""
    from tests.small_year import replayed

    return workers.fill_once(workers.folder_of_run(tmp_path_factory) / "small", replayed) / "home"


@pytest.fixture(scope="session")
def loans_home(tmp_path_factory: pytest.TempPathFactory, small_home: Path) -> Path:
    """The same with the loans beside the flights, replayed day by day, with a champion of their own; copy it too."""
    from tests.loans.state import replayed

    folder = workers.folder_of_run(tmp_path_factory) / "loans"
    return workers.fill_once(folder, lambda new: replayed(new, small_home)) / "home"
