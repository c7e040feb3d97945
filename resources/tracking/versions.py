"""A registered model version as a value, read from MLflow's tags."""

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from resources.moments import MomentError, read_moment
from resources.records.tags import tags_forward

IDENTITY, SHA256, FILE = "identity", "sha256", "model_file"
LINEAGE = "lineage"
"""The tag with the SHA-256 of the version's lineage document."""

PROMOTED_AT, TRAINED_UNTIL = "promoted_at", "trained_until"


class TrackingError(Exception):
    """A run, version or model file is missing, unfinished or not what was logged."""


class DeletedError(TrackingError):
    """What is to be logged belongs to something that was deleted in MLflow and can be restored; the spool keeps it until then."""

    def __init__(self, kind: str, name: str, number: str) -> None:
        super().__init__(kind, name, number)
        self.kind, self.name, self.number = kind, name, number

    def __str__(self) -> str:
        return (
            f"{self.kind} {self.name} (id {self.number}) was deleted in MLflow: bring it back with `mlflow {self.kind}s "
            f"restore --{self.kind}-id {self.number}`; what was to be logged there is kept in this machine's spool and is "
            f"delivered by the next run"
        )


@dataclass(frozen=True)
class Version:
    """One registered model version; its moments are data time, never the wall clock."""

    name: str
    number: int
    identity: str
    run_id: str
    sha256: str
    tags: dict[str, str]
    trained_until: datetime | None = None
    promoted_at: datetime | None = None

    @property
    def file(self) -> str:
        """Name of its model's file; TrackingError where it does not say so."""
        if FILE not in self.tags:
            raise TrackingError(
                f"{self.name} version {self.number} has no tag {FILE}, which names its model's file: it was not "
                "registered by this platform; train again, or set the tag"
            )
        return self.tags[FILE]

    @property
    def trainer(self) -> str | None:
        """The kind of trainer that made it; None for versions from before that was recorded."""
        return self.tags.get("trainer")

    @property
    def promotions(self) -> list[datetime]:
        """Every moment at which this version became champion, oldest first; `promoted_at` is the last."""
        return moments(self.tags.get(PROMOTED_AT, ""))


def version_of(answer: Any) -> Version:
    """What MLflow returned as our value."""
    tags = tags_forward(answer.tags, f"{answer.name} version {answer.version} in MLflow")
    promoted, until = (moments(tags.get(tag, "")) for tag in (PROMOTED_AT, TRAINED_UNTIL))
    return Version(
        name=answer.name,
        number=int(answer.version),
        identity=tags.get(IDENTITY, ""),
        run_id=answer.run_id or "",
        sha256=tags.get(SHA256, ""),
        tags=tags,
        trained_until=until[-1] if until else None,
        promoted_at=promoted[-1] if promoted else None,
    )


def moments(text: str) -> list[datetime]:
    """Moments written one after the other, with commas between."""
    try:
        return [read_moment(part.strip()) for part in text.split(",") if part.strip()]
    except MomentError as error:
        raise TrackingError(str(error)) from error


def sha256(content: bytes) -> str:
    """The content's SHA-256 in hex."""
    return hashlib.sha256(content).hexdigest()


def utc(moment: datetime) -> datetime:
    """The same moment in UTC; one without time zone is refused."""
    if moment.tzinfo is None:
        raise TrackingError(
            f"{moment} has no time zone: give an aware datetime, for instance with tzinfo=UTC"
        )
    return moment.astimezone(UTC)
