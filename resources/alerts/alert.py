"""What is raised: a kind, what it is about, why it is this one and not the next, and the numbers that show it."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

from resources.records.alerts import Fact, Severity


@dataclass(frozen=True)
class AlertKind:
    """A kind of alert: how bad it is by itself, what it says, and what helps.

    Of one that is `on_record` the records say by themselves what it says: it is no reason of its own why a model needs hands.
    """

    severity: Severity
    title: str
    fix: str
    on_record: bool = False


KINDS: Mapping[str, AlertKind] = {
    "drift_alarm": AlertKind(
        "warning",
        "inputs or predictions drift",
        "read the drift report; the retrain policy decides by itself",
        on_record=True,
    ),
    "quality_under_floor": AlertKind(
        "critical",
        "quality is beyond its floor",
        "roll back, or pause and train on what the labels show",
        on_record=True,
    ),
    "stale_data": AlertKind(
        "warning", "data is late", "look at the source of the table, then at its sensor", on_record=True
    ),
    "stale_model": AlertKind(
        "warning",
        "the newest partition is old",
        "see which table it waits for; nothing newer was ingested",
    ),
    "labels_missing": AlertKind(
        "warning", "labels are missing", "look at the source of the labels: quality is blind without them"
    ),
    "rollout_rolled_back": AlertKind(
        "warning", "a roll-out was rolled back", "read its evidence before the next version is tried"
    ),
    "rollout_waits": AlertKind(
        "info", "a roll-out waits for a person", "promote, resume or abort it", on_record=True
    ),
    "approval_waits": AlertKind(
        "info", "a challenger waits for approval", "approve or reject it", on_record=True
    ),
    "promotion_refused": AlertKind(
        "warning",
        "challengers are refused again and again",
        "compare their evidence: data, labels or gate",
    ),
    "run_failed": AlertKind(
        "warning", "a run failed", "open the run; what a sensor asked for is tried again", on_record=True
    ),
    "endpoint_broken": AlertKind(
        "critical", "a version cannot be served", "roll back, or deploy the version again"
    ),
    "model_unreadable": AlertKind(
        "warning", "a model's state cannot be read", "run `mlops check`, and see the log of the sensor"
    ),
    "prometheus": AlertKind("warning", "a Prometheus rule fires", "follow the runbook that the rule names"),
}


def is_on_record(kind: str) -> bool:
    """Whether the records say by themselves what alerts of a kind say; of a kind of another release nobody knows."""
    return kind in KINDS and KINDS[kind].on_record


@dataclass(frozen=True)
class Alert:
    """One thing that somebody should know; two of the same kind, subject and cause are one."""

    kind: str
    subject: str
    cause: str
    summary: str
    evidence: Mapping[str, Fact]
    link: str = ""
    owner: str | None = None
    severity: Severity | None = None
    fix: str = ""

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(
                f"kind {self.kind!r} is no kind of alert: give one of {', '.join(sorted(KINDS))}"
            )

    @property
    def id(self) -> str:
        """Twelve characters that kind, subject and cause have in common with no other alert."""
        named = "\0".join((self.kind, self.subject, self.cause))
        return hashlib.sha256(named.encode()).hexdigest()[:12]

    @property
    def weight(self) -> Severity:
        """How bad it is: by itself, or as its kind is."""
        return self.severity or KINDS[self.kind].severity
