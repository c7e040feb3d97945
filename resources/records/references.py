"""What a champion was trained on, in short: the profile that later partitions are compared with."""

from typing import Any, ClassVar

from pydantic import Field

from resources.records.attempts import Measure
from resources.records.reader import Part, Record, numbered


class Profile(Part):
    """Rows, and of each column the numbers that a comparison needs (`ml/monitoring/drift.py`)."""

    rows: int
    columns: dict[str, dict[str, Any]]


class Reference(Record):
    """The features that a version was trained on, its scores and metrics on the held-out rows, and what is compared."""

    CALLED: ClassVar[str] = "the reference profile of a version"
    AGAIN: ClassVar[str] = "deploy the version again"
    STEPS: ClassVar = (numbered,)

    features: Profile
    scores: Profile
    metrics: dict[str, Measure]
    columns: list[str] = Field(default_factory=list)
