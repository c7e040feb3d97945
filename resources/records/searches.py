"""A hyperparameter search: its winner, which the next training reads, and each of its trials."""

import json
from typing import Any, ClassVar, Literal

from resources.records.attempts import Measure, MomentText
from resources.records.reader import Content, PartitionKey, Record, numbered


class SearchResult(Record):
    """The parameters that won, and all that they were found from."""

    CALLED: ClassVar[str] = "the result of a search"
    AGAIN: ClassVar[str] = "search again"
    STEPS: ClassVar = (numbered,)

    partition: PartitionKey
    now: MomentText
    known_by: MomentText
    parameters: dict[str, Any]
    sha256: str
    trainer: str
    trial: int
    trials: int
    finished: int
    stopped: int
    failed: int
    metric: str
    score: Measure
    rounds: int
    model_sha256: str
    spec_parameters: dict[str, Any]
    spec_score: Measure
    importance: dict[str, Any]
    training_set: str
    feature_definitions: str
    spec: str
    code_version: str
    seed: int
    identity: str
    mlflow_run: str


class TrialOutcome(Record):
    """What a trial tried, how it ended, and what it scored at each rung and in the end."""

    CALLED: ClassVar[str] = "the record of a trial"
    AGAIN: ClassVar[str] = "remove it, and the search makes it again"
    STEPS: ClassVar = (numbered,)

    number: int
    parameters: dict[str, Any]
    state: Literal["finished", "stopped", "failed"]
    score: Measure = None
    rounds: int = 0
    rungs: list[tuple[int, float]] = []
    sha256: str = ""
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    ended: float = 0.0
    problem: str = ""


def _named(content: Content) -> Content:
    """The first releases wrote the parameters and nothing else."""
    return {"parameters": content}


class WinningParameters(Record):
    """What a version was trained with in place of its spec's parameters, as a tag of the version."""

    CALLED: ClassVar[str] = "the tag with the parameters that a search won with"
    AGAIN: ClassVar[str] = "train again, or put the tag back"
    STEPS: ClassVar = (_named,)

    parameters: dict[str, Any]

    def text(self) -> str:
        """The tag's value."""
        return json.dumps(self.document(), sort_keys=True)
