"""How every model stands, for whoever is on call: what the status command prints, the status asset writes and the endpoint's page shows."""

from dataclasses import dataclass
from typing import ClassVar

from pydantic import ConfigDict

from resources.records.attempts import MomentText
from resources.records.reader import Content, Record, numbered


@dataclass(frozen=True)
class Standing:
    """How one model stands; None is what is not known or not defined, and never a zero.

    Moments are ISO 8601 by the clock of the model's use case. `coverage` is the share, 0 to 1, of the rows that count by
    now which have a label; `quality` is `metric` on the newest partition that has one, with its 95% interval.
    `needs_hands` says why the model stands on top; it is empty where nothing is asked of anybody.
    """

    __pydantic_config__ = ConfigDict(extra="forbid", allow_inf_nan=False)

    model: str
    owner: str | None
    champion: int | None
    champion_since: str | None
    champion_age_days: float | None
    newest_partition: str | None
    partition_end: str | None
    freshness_hours: float | None
    metric: str | None
    quality: float | None
    quality_low: float | None
    quality_high: float | None
    floor: float | None
    coverage: float | None
    quality_partition: str | None
    drift: float | None
    drift_limit: float | None
    drift_partition: str | None
    alarm: bool | None
    alarm_remark: str | None
    rollout: str | None
    rollout_share: float | None
    rollout_waits: str | None
    waits: tuple[str, ...]
    alerts: tuple[str, ...]
    requests_24h: int | None
    cost_month: float | None
    cost_unit: str
    links: dict[str, str]
    needs_hands: tuple[str, ...]


@dataclass(frozen=True)
class Platform:
    """How all models stand at a moment of the wall clock, those that need hands first, and what waits of the whole platform."""

    asked_at: str
    models: tuple[Standing, ...]
    waits: tuple[str, ...]


def _without_errors(content: Content) -> Content:
    """The first version had a count of errors that no record knows, and that was never there."""
    models = [
        {name: value for name, value in one.items() if name != "errors_24h"}
        for one in content.get("models", ())
    ]
    return content | {"models": models}


class PlatformStatus(Record):
    """The same as a document: the command's JSON, and what the endpoint's page is told."""

    CALLED: ClassVar[str] = "the record of how the models stand"
    AGAIN: ClassVar[str] = "materialize platform/status again"
    STEPS: ClassVar = (numbered, _without_errors)

    asked_at: MomentText
    models: tuple[Standing, ...] = ()
    waits: tuple[str, ...] = ()

    @classmethod
    def of_platform(cls, platform: Platform) -> "PlatformStatus":
        """The document of what was described."""
        return cls(asked_at=platform.asked_at, models=platform.models, waits=platform.waits)

    def platform(self) -> Platform:
        """What the document holds."""
        return Platform(self.asked_at, self.models, self.waits)
