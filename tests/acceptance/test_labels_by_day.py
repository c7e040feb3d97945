"""Labels in the prediction table that come a month later, day by day: when each day's report is made, and made again."""

import pytest

from tests.assets.test_labels_in_columns import A_DAY, FIRST, Living, spec_of


@pytest.mark.parametrize("late", ["delay", "horizon"])
def test_by_day_each_day_is_reported_when_it_is_over_and_again_once_its_horizon_has_passed(tmp_path, late):
    label = {"delay": {"delay": "30d"}, "horizon": {"known_at": "seen", "horizon": "30d"}}[late]
    calendar = {"cadence": "daily", "start": "2020-01-06", "end": "2020-07-06"}
    living = Living(tmp_path, spec_of(label, calendar=calendar), 30 if late == "delay" else 3)
    names = living.names[:36]
    asked = [living.live(name) for name in names]
    assert asked[:30] == [[name] for name in names[:30]]
    assert asked[30:] == [[names[i - 30], names[i]] for i in range(30, 36)]
    for name in names[:6]:
        assert living.notes(name)[FIRST]["not_yet_known"] == living.report(name)["rows"] == A_DAY
        assert living.report(name)["not_yet_known"] == 0 and living.report(name)["log_loss"] > 0
