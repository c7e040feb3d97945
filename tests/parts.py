"""What long tests work over: a laptop's parts, or, with `pytest --parts=cluster`, a cluster's; the tests are the same ones.

A state is named by its folder. On a cluster the rest of it lies in databases of PostgreSQL and a prefix of an object store
that are named after the folder, and a copy of it copies those too.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest

from resources.cluster import cluster_resources
from resources.local import local_resources
from resources.ports import free
from resources.settings import USAGE_REPORTS_OFF, settings
from resources.storage.addresses import storage_at
from tests import postgres, s3

OPTION, LAPTOP, CLUSTER = "--parts", "laptop", "cluster"


class LaptopParts:
    """Folders below `MLOPS_HOME`, and SQLite."""

    def environment(self, home: Path) -> dict[str, str]:
        """The variables of a process that works on a state."""
        return {"MLOPS_HOME": str(home)}

    def resources(self, home: Path) -> dict[str, Any]:
        """The resources over a state."""
        return local_resources(settings(self.environment(home)))

    def copy(self, home: Path, into: Path) -> Path:
        """A copy of a state, which changes no more with it."""
        return Path(shutil.copytree(home, into))

    def stop(self) -> None:
        """Nothing was started."""


class ClusterParts(LaptopParts):
    """PostgreSQL, Redis and an object store, started when they are first asked for; MLflow's server where commands need one."""

    def __init__(self) -> None:
        self._open = ExitStack()
        self._made: set[str] = set()
        self._servers: dict[Path, str] = {}

    @cached_property
    def _folder(self) -> Path:
        return Path(self._open.enter_context(tempfile.TemporaryDirectory(prefix="parts-")))

    @cached_property
    def _postgres(self) -> str:
        folder = self._folder / "postgres"
        self._folder.chmod(0o755)
        return self._open.enter_context(postgres.served(folder, free(1)[0])).rpartition("/")[0]

    @cached_property
    def _store(self) -> str:
        return self._open.enter_context(s3.served())

    @cached_property
    def _redis(self) -> str:
        [port] = free(1)
        command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir"]
        self._started([*command, str(self._folder)], {}, "tcp", port)
        return f"redis://127.0.0.1:{port}/0"

    def environment(self, home: Path) -> dict[str, str]:
        given = self._given(home)
        if home not in self._servers:
            self._servers[home] = self._mlflow(home)
        return {**given, "MLFLOW_TRACKING_URI": self._servers[home]}

    def resources(self, home: Path) -> dict[str, Any]:
        """MLflow's database is opened in this process: a server for each copy of a state would cost more than the tests."""
        made = cluster_resources(settings(self._given(home)))
        own = {"uri": self._database(home, "mlflow"), "artifacts": f"{self._prefix(home)}/mlflow"}
        return made | {"tracking": made["tracking"].model_copy(update=own)}

    def copy(self, home: Path, into: Path) -> Path:
        super().copy(home, into)
        source, target = storage_at(self._prefix(home)), storage_at(self._prefix(into))
        for name in source.names(deep=True):
            target.write(name, source.read(name))
        for kind in ("mlflow", "feast"):
            self._copy_database(_name(home, kind), _name(into, kind))
        return into

    def stop(self) -> None:
        self._open.close()

    def _given(self, home: Path) -> dict[str, str]:
        prefix = self._prefix(home)
        return {
            "MLOPS_ENV": "cluster",
            "MLOPS_HOME": str(home),
            **{f"MLOPS_{kind.upper()}": f"{prefix}/{kind}" for kind in ("lake", "audit", "shared")},
            "MLOPS_ONLINE_STORE": self._redis,
            "MLOPS_DAGSTER_DB": self._database(home, "dagster"),
            "MLOPS_FEAST_REGISTRY": self._database(home, "feast"),
            "MLFLOW_TRACKING_URI": "http://127.0.0.1:1",
        }

    def _prefix(self, home: Path) -> str:
        assert self._store
        return f"s3://{s3.BUCKET}/{_name(home, 'state')}"

    def _database(self, home: Path, kind: str) -> str:
        name = _name(home, kind)
        if name not in self._made:
            self._ask(f"create database {name}")
            self._made.add(name)
        return f"{self._postgres}/{name}"

    def _copy_database(self, source: str, target: str) -> None:
        if source in self._made:
            self._ask(f"select pg_terminate_backend(pid) from pg_stat_activity where datname = '{source}'")
            self._ask(f"create database {target} template {source}")
            self._made.add(target)

    def _ask(self, statement: str) -> None:
        import sqlalchemy

        engine = sqlalchemy.create_engine(
            f"{self._postgres}/postgres", isolation_level="AUTOCOMMIT", poolclass=sqlalchemy.NullPool
        )
        with engine.connect() as connection:
            connection.execute(sqlalchemy.text(statement))

    def _mlflow(self, home: Path) -> str:
        """A server over a state's registry."""
        [port] = free(1)
        at = ["--host", "127.0.0.1", "--port", str(port), "--workers", "1", "--no-serve-artifacts"]
        place = ["--default-artifact-root", f"{self._prefix(home)}/mlflow"]
        given = {
            **USAGE_REPORTS_OFF,
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
            "MLFLOW_BACKEND_STORE_URI": self._database(home, "mlflow"),
        }
        self._started([sys.executable, "-m", "mlflow", "server", *at, *place], given, "http", port)
        return f"http://127.0.0.1:{port}"

    def _started(self, command: list[str], given: dict[str, str], how: str, port: int) -> None:
        """A server, once it answers, until all parts are stopped."""
        with (self._folder / f"{port}.log").open("wb") as log:
            process = subprocess.Popen(
                command, env={**os.environ, **given}, stdout=log, stderr=log, start_new_session=True
            )
        self._open.callback(_end, process)
        until = time.monotonic() + 120
        while not _answers(how, port):
            assert process.poll() is None and time.monotonic() < until, f"{command} does not answer"
            time.sleep(0.2)


def _name(home: Path, kind: str) -> str:
    return f"{kind}_{hashlib.sha256(str(home).encode()).hexdigest()[:16]}"


def _answers(how: str, port: int) -> bool:
    from mlops_assets.local.probes import answers

    return answers(f"tcp://127.0.0.1:{port}" if how == "tcp" else f"http://127.0.0.1:{port}/health")


def _end(process: subprocess.Popen[bytes]) -> None:
    import signal

    os.killpg(process.pid, signal.SIGTERM)
    process.wait(timeout=60)


KINDS: dict[str, Callable[[], LaptopParts]] = {LAPTOP: LaptopParts, CLUSTER: ClusterParts}
_chosen: list[LaptopParts] = []


def choose(config: pytest.Config) -> None:
    """Take the parts that the command line names."""
    _chosen[:] = [KINDS[str(config.getoption(OPTION))]()]


def parts() -> LaptopParts:
    """The parts of this run of the tests."""
    return _chosen[0] if _chosen else LaptopParts()


def stop() -> None:
    """End what was started."""
    for one in _chosen:
        one.stop()
