"""What Alertmanager posts goes the way of every other alert, and what both sides see is told once."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from mlops_assets.stages.alerting import Findings, settle
from resources.alerts.alert import Alert
from resources.alerts.alertmanager import take_webhook
from resources.alerts.outbox import Alerts
from resources.alerts.policy import Policy

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
PLACE = ("team:water", "http://127.0.0.1:3000/assets/pumps/drift")


def body(status: str = "firing", since: str = "2026-03-02T11:58:00Z", **labels: str) -> bytes:
    """As Alertmanager 0.25 posts it, with what nobody reads here."""
    shown = {
        "alertname": "ModelDrifts",
        "model": "pumps",
        "severity": "warning",
        "kind": "drift_alarm",
    } | labels
    one: dict[str, Any] = {
        "status": status,
        "labels": {name: value for name, value in shown.items() if value},
        "annotations": {"summary": "pumps: drift", "runbook": "docs/alerts.md#modeldrifts"},
        "startsAt": since,
        "endsAt": "0001-01-01T00:00:00Z",
        "generatorURL": "http://127.0.0.1:9090/graph",
        "fingerprint": "c0ffee",
    }
    return json.dumps(
        {"version": "4", "groupKey": "{}", "receiver": "outbox", "status": status, "alerts": [one]}
    ).encode()


@pytest.fixture
def alerts(tmp_path: Path) -> Alerts:
    return Alerts(folder=str(tmp_path))


def take(alerts: Alerts, content: bytes) -> None:
    assert take_webhook(alerts, content, NOW, lambda kind, subject: PLACE) == 1


def test_what_fires_is_one_alert_however_often_it_is_posted_or_flickers_and_is_over_when_it_says_so(alerts):
    take(alerts, body())
    take(alerts, body())
    take(alerts, body("resolved"))
    take(alerts, body(since="2026-03-02T11:59:00Z"))
    (state,) = alerts.states()
    assert (state.kind, state.subject, state.owner, state.link) == ("drift_alarm", "pumps", *PLACE)
    assert state.phase == "open" and "docs/alerts.md#modeldrifts" in state.fix
    take(alerts, body("resolved"))
    assert alerts.state(state.id).phase == "resolved"


def test_what_the_platform_has_raised_by_itself_is_not_raised_by_the_rule_and_the_other_way_round(alerts):
    ours = Alert("drift_alarm", "pumps", "2026-W09", "pumps: drift", {"psi": 0.3})
    alerts.raise_alert(ours, NOW)
    take(alerts, body())
    assert [state.id for state in alerts.states()] == [ours.id]
    alerts.resolve(ours.id, NOW)
    take(alerts, body())
    settle(alerts, Findings([Alert("drift_alarm", "pumps", "2026-W10", "pumps: drift", {})]), NOW, Policy())
    assert sorted(state.cause for state in alerts.states() if state.resolved is None) == [
        "rule ModelDrifts model=pumps"
    ]


def test_a_look_of_the_platform_does_not_end_what_a_rule_raised(alerts):
    take(alerts, body())
    settle(alerts, Findings([], frozenset({("drift_alarm", "pumps")})), NOW, Policy())
    assert [state.phase for state in alerts.states()] == ["open"]


def test_a_rule_of_somebody_elses_is_an_alert_too(alerts):
    take(alerts, body(kind="", model="", alertname="DiskFull", severity="critical", instance="node-1"))
    (state,) = alerts.states()
    assert (state.kind, state.subject, state.severity) == ("prometheus", "DiskFull", "critical")
    assert state.evidence["instance"] == "node-1"


@pytest.mark.parametrize(
    "wrong", [b"{", b"{}", b'{"version": "3", "alerts": []}', b'{"version": "4", "alerts": [{}]}']
)
def test_what_is_no_webhook_is_refused_and_raises_nothing(wrong, alerts):
    with pytest.raises(ValidationError):
        take_webhook(alerts, wrong, NOW, lambda kind, subject: PLACE)
    assert alerts.states() == []
