"""A small real state of two businesses: the loans replayed by the main job into a state that holds the flights already."""

import shutil
from pathlib import Path

from resources.settings import PROJECT_ROOT
from tests import forked
from tests.loans.data import FOLDER, write_loans
from tests.small_year import environment

DAYS, LAST = 77, "2024-03-17"
LABELLED = "2024-02-16"
"""The last day whose labels are known by then."""


def variables(folder: Path) -> dict[str, str]:
    """What names the loans and their data to a process that works on the state."""
    return {"MLOPS_USE_CASES": str(FOLDER), "LOANS_DATA": str(folder / "data")}


def replayed(folder: Path, flights: Path) -> Path:
    """MLOPS_HOME, `folder / "home"`, after eleven weeks of days beside the state of the flights that is copied into it."""
    shutil.copytree(flights, folder / "home", ignore=shutil.ignore_patterns("*.lock"))
    write_loans(folder / "data", DAYS)
    command = ["-m", "mlops_assets.cli", "run", "loans", "--through", LAST]
    done = forked.run(command, environment(folder / "home", **variables(folder)), PROJECT_ROOT)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return folder / "home"
