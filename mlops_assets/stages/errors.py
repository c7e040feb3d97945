"""What a stage may end with; the whole tree is drawn in mlops_assets/errors.py."""

from collections.abc import Mapping
from typing import Any, Literal

from mlops_assets.errors import WorkError

Outcome = Literal["missing", "late", "empty"]


class StageError(WorkError):
    """A stage cannot do its work."""


class NotReadyError(StageError):
    """What a stage works on was not made yet: the asset that makes it is named."""


class NotPassedError(StageError):
    """The newest challenger has not passed the gate."""


class RecalibrationError(StageError):
    """The champion is not recalibrated, and why."""


class OtherRulesError(StageError):
    """The spec is not the one that the work began with."""


class AlteredRecordError(StageError):
    """A record is not the one that was written."""


class SourceError(StageError):
    """A source is not as its table says; nothing was written."""


class NotYetThereError(StageError):
    """A partition's rows are not there yet: `numbers` say what is, `outcome` in one word.

    `missing`: there is no file; `late`: no row is as new as the partition; `empty`: there are newer rows, and none in it.
    """

    def __init__(self, sentence: str, outcome: Outcome, numbers: Mapping[str, Any] | None = None):
        super().__init__(sentence, {"outcome": outcome, **(numbers or {})})
        self.outcome: Outcome = outcome
