"""The purchases replayed as a user replays them: partitions share runs, and the report has both models and the naive rule."""

import dagster as dg
import pytest

from mlops_assets.spec.files import specs_in
from resources.use_case_folders import use_case_folder
from tests.acceptance.commands import python
from tests.acceptance.state import lake_of, tracking_of

pytestmark = pytest.mark.nightly
THROUGH = "1997-06-11"
BUYS, SPENDS = specs_in(use_case_folder("purchases"))
DAYS = [name for name in BUYS.calendar.names() if name <= THROUGH]


def table(report: str, begins: str) -> list[list[str]]:
    """The cells of a table of the report, from the line after the one that begins so."""
    lines = report.splitlines()
    first = next(number for number, line in enumerate(lines) if line.startswith(begins)) + 1
    rest = lines[first:]
    return [line.split() for line in rest[: rest.index("")]]


def test_the_first_months_are_replayed_in_a_few_runs_and_told_for_both_models(tmp_path):
    home = tmp_path / "home"
    told = python(home, tmp_path, "mlops_assets.cli", "run", "purchases", "--through", THROUGH)
    bought = table(told, "buys_again: ")
    assert [line[:2] for line in bought[1:]] == [["1997-01-01", "1997-05-14"], ["1997-05-15", THROUGH]]
    assert [line[:2] for line in table(told, "spends_next: ")[1:]] == [["1997-01-01", THROUGH]]
    policies = [
        line for line in told.splitlines() if line.startswith("naive rule of purchases, days_between")
    ]
    assert len(policies) == 1
    assert tracking_of(home).champion("buys_again") is not None
    for model in ("buys_again", "spends_next"):
        assert lake_of(home).partitions(f"{model}/drift") == DAYS
    with dg.DagsterInstance.from_config(str(home / "dagster")) as instance:
        jobs = [run.job_name for run in instance.get_runs()]
    assert jobs.count("ingest_purchases") == 2
    assert jobs.count("spends_next_partition") == 2
    assert len(jobs) < 12
    again = python(home, tmp_path, "mlops_assets.cli", "run", "purchases", "--through", THROUGH)
    assert again.startswith("The replay is done") and "spends_next: " in again
