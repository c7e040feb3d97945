"""The same weeks on a laptop's parts and on a cluster's: the same tables, decisions and scores, also where it was broken off."""

import os
import signal
import subprocess
import sys

import pytest

from mlops_assets.verify.snapshot import read_snapshot
from resources.settings import PROJECT_ROOT
from tests.acceptance.dagster_server import wait
from tests.chaos.life import weekly_loans
from tests.conftest import needed_program
from tests.loans.data import write_loans
from tests.postgres import needed_postgres
from tests.small_year import environment

pytestmark = pytest.mark.nightly
WEEKS = 4
COMMAND = [sys.executable, "-m", "mlops_assets.cli", "parity", "loans"]


@pytest.fixture
def given(tmp_path):
    """The environment of a user who has four weeks of loans."""
    needed_program("redis-server", "apt-get install redis-server")
    needed_postgres("initdb")
    return environment(
        tmp_path / "home",
        MLOPS_USE_CASES=str(weekly_loans(tmp_path / "loans")),
        LOANS_DATA=str(write_loans(tmp_path / "data", 7 * WEEKS)),
    )


def broken_off(given, log):
    """What it says until somebody presses Ctrl-C in the third week of the cluster's replay."""
    with log.open("w") as out:
        process = subprocess.Popen(
            COMMAND, env=given, cwd=PROJECT_ROOT, stdout=out, stderr=out, start_new_session=True
        )

    def is_there():
        return "2024-01-15 ingest" in log.read_text().partition("on a cluster's parts")[2]

    wait(is_there, "the third week on the cluster", 600, lambda: process.poll() is not None)
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(timeout=120) == 130, log.read_text()[-5000:]
    return log.read_text()


def test_four_weeks_of_loans_differ_in_nothing_that_is_not_listed_though_it_was_broken_off(given, tmp_path):
    assert broken_off(given, tmp_path / "log").endswith("stopped; start it again to go on where it was\n")
    done = subprocess.run(COMMAND, env=given, cwd=PROJECT_ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, (done.stdout + done.stderr)[-5000:]
    assert (
        "on a laptop's parts, is done" in done.stdout and "partitions are done, up to 2024-01-" in done.stdout
    )
    assert done.stdout.endswith("no other difference\n")
    first, second = (
        read_snapshot(tmp_path / "home" / "parity" / "loans" / str(n) / "snapshot") for n in (0, 1)
    )
    assert first.tables == second.tables
    assert {"scores/loan_default/predictions@2024-01-22", "tables/online/loan_default"} <= set(first.tables)
    assert "decisions/registry/loan_default/2" in first.documents
