"""A challenger, and what became of it: the records between a training, its evaluation and its deployment."""

import hashlib
import json
from typing import Annotated, Any, ClassVar

from pydantic import Field

from resources.records.reader import Content, Part, PartitionKey, Record, numbered

MomentText = Annotated[str, Field(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$")]
"""A moment as it was written, because its text is part of a hash; ISO 8601 with a zone."""

Measure = int | float | None
"""A metric; None where it is not defined."""


class Recalibrates(Part):
    """The version whose own bytes a recalibration lies in front of, by number and hash, and the curve: shift or platt."""

    version: int
    sha256: str
    curve: str


class Challenger(Record):
    """What the evaluation and the refit need to know of the newest challenger."""

    CALLED: ClassVar[str] = "the record of a challenger"
    AGAIN: ClassVar[str] = "materialize the model again"
    STEPS: ClassVar = (numbered,)

    partition: PartitionKey
    now: MomentText
    version: int
    rounds: int
    rows: int
    training_set: str
    importance: dict[str, float]
    parameters: dict[str, Any] | None = Field(default=None, description="What a search won with.")
    recalibrates: Recalibrates | None = Field(default=None, description="Of what it is a recalibration.")


class Contestant(Part):
    """The challenger on the held-out rows, with the 95% interval of each metric."""

    version: int
    rounds: int
    metrics: dict[str, Measure]
    intervals: dict[str, list[Measure]] = Field(default_factory=dict)


class Opponent(Part):
    """The champion on the same rows."""

    version: int
    metrics: dict[str, Measure] | None


class AnchorMet(Part):
    """The anchor on the same rows, and what of its margin is spent and left."""

    version: int
    metric: Measure
    margin: float
    spent: Measure
    left: Measure
    passes: bool
    why: str | None


class HoldOut(Part):
    """The held-out rows: how many, and the first and last moment of a prediction."""

    rows: int
    first: str = Field(alias="from")
    last: str = Field(alias="to")


class Evidence(Part):
    """The rule and every number that was held against it."""

    rule: dict[str, Any]
    criteria: list[dict[str, Any]]
    skipped_slices: list[dict[str, Any]]
    clusters: list[dict[str, Any]]
    detectable_gain: Measure


class Final(Part):
    """The version that was made of a challenger that passed."""

    version: int


class Attempt(Record):
    """Everything that was weighed when a challenger was judged, and the version that came of it."""

    CALLED: ClassVar[str] = "the record of an evaluation"
    AGAIN: ClassVar[str] = "materialize the evaluation again"
    STEPS: ClassVar = (numbered,)

    partition: PartitionKey
    now: MomentText
    reason: str | None = None
    trigger: str | None = None
    challenger: Contestant
    champion: Opponent | None
    anchor: AnchorMet | None = None
    shown_better: bool = False
    hold_out: HoldOut
    promote: bool
    verdict: str
    slices: list[dict[str, Any]]
    evidence: Evidence
    hold_out_scores: dict[str, Any]
    final: Final | None = None

    @property
    def digest(self) -> str:
        """SHA-256 by which the audit log names the evaluation: the same before and after a version came of it.

        A step to another version has to leave it as it is, because entries of the log name it for ever.
        """
        return digest_of(self.content())

    def with_version(self, version: int) -> "Attempt":
        """The same evaluation once a version came of it."""
        return self.model_copy(update={"final": Final(version=version)})


def digest_of(content: Content) -> str:
    """SHA-256 of an evaluation's content, whatever version came of it."""
    return hashlib.sha256(json.dumps({**content, "final": None}, sort_keys=True).encode()).hexdigest()


class Timings(Record):
    """What was timed at an evaluation, apart from its record, which repeats to the byte."""

    CALLED: ClassVar[str] = "the record of an evaluation's timings"
    AGAIN: ClassVar[str] = "materialize the evaluation again"
    STEPS: ClassVar = (numbered,)

    contenders: list[dict[str, Any]]
