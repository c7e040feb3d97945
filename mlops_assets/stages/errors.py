"""What a stage may end with; the whole tree is drawn in mlops_assets/errors.py."""

from mlops_assets.errors import WorkError


class StageError(WorkError):
    """A stage cannot do its work."""


class NotReadyError(StageError):
    """What a stage works on was not made yet: the asset that makes it is named."""


class NotPassedError(StageError):
    """The newest challenger has not passed the gate."""


class OtherRulesError(StageError):
    """The spec is not the one that the work began with."""


class AlteredRecordError(StageError):
    """A record is not the one that was written."""
