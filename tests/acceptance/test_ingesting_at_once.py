"""A use case that says `at_once: 3` catches up with three runs at a time under the real daemon: each day once, none lost."""

from pathlib import Path

import dagster as dg
import pytest

from mlops_assets.kit.run_tags import PARTITION_TAG, RUN_KEY_TAG
from mlops_assets.local.servers import prepare_dagster_home
from resources.local import local_resources
from resources.settings import settings
from tests.acceptance.businesses import TABLE, USE_CASE, Business, days
from tests.acceptance.commands import environment
from tests.acceptance.dagster_server import ENDED, dagster_dev
from tests.acceptance.live_shop import wait_while_it_moves

DAYS, AT_ONCE = 9, 3
WITHOUT_A_LOOK_BACK = TABLE.replace("  known_at: told_at\n", "").replace(", told_at: datetime", "")


@pytest.fixture
def variables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The environment of the use case, whose clock stands at the end of its ninth day."""
    home = tmp_path / "home"
    own = {
        "MLOPS_HOME": str(home),
        "MLOPS_USE_CASES": str(tmp_path / "loans"),
        "MLOPS_CLOCK_START": f"2024-01-{DAYS + 1:02}T06:00:00+00:00",
        "DAGSTER_HOME": str(home / "dagster"),
    }
    for name, value in own.items():
        monkeypatch.setenv(name, value)
    return environment(home, tmp_path / "data") | own


def test_three_days_are_ingested_at_a_time_each_once_by_real_runs(tmp_path, variables, free_port):
    business = Business(tmp_path, dg.DagsterInstance.ephemeral())
    business.write(f"{USE_CASE}ingest: {{at_once: {AT_ONCE}}}\n", WITHOUT_A_LOOK_BACK)
    for day in range(1, DAYS + 1):
        business.day(day)
    home = prepare_dagster_home(settings(variables))
    text = (home / "dagster.yaml").read_text()
    (home / "dagster.yaml").write_text(
        text.replace("max_concurrent_runs: 1", f"max_concurrent_runs: {AT_ONCE}")
    )
    with dagster_dev(free_port(), variables, tmp_path / "dagster.log") as dagster:
        runs = lambda: dagster.runs(pipelineName="ingest_loans")  # noqa: E731
        ended = lambda: sum(run["status"] in ENDED for run in runs())  # noqa: E731
        wait_while_it_moves(lambda: ended() >= DAYS, lambda: (ended(), len(runs())), "every day is ingested")
        found = runs()
    assert {run["status"] for run in found} == {"SUCCESS"}
    assert sorted(run["tags"][PARTITION_TAG] for run in found) == days(1, DAYS)
    assert len({run["tags"][RUN_KEY_TAG] for run in found}) == DAYS
    assert business.online() == days(1, DAYS)
    lake = local_resources(settings(variables))["lake"]
    assert lake.read("loans/features/applications").height == DAYS
    with dg.DagsterInstance.from_config(str(home)) as instance:
        spans = [(one.start_time, one.end_time) for one in instance.get_run_records()]
    most = max(sum(start <= at < end for start, end in spans) for at, _ in spans)
    assert 2 <= most <= AT_ONCE, f"{most} runs were in progress at once"
