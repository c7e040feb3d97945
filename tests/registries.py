"""MLflow makes the tables of a new database in fifty migrations, which take a second: once in a run of the tests.

Commands of the tests, which are processes of their own, have theirs made by MLflow, and so do servers.
"""

import shutil
from pathlib import Path

import pytest

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
