"""Who a challenger is held against: the champion and the anchor, each as a fit that has not seen the held-out days."""

from dataclasses import dataclass
from datetime import datetime

from mlops_assets.ml.judging.anchor import Unjudged
from mlops_assets.promotion import history
from mlops_assets.spec.model import ModelSpec
from mlops_assets.stages.errors import NotReadyError
from mlops_assets.stages.identity import recalibration_of, version_identity
from mlops_assets.stages.training import hold_out_start
from mlops_assets.stages.training_set import TrainingData
from resources.audit.log import CHANGES, Audit
from resources.records.attempts import Recalibrates
from resources.tracking.tracking import Tracking, TrackingError, Version


@dataclass(frozen=True)
class Anchor:
    """The champion that all later ones are held against, by its number: the fit that is judged and its bytes, or why none is."""

    number: int
    fit: Version | None = None
    model: bytes = b""
    why: str = ""

    @property
    def name(self) -> str:
        """What the verdict calls it."""
        return f"version {self.number}"

    @property
    def unjudged(self) -> Unjudged:
        """What the gate is told where there is no fit."""
        return Unjudged(self.name, self.why)

    def __str__(self) -> str:
        """What decides how it is judged."""
        return f"{self.number} {self.fit.sha256 if self.fit else self.why}"


@dataclass(frozen=True)
class Opponents:
    """The champion's fit and the anchor; None where there is no champion yet, or no anchor is needed."""

    champion: Version | None
    anchor: Anchor | None


def opponents(
    spec: ModelSpec,
    tracking: Tracking,
    audit: Audit,
    data: TrainingData,
    attempt: bool = True,
    recalibrates: Recalibrates | None = None,
) -> Opponents:
    """Whom a challenger trained on this data meets, or one that `recalibrates` a version.

    An `attempt` that is repeated meets the champion it met the first time; what is only tried meets the champion of now. Raises NotReadyError where no fit of the
    champion is a fair opponent; without one of the anchor, only superiority over the champion counts.
    """
    champion = tracking.champion(spec.name)
    named = recalibration_of(recalibrates.sha256, recalibrates.curve) if recalibrates else ""
    if attempt and champion and champion.identity == version_identity(spec, data, "refit", named):
        champion = tracking.previous(spec.name)
    if champion is None:
        return Opponents(None, None)
    start = hold_out_start(spec, data)
    versions = {version.number: version for version in tracking.versions(spec.name)}
    fit = fair(champion, versions, start)
    if fit is None:
        raise NotReadyError(
            f"{spec.name}: champion {champion.number} was trained until {champion.trained_until}, the hold-out begins "
            f"{start}: it would be judged on rows it has seen. Ingest more partitions, until {spec.window.hold_out_days} days after its training."
        )
    if spec.gate.anchor_margin is None:
        return Opponents(fit, None)
    number = history.find_anchor(list(audit.entries(spec.name, CHANGES)), champion.number)
    return Opponents(fit, _anchor(tracking, number, versions, start))


def fair(version: Version, versions: dict[int, Version], start: datetime) -> Version | None:
    """The version, or the challenger that it was refitted from, whichever has not seen the rows from `start` on."""
    stand_in = versions.get(int(version.tags.get("challenger", 0)))
    return next((fit for fit in (version, stand_in) if fit and unseen(fit, start)), None)


def unseen(version: Version, start: datetime) -> bool:
    """Whether a version knows nothing from `start` on; where labels have a horizon, both are moments of predictions."""
    return version.trained_until is not None and version.trained_until <= start


def _anchor(tracking: Tracking, number: int, versions: dict[int, Version], start: datetime) -> Anchor:
    """The anchor with its bytes, read now: whether they are still there decides what a challenger must show."""
    version = versions.get(number)
    if version is None:
        return Anchor(number, why="is not in the registry any more")
    fit = fair(version, versions, start)
    if fit is None:
        return Anchor(number, why=f"was trained until {version.trained_until} and has seen held-out rows")
    try:
        return Anchor(number, fit, tracking.load(fit))
    except TrackingError:
        return Anchor(number, why="has no whole model file any more (restore the artifacts folder)")
