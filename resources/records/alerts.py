"""An alert in the outbox: what was raised, which routes have it, who acknowledged it, and whether it is over."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from resources.records.attempts import MomentText
from resources.records.reader import Part, Record, numbered

Severity = Literal["critical", "warning", "info"]
Phase = Literal["open", "sent", "acknowledged", "resolved"]
Fact = str | int | float | bool | None
"""A number or a word of the evidence; None where it is not defined."""


class Delivery(Part):
    """What became of an alert on one route: tries so far, and when the receiver took it."""

    tries: Annotated[int, Field(ge=0)] = 0
    first_try: MomentText | None = None
    last_try: MomentText | None = None
    at: MomentText | None = Field(default=None, description="When the receiver said that it has it.")
    error: str = Field(default="", description="Why the newest try failed; never an address.")


class Acknowledgement(Part):
    """Who has taken an alert in hand, and why nobody else has to."""

    by: str
    why: str
    at: MomentText


class AlertState(Record):
    """One alert; the same cause has the same id, so that it is raised once however often it is seen."""

    CALLED: ClassVar[str] = "the state of an alert"
    AGAIN: ClassVar[str] = "remove it, and what it is about is raised again"
    STEPS: ClassVar = (numbered,)

    id: Annotated[str, Field(pattern=r"^[0-9a-f]{12}$")]
    kind: str
    subject: str = Field(description="The model, table or job that it is about.")
    cause: str = Field(
        description="The partition, version or whatever else makes it this alert and not the next."
    )
    severity: Severity
    owner: str | None
    summary: str
    evidence: dict[str, Fact]
    link: str
    fix: str
    raised: MomentText
    occurrence: Annotated[int, Field(ge=1)] = 1
    deliveries: dict[str, Delivery] = Field(default_factory=dict, description="By route.")
    acknowledgement: Acknowledgement | None = None
    resolved: MomentText | None = None

    @property
    def phase(self) -> Phase:
        """How far it has come."""
        if self.resolved:
            return "resolved"
        if self.acknowledgement:
            return "acknowledged"
        return "sent" if any(one.at for one in self.deliveries.values()) else "open"
