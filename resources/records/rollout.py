"""Where a roll-out stands: which version takes whose place, by which plan, in which step, and every transition up to now."""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from resources.records.attempts import MomentText
from resources.records.reader import Part, Record, numbered

Phase = Literal["running", "completing", "rolling_back", "aborting", "completed", "rolled_back", "aborted"]
Origin = Literal["promotion", "by_hand", "ab_test"]
ENDED: tuple[Phase, ...] = ("completed", "rolled_back", "aborted")
TransitionKind = Literal[
    "started",
    "advanced",
    "asked",
    "paused",
    "resumed",
    "completed",
    "promoted",
    "rolled_back",
    "aborted",
]


class Counted(Part):
    """Requests and faults of one kind in this step, of the version and of the champion beside it."""

    requests: int = 0
    faults: int = 0
    champion_requests: int = 0
    champion_faults: int = 0
    against: float = Field(
        default=0.0, description="Logarithm of the evidence that the version's rate is above the champion's."
    )


class Transition(Part):
    """One transition: what happened in which step, who did it, why, when by the model's clock, and the numbers of then."""

    number: Annotated[int, Field(ge=0)]
    kind: TransitionKind
    step: str
    by: str
    why: str
    moment: MomentText
    evidence: dict[str, Any] = Field(default_factory=dict)


class Promise(Part):
    """What is recorded as the change of champion when the roll-out completes: by whom, why, and on which evidence."""

    kind: Literal["promoted", "rolled_back"]
    by: str
    why: str
    evidence: dict[str, Any]


class Rollout(Record):
    """The state of one roll-out; a process that is killed finds here what it has to go on with."""

    CALLED: ClassVar[str] = "the state of a roll-out"
    AGAIN: ClassVar[str] = "abort the roll-out and start it again"
    STEPS: ClassVar = (numbered,)

    model: str
    number: Annotated[int, Field(ge=1)]
    version: Annotated[int, Field(ge=1)]
    champion: Annotated[int, Field(ge=1)]
    origin: Origin
    plan: dict[str, Any] = Field(description="The plan of the spec as it was at the start.")
    promise: Promise
    record: dict[str, Any] | None = Field(
        default=None, description="The version's deployment record; none where the model has no endpoint."
    )
    phase: Phase = "running"
    step: int = 0
    started: MomentText
    since: MomentText
    paused: str | None = None
    has_asked: bool = Field(default=False, description="Whether a person was asked in this step.")
    looks: list[int] = Field(
        default_factory=list, description="Clusters of labels at each look at the metric."
    )
    look: dict[str, Any] | None = Field(default=None, description="What the newest of them showed.")
    errors: Counted = Field(default=Counted(), description="Of the rows that both versions scored.")
    traffic: Counted = Field(default=Counted(), description="The same of requests to the endpoint.")
    slow: Counted = Counted()
    counts: dict[str, Any] | None = Field(
        default=None, description="By version the endpoint's counts at the newest look."
    )
    basis: str = Field(default="", description="Hash of the rows that the newest look has seen.")
    waits: str = Field(default="", description="What the next step waits for, in a sentence.")
    dry_run: dict[str, list[float | None]] = Field(default_factory=dict)
    transitions: list[Transition] = Field(default_factory=list)

    @property
    def id(self) -> str:
        """What entries of the audit log call it."""
        return f"{self.model}/{self.number}"

    @property
    def ended(self) -> bool:
        """Whether nothing is to be done any more."""
        return self.phase in ENDED
