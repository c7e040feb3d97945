"""MLflow makes the tables of a new database in fifty migrations, which take a second: once in a run of the tests.
It and Dagster ask which migration is the newest whenever they open one: the files are read once in a process.

Commands of the tests, which are processes of their own, have theirs made by MLflow, and so do servers.
"""

import shutil
from pathlib import Path

import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory

from resources.settings import sqlite_file
from resources.tracking import client
from tests import workers


def share(patch: pytest.MonkeyPatch, folder: Path) -> None:
    """Have the first SQLite database of a run that is opened anew be made, and every later one begin as its copy."""
    opened = client._opened

    def made(into: Path) -> None:
        opened(f"sqlite:///{into / 'mlflow.db'}")

    def copied(uri: str) -> object:
        path = sqlite_file(uri)
        if path and not path.exists():
            shutil.copy(workers.fill_once(folder, made) / "mlflow.db", path)
        return opened(uri)

    patch.setattr(client, "_opened", copied)


def read_migrations_once(patch: pytest.MonkeyPatch) -> None:
    """Have alembic keep what it read of a folder of migrations; a database that is opened anew costs half as much."""
    read = ScriptDirectory.from_config
    kept: dict[str, ScriptDirectory] = {}

    def found(config: Config) -> ScriptDirectory:
        folder = config.get_main_option("script_location") or ""
        return kept.get(folder) or kept.setdefault(folder, read(config))

    patch.setattr(ScriptDirectory, "from_config", found)
