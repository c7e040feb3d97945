"""What people read: a title and lines of plain text, with the numbers, the page to open and the command that acknowledges."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from resources.alerts.alert import KINDS
from resources.records.alerts import AlertState, Fact

Tone = Literal["failure", "warning", "info"]
TONES: dict[str, Tone] = {"critical": "failure", "warning": "warning", "info": "info"}
ORDER = ("critical", "warning", "info")


@dataclass(frozen=True)
class Message:
    """One message to one route, on one alert or on several that came together."""

    title: str
    body: str
    tone: Tone


def message_of(states: Sequence[AlertState]) -> Message:
    """The message on some alerts, the worst first."""
    ordered = sorted(states, key=lambda one: (ORDER.index(one.severity), one.raised, one.id))
    worst, more = ordered[0], len(ordered) - 1
    title = f"[{worst.severity}] {worst.subject}: {KINDS[worst.kind].title}" + (
        f", and {more} more" if more else ""
    )
    return Message(title, "\n\n".join(map(paragraph, ordered)), TONES[worst.severity])


def paragraph(state: AlertState) -> str:
    """One alert in lines."""
    numbers = [f"  {name}: {number(value)}" for name, value in state.evidence.items()]
    again = f", {state.occurrence} times by now" if state.occurrence > 1 else ""
    over = [f"It is over since {state.resolved}."] if state.resolved else []
    return "\n".join(
        [
            f"{state.summary} (raised {state.raised}{again})",
            *numbers,
            *([f"Owner: {state.owner}"] if state.owner else []),
            *over,
            f"What helps: {state.fix}",
            *([f"Page: {state.link}"] if state.link else []),
            f"Alert {state.id}. In hand? {acknowledge_command(state)}",
        ]
    )


def acknowledge_command(state: AlertState) -> str:
    """The command by which somebody says that they have an alert in hand."""
    return f"mlops alerts ack {state.id} --by NAME --why WHY"


def number(value: Fact) -> str:
    """A number to four digits; what is not defined says so."""
    if value is None:
        return "not defined"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
