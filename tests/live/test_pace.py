"""The clock of a life: it runs, stands, and says how fast it was."""

import time
from datetime import UTC, datetime, timedelta

from mlops_assets.live.pace import Pace
from resources.clock import Clock
from resources.settings import settings

NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)


def test_every_process_of_the_state_sees_the_clock_run_and_stand(tmp_path):
    where = settings({"MLOPS_HOME": str(tmp_path)})
    pace, other = Pace(where), Clock.of(where)
    assert not pace.there
    pace.begin(NOON)
    assert pace.there and other.now() == NOON == other.now()
    pace.set(NOON, 86_400)
    time.sleep(0.05)
    assert other.now() > NOON + timedelta(minutes=30)
    pace.stand()
    assert other.now() == other.now() == pace.now()


def test_the_speed_is_simulated_time_by_time_that_went_by(tmp_path):
    pace = Pace(settings({"MLOPS_HOME": str(tmp_path)}))
    pace.begin(NOON)
    time.sleep(0.02)
    pace.set(NOON + timedelta(hours=1))
    lived, seconds, speed = pace.reached()
    assert lived == timedelta(hours=1) and seconds >= 0.02
    assert abs(speed * seconds - 3600) < 1e-6
