"""A daemon that is killed between asking for a run and launching it launches it once, however long it was away."""

import dagster as dg
import pytest
from dagster._core.scheduler.instigation import TickStatus

from mlops_assets.kit.run_tags import PARTITION_TAG, RUN_KEY_TAG
from tests.acceptance.businesses import Business
from tests.acceptance.killed_daemon import POINTS, SENSOR, looks

pytestmark = [
    pytest.mark.filterwarnings("ignore::dagster.PreviewWarning"),
    pytest.mark.filterwarnings("ignore::dagster.BetaWarning"),
]
INSTANCE = """
telemetry: {enabled: false}
run_coordinator: {module: dagster.core.run_coordinator, class: QueuedRunCoordinator}
"""


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A use case with one day to ingest, by a clock that stands after it."""
    monkeypatch.setenv("MLOPS_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("MLOPS_USE_CASES", str(tmp_path / "loans"))
    monkeypatch.setenv("MLOPS_CLOCK_START", "2024-01-02T06:00:00+00:00")
    (tmp_path / "dagster").mkdir()
    (tmp_path / "dagster" / "dagster.yaml").write_text(INSTANCE)
    Business(tmp_path, dg.DagsterInstance.ephemeral()).write().day(1)
    return tmp_path / "dagster"


def runs(home) -> list[tuple[str, str, str]]:
    """Status, partition and key of every run."""
    with dg.DagsterInstance.from_config(str(home)) as instance:
        found = instance.get_runs()
        return [(run.status.value, run.tags[PARTITION_TAG], run.tags[RUN_KEY_TAG]) for run in found]


def a_day_later(home) -> None:
    """What Dagster makes of a tick that was cut off more than a day ago: it is not gone on with."""
    with dg.DagsterInstance.from_config(str(home)) as instance:
        [state] = [one for one in instance.all_instigator_state() if one.instigator_name == SENSOR]
        for tick in instance.get_ticks(state.instigator_origin_id, state.selector_id):
            if tick.status == TickStatus.STARTED:
                instance.update_tick(tick.with_status(TickStatus.SKIPPED))
        instance.update_instigator_state(state.with_data(None))


@pytest.mark.parametrize("away", ["for a moment", "for days"])
@pytest.mark.parametrize("point", POINTS)
def test_a_daemon_that_is_killed_around_a_run_launches_it_once(home, point, away):
    assert looks(home, point) < 0
    if away == "for days":
        a_day_later(home)
    else:
        at_once(home)
    for _ in range(2):
        assert looks(home) == 0
        [(status, day, _)] = runs(home)
        assert (status, day) == ("QUEUED", "2024-01-01")
        at_once(home)


def at_once(home) -> None:
    """The sensor's next look is due now."""
    with dg.DagsterInstance.from_config(str(home)) as instance:
        [state] = [one for one in instance.all_instigator_state() if one.instigator_name == SENSOR]
        data = state.instigator_data
        early = data._replace(last_tick_timestamp=None, last_tick_start_timestamp=None) if data else None
        instance.update_instigator_state(state.with_data(early))
