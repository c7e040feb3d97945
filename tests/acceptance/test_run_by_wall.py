"""`mlops run` of a use case with `clock: wall`: what is over is caught up with, one model is trained at its end, and it stops."""

import json
import re
from datetime import date
from pathlib import Path

import pytest

from resources.settings import PROJECT_ROOT
from tests import forked
from tests.acceptance.state import lake_of, tracking_of
from tests.loans.data import FOLDER, write_loans
from tests.small_year import environment

WEEKS, BEGUN, AFTER = 7, "2024-02-19T00:30:00+00:00", "2024-02-26T00:30:00+00:00"
"""Weeks of loans, half an hour after the last of them, and a week later."""


def loans_by_wall(folder: Path) -> Path:
    """The loans' use case in a folder of its own, in weeks and by the wall clock, with labels that are known sooner."""
    folder.mkdir()
    (folder / "use_case.yaml").write_text(
        "owner: team:credit\ncalendar: {cadence: weekly, start: 2024-01-01}\nclock: wall\n"
    )
    text = (FOLDER / "defs.yaml").read_text()
    assert "delay: 30d" in text and "minimum_days: 14" in text
    text = text.replace("delay: 30d", "delay: 7d").replace("minimum_days: 14", "minimum_days: 21")
    (folder / "defs.yaml").write_text(text)
    return folder


class Lived:
    """A state that `mlops run` is given to, at moments of a simulated wall clock."""

    def __init__(self, folder: Path):
        self.home, self.data = folder / "home", folder / "data"
        self.use_case = loans_by_wall(folder / "loans")

    def run(self, at: str, weeks: int, status: int = 0) -> str:
        """What it printed, when the clock begins to run at a moment and there are so many weeks of rows."""
        write_loans(self.data, weeks * 7)
        (self.home / "clock.json").unlink(missing_ok=True)
        more = {"MLOPS_USE_CASES": str(self.use_case), "LOANS_DATA": str(self.data), "MLOPS_CLOCK_START": at}
        done = forked.run(
            ["-m", "mlops_assets.cli", "run", "loans"], environment(self.home, **more), PROJECT_ROOT
        )
        assert done.returncode == status, done.stdout[-3000:] + done.stderr[-3000:]
        return done.stdout + done.stderr


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> Lived:
    return Lived(tmp_path_factory.mktemp("by_wall"))


def test_before_the_first_partition_is_over_it_says_when_that_is(lived: Lived):
    told = lived.run("2024-01-03T00:00:00+00:00", 1, status=1)
    assert "no partition of use case 'loans' is over yet" in told and "ends at 2024-01-08 00:00 UTC" in told


def test_what_is_over_is_caught_up_with_and_one_model_is_trained_at_its_end(lived: Lived):
    told = lived.run(BEGUN, WEEKS)
    lake = lake_of(lived.home)
    assert len(lake.partitions("loans/applications")) == WEEKS == len(lake.partitions("loan_default/drift"))
    assert lake.records("loan_default/attempts") == ["2024-02-12"]
    (promoted,) = [m for v in tracking_of(lived.home).versions("loan_default") for m in v.promotions]
    assert promoted.isoformat().startswith("2024-02-19T")
    assert lake.read("loan_default/performance")["model_version"].is_null().all(), "nobody answered before"
    assert "The comparison of policies is left out: loan_default lives by the wall clock" in told
    assert re.search(r"its first champion answers from 2024-02-19 \d\d:\d\d UTC on, by the wall clock", told)
    record = json.loads((lived.home / "serving" / "loan_default.json").read_text())
    assert record["clock"] == "wall"


def test_given_again_it_is_done_until_another_partition_is_over_which_it_scores(lived: Lived):
    assert "The replay is done" in lived.run(BEGUN, WEEKS)
    told = lived.run(AFTER, WEEKS + 1)
    assert f"{WEEKS} partitions are done, up to 2024-02-12; going on" in told
    scored = lake_of(lived.home).read("loan_default/predictions")
    assert 400 < scored.height <= 420 and scored["applied_at"].dt.date().min() >= date(2024, 2, 19)
