"""A use case of days ingests itself: each day once it is over, in order, late and corrected ones too, whatever is killed."""

from collections.abc import Iterator

import dagster as dg
import pytest

from tests.automation.businesses import Business, days

pytestmark = [
    pytest.mark.filterwarnings("ignore::dagster.PreviewWarning"),
    pytest.mark.filterwarnings("ignore::dagster.BetaWarning"),
]


@pytest.fixture
def business(tmp_path, monkeypatch) -> Iterator[Business]:
    monkeypatch.setenv("MLOPS_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("MLOPS_USE_CASES", str(tmp_path / "loans"))
    (tmp_path / "dagster").mkdir()
    with dg.instance_for_test(temp_dir=str(tmp_path / "dagster")) as instance:
        yield Business(tmp_path, instance).write()


def test_a_day_is_asked_for_once_its_end_and_its_lateness_have_passed_and_not_before(business):
    business.day(1)
    assert "2024-01-01 is over at 2024-01-02 06:00 UTC" in business.at(2, 5.99).tick()
    assert business.at(2).tick() == ["2024-01-01"] and business.failed == ""
    assert "2024-01-02 is over at 2024-01-03 06:00 UTC" in business.tick()
    assert business.online() == ["2024-01-01"]


def test_a_machine_that_was_off_for_ten_days_catches_up_one_by_one_the_oldest_first(business):
    for day in range(1, 11):
        business.day(day)
    assert business.at(11).until_quiet() == days(1, 10)
    assert business.online() == days(1, 10)
