"""To whom alerts go: the routes, rules, quiet hours and escalation of one YAML file, which names variables and never an address."""

import re
from collections.abc import Mapping
from datetime import datetime, time, timedelta
from pathlib import Path
from typing import Annotated, Any, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import pydantic
from pydantic import Field

from resources.records.alerts import Severity
from resources.yaml_files import YamlError, read_yaml

VARIABLE = re.compile(r"[A-Z][A-Z0-9_]{0,99}")


class PolicyError(ValueError):
    """A file of alerts that cannot be used: names the field, the rule and what to give; repeats no value of a route."""


class _Settings(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class Rule(_Settings):
    """Which alerts go to which routes: those of these severities and owners, or all where none is named."""

    severity: tuple[Severity, ...] = ()
    owner: tuple[str, ...] = ()
    to: Annotated[tuple[str, ...], Field(min_length=1)]

    def takes(self, severity: Severity, owner: str | None) -> bool:
        """Whether an alert goes by this rule."""
        return (not self.severity or severity in self.severity) and (not self.owner or owner in self.owner)


def _clock_time(text: Any) -> time:
    if not isinstance(text, str) or not re.fullmatch(r"([01]\d|2[0-3]):[0-5]\d", text):
        raise ValueError('is no time of day: give hours and minutes in quotes, for instance "22:00"')
    return time.fromisoformat(text)


ClockTime = Annotated[time, pydantic.BeforeValidator(_clock_time)]


class Quiet(_Settings):
    """Hours, in a named time zone, in which alerts wait unless they are of these severities."""

    start: ClockTime = Field(alias="from")
    until: ClockTime
    zone: str
    except_for: tuple[Severity, ...] = Field(default=("critical",), alias="except")

    @pydantic.field_validator("zone")
    @classmethod
    def _known(cls, zone: str) -> str:
        try:
            ZoneInfo(zone)
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            raise ValueError(
                f"{zone!r} is no time zone: give a name, for instance America/New_York"
            ) from error
        return zone

    @pydantic.model_validator(mode="after")
    def _some_time(self) -> Self:
        if self.start == self.until:
            raise ValueError("from and until are the same time, which reads as never and as always: give two")
        return self

    def holds(self, severity: Severity, now: datetime) -> bool:
        """Whether an alert waits at a moment; the hours may go over midnight, and follow the zone's summer time."""
        local = now.astimezone(ZoneInfo(self.zone)).time()
        over_midnight = self.start > self.until
        within = (
            (local >= self.start or local < self.until) if over_midnight else self.start <= local < self.until
        )
        return within and severity not in self.except_for


class Escalation(_Settings):
    """Where an alert goes that nobody has acknowledged so many minutes after it was first told."""

    after_minutes: Annotated[float, Field(gt=0)]
    to: Annotated[tuple[str, ...], Field(min_length=1)]
    severity: tuple[Severity, ...] = ("critical", "warning")


class Limits(_Settings):
    """From when on something is worth an alert; None: never."""

    freshness_hours: Annotated[float, Field(gt=0)] | None = None
    coverage: Annotated[float, Field(gt=0, le=1)] | None = 0.5
    refusals: Annotated[int, Field(ge=2)] | None = 3
    reopen_minutes: Annotated[float, Field(ge=0)] = 60


class Policy(_Settings):
    """Everything that one file of alerts says; the empty one sends nothing, and alerts are only listed."""

    routes: Mapping[str, str] = Field(default_factory=dict)
    send: tuple[Rule, ...] = ()
    quiet: Quiet | None = None
    escalate: Escalation | None = None
    group_seconds: Annotated[float, Field(ge=0)] = 30
    limits: Limits = Limits()

    @pydantic.field_validator("routes")
    @classmethod
    def _names(cls, routes: Mapping[str, str]) -> Mapping[str, str]:
        for route, variable in routes.items():
            if not VARIABLE.fullmatch(variable):
                raise ValueError(
                    f"route {route!r} does not name an environment variable: give the name of one, for instance "
                    "MLOPS_ALERTS_TEAM, and put the address into that"
                )
        return routes

    @pydantic.model_validator(mode="after")
    def _whole(self) -> Self:
        targets = {to for rule in self.send for to in rule.to} | {
            *(self.escalate.to if self.escalate else ())
        }
        if unknown := sorted(targets - self.routes.keys()):
            raise ValueError(
                f"{unknown[0]!r} is no route: name one of {', '.join(sorted(self.routes)) or 'none'}"
            )
        if self.routes and (not self.send or self.send[-1].severity or self.send[-1].owner):
            raise ValueError(
                "an alert that no rule takes would reach nobody: let the last entry of send name routes alone"
            )
        return self

    def routes_of(self, severity: Severity, owner: str | None) -> tuple[str, ...]:
        """The routes of an alert, by the first rule that takes it."""
        return next((rule.to for rule in self.send if rule.takes(severity, owner)), ())

    def holds(self, severity: Severity, now: datetime) -> bool:
        """Whether an alert waits for the end of the quiet hours."""
        return self.quiet is not None and self.quiet.holds(severity, now)

    def escalates(self, severity: Severity, since: datetime | None, now: datetime) -> tuple[str, ...]:
        """Where an alert goes that was first told at `since` and that nobody has acknowledged."""
        rule = self.escalate
        if rule is None or since is None or severity not in rule.severity:
            return ()
        return rule.to if now - since >= timedelta(minutes=rule.after_minutes) else ()


def read_policy(path: str) -> Policy:
    """The policy in a YAML file; no file named: the empty one. Raises PolicyError."""
    if not path:
        return Policy()
    try:
        content = read_yaml(Path(path).read_text(encoding="utf-8"), path)
        return Policy.model_validate(content or {})
    except FileNotFoundError as error:
        raise PolicyError(
            f"{path}, which MLOPS_ALERTS names, is not there: write it, or unset the variable"
        ) from error
    except YamlError as error:
        raise PolicyError(str(error)) from error
    except pydantic.ValidationError as error:
        first = error.errors(include_input=False, include_context=False)[0]
        field = ".".join(map(str, first["loc"])) or "(whole)"
        raise PolicyError(f"{path}: {field}: {first['msg'].removeprefix('Value error, ')}") from error
