"""Real processes send from one outbox: side by side nothing is told twice, and one that is killed in the middle repeats one message at most."""

import os
import subprocess
import sys
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from resources.alerts.alert import Alert
from resources.alerts.outbox import Alerts
from resources.settings import PROJECT_ROOT
from tests.receivers import Webhooks, webhooks

START = datetime(2026, 3, 2, 12, tzinfo=UTC)
SENDS = """
import sys
from datetime import datetime, timedelta
from resources.alerts.outbox import Alerts
alerts = Alerts(folder=sys.argv[1], policy_file=sys.argv[2])
now = datetime.fromisoformat(sys.argv[3])
print("ready", flush=True)
sys.stdin.readline()
for look in range(int(sys.argv[4])):
    alerts.send_due(now + timedelta(seconds=look))
"""


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch):
    with webhooks() as here:
        monkeypatch.setenv("TEAM_OF_THIS_TEST", here.address)
        yield here


def outbox(folder: Path, number: int) -> Alerts:
    (folder / "alerts.yaml").write_text("routes: {team: TEAM_OF_THIS_TEST}\nsend: [{to: [team]}]\n")
    alerts = Alerts(folder=str(folder / "state"), policy_file=str(folder / "alerts.yaml"))
    for one in range(number):
        alerts.raise_alert(Alert("drift_alarm", f"model-{one:02d}", "2026-W09", "drift", {}), START)
    return alerts


def sender(alerts: Alerts, looks: int = 1, after: timedelta = timedelta(minutes=1)) -> subprocess.Popen[str]:
    """A process that is about to send, and begins once it is told to."""
    arguments = [alerts.folder, alerts.policy_file, (START + after).isoformat(), str(looks)]
    process = subprocess.Popen(
        [sys.executable, "-c", SENDS, *arguments],
        cwd=PROJECT_ROOT,
        env={**os.environ, "PYTHONPATH": str(PROJECT_ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None and process.stdout.readline() == "ready\n"
    return process


def let_go(*processes: subprocess.Popen[str]) -> None:
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()


def titles(receiver: Webhooks) -> Counter[str]:
    return Counter(one["title"] for one in receiver.got)


def test_two_that_send_at_once_tell_each_alert_once(receiver, tmp_path):
    alerts = outbox(tmp_path, 12)
    both = [sender(alerts, looks=8) for _ in range(2)]
    let_go(*both)
    assert [process.wait(timeout=120) for process in both] == [0, 0]
    assert len(titles(receiver)) == 12 and set(titles(receiver).values()) == {1}


def test_one_that_is_killed_once_the_message_has_come_repeats_it_once_and_loses_none(receiver, tmp_path):
    alerts = outbox(tmp_path, 3)
    receiver.fates, receiver.slow_s = ["is slow"], 30.0
    killed = sender(alerts)
    let_go(killed)
    until = time.monotonic() + 60
    while not receiver.got:
        assert time.monotonic() < until and killed.poll() is None
        time.sleep(0.01)
    killed.kill()
    killed.wait()
    (noted,) = [state for state in alerts.states() if state.deliveries]
    assert noted.deliveries["team"].tries == 1 and noted.deliveries["team"].at is None
    after = sender(alerts, after=timedelta(minutes=3))
    let_go(after)
    assert after.wait(timeout=120) == 0
    assert sorted(titles(receiver).values()) == [1, 1, 2]
    assert all(state.deliveries["team"].at for state in alerts.states())
