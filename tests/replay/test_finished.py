"""A replay that was finished is not done again, and goes on when there is something new."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from mlops_assets.replay.job import ReplayOrder, _finished, _newest
from mlops_assets.spec.files import read_use_case
from resources.settings import settings
from resources.use_case_folders import VARIABLE, use_case_folder
from tests.pumps.project import SPEC


@pytest.fixture
def kiosk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A use case of days, without an end."""
    folder = tmp_path / "kiosk"
    folder.mkdir()
    (folder / "use_case.yaml").write_text(
        "owner: team:kiosk\ncalendar: {cadence: daily, start: 2024-02-29}\n"
    )
    monkeypatch.setenv(VARIABLE, str(folder))
    return folder


def test_without_an_end_a_newer_partition_is_more_to_replay(kiosk):
    calendar = read_use_case(use_case_folder("kiosk")).calendar
    earliest, found, latest = datetime.now(UTC), _newest(settings(), ReplayOrder("kiosk")), datetime.now(UTC)
    assert found["newest"] in {day.name for day in map(calendar.newest, (earliest, latest)) if day}
    assert calendar.next(str(found["newest"])) not in found.values()


def test_a_calendar_that_has_not_begun_has_nothing_yet(kiosk):
    file = kiosk / "use_case.yaml"
    file.write_text(file.read_text().replace("2024-02-29", "2200-01-01"))
    assert _newest(settings(), ReplayOrder("kiosk")) == {"newest": None}


def test_a_calendar_with_an_end_is_finished_once():
    assert _newest(settings(), ReplayOrder("flights")) == {}


def test_a_replay_that_an_earlier_release_finished_is_finished(tmp_path):
    """Its specs said `weeks`."""
    now = SPEC.model_dump(mode="json")
    weeks = {name: value for name, value in now["calendar"].items() if name != "cadence"}
    before = {name: value for name, value in now.items() if name != "calendar"} | {"weeks": weeks}
    (tmp_path / "finished.json").write_text(json.dumps({"through": None, "models": {"pump_stops": before}}))
    assert _finished(tmp_path) == {"through": None, "models": {"pump_stops": now}}
    assert _finished(tmp_path / "elsewhere") is None
