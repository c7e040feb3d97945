"""The drill: everything of a cluster but its backups and its secret is destroyed, brought back, and answers as before."""

import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import product
from typing import Any

import httpx
import pytest

from resources.settings import PROJECT_ROOT
from tests.acceptance.dagster_server import wait
from tests.chaos.checker import breaches
from tests.chaos.life import Life, lived
from tests.conftest import needed_program
from tests.loans.data import GRADES
from tests.postgres import needed_postgres

pytestmark = pytest.mark.nightly
AT_ONCE, COUNT = 1000, 10_000
KEPT = {"backups", "passwords.json"}


@pytest.fixture(scope="module")
def life(tmp_path_factory: pytest.TempPathFactory, free_port: Any) -> Iterator[Life]:
    """Three weeks of loans on a cluster, with a champion."""
    needed_program("redis-server", "apt-get install redis-server")
    needed_postgres("initdb")
    with lived(tmp_path_factory.mktemp("drill") / "life", free_port) as one:
        yield one


def predictions(life: Life) -> list[dict[str, Any]]:
    """Answers to ten thousand different requests."""
    every = product(range(10_001, 10_041), GRADES, (12, 36, 60), [500.0 * n for n in range(1, 22)])
    asked = [
        {"zipcode": zipcode, "grade": grade, "term": term, "amount": amount}
        for zipcode, grade, term, amount in every
    ][:COUNT]
    assert len(asked) == COUNT
    address = f"http://127.0.0.1:{life.ports['SERVE']}/v1/models/loan_default/predict"
    answers: list[dict[str, Any]] = []
    for first in range(0, COUNT, AT_ONCE):
        reply = httpx.post(address, json=asked[first : first + AT_ONCE], timeout=120)
        assert reply.status_code == 200, reply.text
        answers += [{name: one[name] for name in ("probability", "version", "as_of")} for one in reply.json()]
    return answers


def destroy(life: Life) -> None:
    """All that the cluster keeps, but its backups and its passwords."""
    for path in life.state.iterdir():
        if path.name not in KEPT:
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def command(life: Life, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "mlops_assets.cli", "cluster", *words],
        env=life.given,
        cwd=PROJECT_ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_cluster_that_was_destroyed_answers_ten_thousand_requests_as_before_and_catches_up(
    life: Life,
) -> None:
    backup = life.dagster.launch("backup")
    assert life.dagster.ended(backup, 300) == "SUCCESS", life.dagster.logs(backup)[-10:]
    before = predictions(life)
    week = life.arrive()
    life.settle()
    late = life.folder / "data" / f"loans_{week}.parquet"
    late.rename(life.folder / "late")
    life.stop()
    destroy(life)

    began = time.monotonic()
    refused = command(life, "restore", "none-of-this-name")
    assert refused.returncode == 1 and "has no backup 'none-of-this-name'" in refused.stderr
    done = command(life, "restore")
    assert done.returncode == 0, done.stdout + done.stderr
    restored = time.monotonic() - began
    print(done.stdout)
    assert "4 databases" in done.stdout and "what was written in the" in done.stdout
    life.start()
    life.wait_until_up()
    wait(lambda: life.answers() is not None, "the endpoint answers", 120, life.ended)
    print(f"brought back in {restored:.0f} s, answers after {time.monotonic() - began:.0f} s")
    assert predictions(life) == before

    (life.folder / "late").rename(late)
    life.settle()
    seen = life.seen()
    assert breaches(seen) == []
    assert f"scores/loan_default/predictions@{week}" in seen.state.tables


def test_what_is_there_is_not_replaced_unless_that_is_said(life: Life) -> None:
    life.stop()
    refused = command(life, "restore")
    assert refused.returncode == 1 and "are not empty, and what is in them would go" in refused.stderr
