"""What Prometheus's Alertmanager tells by its webhook, put into the outbox: it goes the way of every other alert."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Annotated, Literal

import pydantic

from resources.alerts.alert import KINDS, Alert
from resources.alerts.outbox import Alerts
from resources.records.alerts import AlertState, Severity

BY_RULE = "rule "
"""How the cause of an alert begins that a rule of Prometheus raised."""


class Firing(pydantic.BaseModel):
    """One alert of a webhook of version 4; what is not named here is not needed."""

    status: Literal["firing", "resolved"]
    labels: dict[str, str]
    annotations: dict[str, str] = pydantic.Field(default_factory=dict)
    starts_at: Annotated[str, pydantic.Field(alias="startsAt")]
    generator: Annotated[str, pydantic.Field(alias="generatorURL")] = ""

    def alert(self, find_place: "FindPlace") -> Alert:
        """The same as an alert of ours: by the kind that the rule names, of the model that its series is about.

        Its cause is the series, not since when it fires: one that flickers is one alert.
        """
        name = self.labels.get("alertname", "")
        severity: Severity = "critical" if self.labels.get("severity") == "critical" else "warning"
        kind = self.labels.get("kind", "")
        subject = self.labels.get("model") or self.labels.get("table") or self.labels.get("job") or name
        owner, link = find_place(kind, subject)
        apart = ("alertname", "severity", "kind", *(("instance", "job") if kind in KINDS else ()))
        shown = {"rule": name, "since": self.starts_at} | {
            label: value for label, value in self.labels.items() if label not in apart
        }
        return Alert(
            kind if kind in KINDS else "prometheus",
            subject,
            BY_RULE
            + " ".join(
                [
                    name,
                    *(
                        f"{label}={value}"
                        for label, value in sorted(self.labels.items())
                        if label not in apart
                    ),
                ]
            ),
            self.annotations.get("summary", name),
            shown | {name: value for name, value in self.annotations.items() if name == "value"},
            link or self.generator,
            owner,
            severity,
            f"see the runbook: {self.annotations['runbook']}" if "runbook" in self.annotations else "",
        )


FindPlace = Callable[[str, str], tuple[str | None, str]]
"""From kind and subject of an alert to who answers for it and the page that shows it ("": none)."""


class Webhook(pydantic.BaseModel):
    """The body that Alertmanager posts."""

    version: Literal["4"]
    alerts: list[Firing]


def take_webhook(alerts: Alerts, body: bytes, now: datetime, find_place: FindPlace) -> int:
    """Raise what fires and note what is over; how many alerts it named. Raises pydantic's ValidationError for another body.

    What is open of the same kind and subject already is the same thing seen by the platform itself, and is not told twice.
    """
    webhook, policy = Webhook.model_validate_json(body), alerts.policy
    for one in webhook.alerts:
        alert, there = one.alert(find_place), {state.id: state for state in alerts.states()}
        if one.status == "firing" and not twin(alert, there):
            alerts.raise_alert(alert, now, policy)
        elif one.status == "resolved" and alert.id in there:
            alerts.resolve(alert.id, now)
    return len(webhook.alerts)


def twin(alert: Alert, there: Mapping[str, AlertState]) -> bool:
    """Whether the same kind of thing is open of the same subject, raised from the other side."""
    by_rule = alert.cause.startswith(BY_RULE)
    return alert.kind != "prometheus" and any(
        (state.kind, state.subject) == (alert.kind, alert.subject)
        and state.resolved is None
        and state.cause.startswith(BY_RULE) is not by_rule
        for state in there.values()
    )


def is_by_rule(state: AlertState) -> bool:
    """Whether Prometheus raised it, and will say when it is over."""
    return state.cause.startswith(BY_RULE)
