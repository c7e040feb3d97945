"""What is costly to make is made by one worker of a test run, and read by all."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from xdist.scheduler import LoadFileScheduling

from resources.storage.locks import file_lock

TOGETHER = {
    *(f"tests/test_{name}.py" for name in ("browser", "readme", "third_model", "verify")),
    *(f"tests/resources/test_{name}.py" for name in ("champion_changes", "feature_store")),
    "tests/feature_repo/online/test_rules.py",
}
"""Files that one worker takes all: each starts commands of the project from one process that imported the libraries."""


class Schedule(LoadFileScheduling):
    """A file's tests go to one worker, and so do the files that share what only a process can."""

    def _split_scope(self, nodeid: str) -> str:
        file = super()._split_scope(nodeid)
        return "together" if file in TOGETHER else file


def folder_of_run(factory: pytest.TempPathFactory) -> Path:
    """The temporary folder that all workers of this test run have in common."""
    base = factory.getbasetemp()
    return base.parent if "PYTEST_XDIST_WORKER" in os.environ else base


def fill_once(folder: Path, fill: Callable[[Path], object]) -> Path:
    """A folder that the first process to ask fills while the others wait; one that was left half filled is filled anew."""
    full = folder.with_name(f"{folder.name}.full")
    with file_lock(folder.with_name(f".{folder.name}.lock")):
        if not full.exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            fill(folder)
            full.touch()
    return folder
