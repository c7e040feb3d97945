"""When a new challenger is made: by a training, or of the champion itself."""

from pydantic import Field

from mlops_assets.spec.base import Days, Part


class Retrain(Part):
    """When a new challenger is trained: at the first evidence that holds, never inside the cool-down."""

    cool_down_days: Days = 14
    max_age_days: Days | None = Field(default=None, description="Retrain when the last training is this old.")
    metric_worse_by: float | None = Field(
        default=None,
        gt=0,
        description="Retrain when the partition's gate metric is worse than at promotion by this share.",
    )
    prediction_psi_above: float | None = Field(
        default=None, gt=0, description="PSI of the partition's scores, less what is expected of so few rows."
    )
    drift_share_above: float | None = Field(
        default=None, gt=0, le=1, description="Share that drifted of the columns with rows enough for a PSI."
    )
    recalibrate: bool = Field(
        default=False,
        exclude_if=False.__eq__,
        description="Where nothing else asks for a training and the scores are shown to be off, recalibrate the champion.",
    )
