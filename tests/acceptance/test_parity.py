"""The same weeks on a laptop's parts and on a cluster's: the same tables, decisions and scores."""

import subprocess
import sys

import pytest

from mlops_assets.local.cluster_parts import postgres_program
from mlops_assets.local.running import DevError
from mlops_assets.verify.snapshot import read_snapshot
from resources.settings import PROJECT_ROOT
from tests.chaos.life import weekly_loans
from tests.conftest import needed_program
from tests.loans.data import write_loans
from tests.small_year import environment

pytestmark = pytest.mark.nightly
WEEKS = 4


def test_four_weeks_of_loans_differ_in_nothing_that_is_not_listed(tmp_path):
    needed_program("redis-server", "apt-get install redis-server")
    try:
        postgres_program("initdb")
    except DevError as error:
        pytest.skip(str(error))
    given = environment(
        tmp_path / "home",
        MLOPS_USE_CASES=str(weekly_loans(tmp_path / "loans")),
        LOANS_DATA=str(write_loans(tmp_path / "data", 7 * WEEKS)),
    )
    command = [sys.executable, "-m", "mlops_assets.cli", "parity", "loans"]
    done = subprocess.run(command, env=given, cwd=PROJECT_ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, (done.stdout + done.stderr)[-5000:]
    assert done.stdout.endswith("no other difference\n")
    first, second = (
        read_snapshot(tmp_path / "home" / "parity" / "loans" / str(n) / "snapshot") for n in (0, 1)
    )
    assert first.tables == second.tables
    assert {"scores/loan_default/predictions@2024-01-22", "tables/online/loan_default"} <= set(first.tables)
    assert "decisions/registry/loan_default/2" in first.documents
