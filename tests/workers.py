"""What is costly to make is made by one worker of a test run, and read by all."""

import os
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from xdist.scheduler import LoadFileScheduling

from resources.storage.locks import file_lock

TOGETHER = {
    *(f"tests/resources/test_{name}.py" for name in ("champion_changes", "feature_store", "tracking")),
    "tests/feature_repo/offline/test_offline_store_lifted.py",
    *(f"tests/feature_repo/online/test_{name}.py" for name in ("online_store_lifted", "rules")),
}
"""Files of `make test` that one worker takes all: each starts commands of the project from one process that imported the
libraries (`tests/forked.py`)."""

REPLAYED = {
    f"tests/acceptance/test_{name}.py"
    for name in (
        *(
            "browser",
            "catalogue_page",
            "curl_line",
            "loans_replayed",
            "notebook",
            "on_call",
            "promotion_is_served",
            "retention",
            "third_model_followed",
        ),
        "trainer_from_outside",
    )
}
"""Files of `make acceptance` that begin from the small replayed state: one worker takes all, and no other waits for it."""

LONGEST_FIRST = (
    *(
        f"tests/acceptance/test_{name}.py"
        for name in (
            "live_shop",
            "browser",
            "rollout_under_load",
            "launcher",
            "killed_replay",
            "training_on_ray",
            "your_data",
            "client",
            "request_only",
            "run_by_wall",
            "labels_arriving",
            "secrets",
            "ingesting_at_once",
            "january_to_march",
            "ray_join",
            "verify",
            "dev",
            "no_telemetry",
            "fit_on_kuberay",
            "training_during_outage",
            "labels_by_day",
            "killed_migration",
            "open_end",
        )
    ),
    "tests/resources/test_champion_changes.py",
    "tests/components/test_table_component.py",
)
"""Files that a run begins with, so that no worker is left with a long one when the others have ended; one of those that
one worker takes brings the others with it."""


class Schedule(LoadFileScheduling):
    """A file's tests go to one worker, and so do the files that share what only a process can; the longest begin."""

    def __init__(self, config: pytest.Config, log: Any = None) -> None:
        super().__init__(config, log)
        config.option.loadscopereorder = False  # the order is that of the collection: `longest_first`

    def _split_scope(self, nodeid: str) -> str:
        file = super()._split_scope(nodeid)
        return "together" if file in TOGETHER else "replayed" if file in REPLAYED else file


def longest_first(items: list[pytest.Item]) -> None:
    """Order tests by their files: those that are known to be long, then by the number of their tests."""
    many = Counter(_file(item) for item in items)
    known = {file: place for place, file in enumerate(LONGEST_FIRST)}
    items.sort(key=lambda item: (known.get(_file(item), len(known)), -many[_file(item)], _file(item)))


def _file(item: pytest.Item) -> str:
    return item.nodeid.partition("::")[0]


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
