"""The polars store answers what the oracle answers, over thousands of generated timelines."""

from pathlib import Path

import pytest

from tests.feature_repo.offline_oracle.suite import told
from tests.feature_repo.offline_oracle.timelines import Setting, settings, world_of
from tests.feature_repo.offline_oracle.world import OURS

TIMELINES = 480
SETTINGS = settings(TIMELINES)


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: f"world-{setting.seed}")
def test_no_generated_timeline_is_answered_otherwise_than_by_the_oracle(
    setting: Setting, tmp_path: Path
) -> None:
    wrong = told([setting], tmp_path, {"type": OURS})
    assert wrong == [], f"{len(wrong)} answers are wrong; the first:\n" + "\n".join(wrong[:3])


def test_there_are_at_least_ten_thousand_timelines() -> None:
    assert sum(setting.timelines for setting in SETTINGS) >= 10_000


def test_the_same_setting_gives_the_same_world() -> None:
    one, other = world_of(SETTINGS[3]), world_of(SETTINGS[3])
    assert one.views == other.views
    assert one.entities == other.entities
