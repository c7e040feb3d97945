"""The stock `feast` command in the folder that is written for a use case: it applies, lists and serves the same features."""

import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

from resources.features.feature_repository import objects_hash
from tests.resources.features.test_use_cases import NOW, START, fill, names, store

FEAST = Path(sys.executable).with_name("feast")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A use case of two described tables, applied and brought online by the platform."""
    root = tmp_path_factory.mktemp("state")
    fill(root, "loans", "Ulm")
    of = store(root, "loans")
    of.apply()
    of.materialize(["places", "debts"], START, NOW)
    return root


def feast(folder: Path, *command: str) -> str:
    """What the command says, called in the written folder."""
    done = subprocess.run(
        [FEAST, *command],
        cwd=folder / "feast" / "loans" / "repo",
        env=os.environ | {"FEAST_USAGE": "False", "PYTHONWARNINGS": "ignore"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def test_the_stock_command_applies_and_lists_what_the_platform_registered(folder: Path) -> None:
    of = store(folder, "loans")
    before, views = names(of), of.feast().list_feature_views()
    assert "No changes to registry" in feast(folder, "apply") or names(of) == before
    assert names(of) == before
    assert objects_hash(of.feast().list_feature_views()) == objects_hash(views)
    listed = feast(folder, "feature-views", "list")
    assert "places" in listed and "debts" in listed


def test_the_stock_command_registers_all_where_nothing_is(folder: Path) -> None:
    of = store(folder, "loans")
    of.feast().registry.delete_feature_service("all", "loans")
    assert "all" not in names(of)
    feast(folder, "apply")
    assert "all" in names(of)


def test_the_stock_command_serves_the_same_values(folder: Path, free_port: Callable[[], int]) -> None:
    port = free_port()
    command = [FEAST, "serve", "--host", "127.0.0.1", "--port", str(port), "--no-access-log"]
    with subprocess.Popen(
        command,
        cwd=folder / "feast" / "loans" / "repo",
        env=os.environ | {"FEAST_USAGE": "False", "PYTHONWARNINGS": "ignore"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as server:
        try:
            found = answer(server, port, {"features": ["places:city"], "entities": {"zipcode": [1, 2]}})
        finally:
            server.terminate()
    assert found["metadata"]["feature_names"] == ["zipcode", "city"]
    assert [column["values"] for column in found["results"]] == [[1, 2], ["Ulm", None]]


def answer(server: subprocess.Popen, port: int, question: dict) -> dict:
    """The answer of a server, once it listens."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/get-online-features",
        json.dumps(question).encode(),
        {"Content-Type": "application/json"},
    )
    while server.poll() is None:
        try:
            with urllib.request.urlopen(request, timeout=60) as reply:
                return json.loads(reply.read())
        except urllib.error.HTTPError as error:
            raise AssertionError(error.read()) from error
        except urllib.error.URLError:
            time.sleep(0.2)
    raise AssertionError(f"feast serve ended with {server.returncode}")
