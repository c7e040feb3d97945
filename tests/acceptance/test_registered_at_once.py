"""Processes that register at once, and one that is killed between two views: nothing is lost, and what is missing is made up for."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from resources.features.feature_repository import FeatureStoreError
from resources.features.store import FeatureStoreResource
from resources.settings import PROJECT_ROOT
from tests.resources.features.test_use_cases import ALL, NOW, names, store

APPLY = """
import os, signal, sys
from pathlib import Path
from tests.resources.features.test_use_cases import store
folder, use_case, killed_after, *more = sys.argv[1:]
of = store(Path(folder), use_case, *more)
registry = of.feast().registry
calls, real = 0, type(registry).apply_feature_view

def counted(self, *given, **named):
    global calls
    calls += 1
    if calls > int(killed_after):
        os.kill(os.getpid(), signal.SIGKILL)
    return real(self, *given, **named)

type(registry).apply_feature_view = counted
print("ready", flush=True)
sys.stdin.readline()
of.apply()
"""


def applying(folder: Path, use_case: str, *more: str, killed_after: int = 1000) -> subprocess.Popen:
    """A process that applies when it is told to, and may die by SIGKILL between two views."""
    command = [sys.executable, "-W", "ignore", "-c", APPLY, str(folder), use_case, str(killed_after), *more]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    return subprocess.Popen(
        command, cwd=PROJECT_ROOT, env={**os.environ, "PYTHONPATH": str(PROJECT_ROOT)}, **pipes
    )


def together(*processes: subprocess.Popen) -> list[int]:
    for process in processes:
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    found = [process.wait() for process in processes]
    for process in processes:
        process.communicate()
    return found


def test_processes_that_apply_at_once_lose_nothing_and_one_that_is_killed_is_made_up_for(
    tmp_path, monkeypatch
):
    """Two of one use case, one of another; of the first use case one dies with half of its views registered."""
    more = [f"view_{number}" for number in range(12)]
    ended = together(
        applying(tmp_path, "loans", *more),
        applying(tmp_path, "loans", *more, killed_after=5),
        applying(tmp_path, "autoloans", *more),
    )
    assert ended[0] == ended[2] == 0
    assert ended[1] in (0, -signal.SIGKILL)  # The one that came second found all applied.
    for use_case in ("loans", "autoloans"):
        assert names(store(tmp_path, use_case, *more)) == ALL | set(more)

    assert together(applying(tmp_path, "loans", *more, "last_one", killed_after=2)) == [-signal.SIGKILL]
    loans = store(tmp_path, "loans", *more, "last_one")
    assert json.loads((tmp_path / "feast" / "loans" / "applied.json").read_text()).keys() >= {
        "feature view places"
    }
    monkeypatch.setattr(FeatureStoreResource, "_require_tables", lambda *_: None)
    with pytest.raises(FeatureStoreError, match="materialize the asset features/registry"):
        loans.historical("all", pl.DataFrame({"borrower": ["a"], "zipcode": [1], "at": [NOW]}), "at")
    loans.apply()
    assert names(loans) == ALL | {*more, "last_one"}
    assert names(store(tmp_path, "autoloans", *more)) == ALL | set(more)


def test_what_was_half_applied_and_taken_back_is_applied_again(tmp_path):
    before, after = store(tmp_path, "loans"), ["more", "yet_more"]
    before.apply()
    assert together(applying(tmp_path, "loans", *after, killed_after=1)) == [-signal.SIGKILL]
    assert not before.holds(before.definitions_hash())
    before.apply()
    assert before.holds(before.definitions_hash()) and names(before) == ALL
