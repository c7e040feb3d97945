"""What apprise hands to a real receiver that fails at times, and that its address is seen nowhere."""

import logging
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from resources.alerts.alert import Alert
from resources.alerts.outbox import Alerts
from tests.receivers import Webhooks, webhooks

START = datetime(2026, 3, 2, 12, tzinfo=UTC)
POLICY = "routes: {team: ALERTS_OF_THIS_TEST}\nsend: [{to: [team]}]\n"


@pytest.fixture
def receiver(monkeypatch):
    with webhooks() as here:
        monkeypatch.setenv("ALERTS_OF_THIS_TEST", here.address)
        yield here


def outbox(folder: Path) -> Alerts:
    (folder / "alerts.yaml").write_text(POLICY)
    return Alerts(folder=str(folder / "state"), policy_file=str(folder / "alerts.yaml"))


def raised(alerts: Alerts) -> str:
    one = Alert(
        "drift_alarm",
        "pumps",
        "2026-W09",
        "pumps drift",
        {"psi": 0.31},
        link="http://127.0.0.1:3000/assets/p",
    )
    return alerts.raise_alert(one, START).id


def tries_until_taken(alerts: Alerts, receiver: Webhooks) -> list[str]:
    """What each try said, over the pauses between them."""
    now, lines = START + timedelta(minutes=1), []
    while not any(one.at for state in alerts.states() for one in state.deliveries.values()):
        lines += alerts.send_due(now)
        now += timedelta(hours=1)
        assert len(lines) < 9
    assert alerts.send_due(now + timedelta(hours=1)) == []
    return lines


@pytest.mark.parametrize(
    ("fates", "comes"), [([], 1), (["refuses", "refuses"], 1), (["cuts"], 2), (["is slow", "refuses"], 2)]
)
def test_a_receiver_that_fails_at_times_has_it_in_the_end_and_again_only_where_it_had_taken_it_untold(
    fates, comes, receiver, tmp_path, caplog
):
    caplog.set_level(logging.DEBUG)
    receiver.fates = [*fates]
    alerts = outbox(tmp_path)
    id = raised(alerts)
    lines = tries_until_taken(alerts, receiver)
    assert len(lines) == len(fates) + 1
    assert len(receiver.got) == comes
    message = receiver.got[-1]
    assert (message["type"], message["title"]) == ("warning", "[warning] pumps: inputs or predictions drift")
    assert "psi: 0.31" in message["message"] and "http://127.0.0.1:3000/assets/p" in message["message"]
    assert f"mlops alerts ack {id} --by NAME --why WHY" in message["message"]
    assert all(head["Authorization"].startswith("Basic ") for head in receiver.heads)
    kept = "".join(file.read_text() for file in tmp_path.rglob("*.json"))
    assert id in kept and "planted-passw0rd" not in kept + caplog.text + "".join(lines)


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (None, "ALERTS_OF_THIS_TEST is not set in this process"),
        ("nothing://planted-passw0rd", "holds no address that apprise knows"),
    ],
)
def test_a_variable_that_cannot_be_used_is_a_try_that_failed_and_is_told_by_its_name(
    value, says, tmp_path, monkeypatch
):
    monkeypatch.delenv("ALERTS_OF_THIS_TEST", raising=False)
    if value:
        monkeypatch.setenv("ALERTS_OF_THIS_TEST", value)
    alerts = outbox(tmp_path)
    raised(alerts)
    (line,) = alerts.send_due(START + timedelta(minutes=1))
    (state,) = alerts.states()
    assert says in line and says in state.deliveries["team"].error and "planted" not in line
