"""The rule by which a challenger becomes champion: floors, the evidence against the champion, and guard-rails."""

from typing import Literal, Self

import pydantic
from pydantic import Field

from mlops_assets.spec.base import Part

HIGHER_IS_BETTER = {"auc"}
METRICS = {
    "classification": ("auc", "log_loss", "brier", "calibration_error"),
    "regression": ("mae", "rmse", "bias"),
}
DAY, WEEK = "day", "week"


class Guards(Part):
    """What a challenger may not lose although it wins: null switches a guard-rail off."""

    slice_tolerance: float | None = Field(
        default=0.0,
        ge=0,
        description="No slice may be shown to be worse than the champion by more than this, in units of the metric.",
    )
    calibration_tolerance: float | None = Field(
        default=0.0,
        ge=0,
        description="Classification: the calibration error may not be shown to be larger by more than this.",
    )
    latency_ms: float | None = Field(
        default=None,
        gt=0,
        description="Longest median time of one prediction. The verdict then depends on the machine that judges.",
    )
    size_mb: float | None = Field(default=None, gt=0, description="Largest model file, in millions of bytes.")


class Gate(Part):
    """When a challenger may become champion: floors for any model, and evidence against the champion on `metric`."""

    metric: str
    floors: dict[str, float] = Field(min_length=1, description="Metric -> worst value that may pass.")
    evidence: Literal["superiority", "non_inferiority", "point"] = Field(
        default="superiority",
        description="superiority: shown to be better; non_inferiority: shown to be less than `tolerance` worse; "
        "point: the bare difference decides, no test is made.",
    )
    tolerance: float = Field(
        default=0.0,
        ge=0,
        description="How much worse than the champion still passes: the margin of non_inferiority, in units of the metric.",
    )
    yearly_margin: float | None = Field(
        default=None,
        gt=0,
        description="How much all promotions since the anchor may lose together before only superiority counts, in units "
        "of the metric; default: `tolerance`. The anchor is the last champion that was shown to be better, else the first.",
    )
    alpha: float = Field(
        default=0.05,
        gt=0,
        lt=0.5,
        description="Rate of false promotions: of models that are no better (superiority) or worse by `tolerance`.",
    )
    power: float = Field(
        default=0.8,
        ge=0.5,
        lt=1,
        description="Rate at which a true gain is found that lies above the limit by what is reported as detectable.",
    )
    cluster: str = Field(
        default=DAY,
        description="Rows that share their luck: day or week of the prediction time in the spec's time zone, or a column.",
    )
    minimum_clusters: int = Field(default=5, ge=2, description="Fewer clusters than this prove nothing.")
    guards: Guards = Guards()

    @property
    def cluster_columns(self) -> list[str]:
        """The column that `cluster` names, if it names one: held-out rows must have it."""
        return [] if self.cluster in (DAY, WEEK) else [self.cluster]

    @property
    def anchor_margin(self) -> float | None:
        """What may be lost against the anchor, or None where nothing worse passes, so that no anchor is needed."""
        return None if self.evidence == "superiority" else self.yearly_margin or self.tolerance or None

    @pydantic.model_validator(mode="after")
    def _tolerance_fits_the_evidence(self) -> Self:
        if self.evidence == "superiority" and self.tolerance:
            raise ValueError(
                f"gate.tolerance={self.tolerance:g} has no meaning for evidence superiority, which lets nothing worse "
                "pass: set gate.evidence to non_inferiority or point, or leave tolerance out"
            )
        if self.evidence == "non_inferiority" and not self.tolerance:
            raise ValueError(
                "gate.evidence=non_inferiority needs gate.tolerance above 0: how much worse, in units of "
                f"{self.metric}, would not matter"
            )
        return self

    @pydantic.model_validator(mode="after")
    def _yearly_margin_fits_the_tolerance(self) -> Self:
        if self.yearly_margin is None:
            return self
        if self.evidence == "superiority":
            raise ValueError(
                f"gate.yearly_margin={self.yearly_margin:g} has no meaning for evidence superiority, which lets nothing "
                "worse pass: set gate.evidence to non_inferiority or point, or leave yearly_margin out"
            )
        if self.yearly_margin < self.tolerance:
            raise ValueError(
                f"gate.yearly_margin={self.yearly_margin:g} is under gate.tolerance={self.tolerance:g}: one promotion could "
                "lose more than all of them together; set yearly_margin to at least tolerance, or tolerance lower"
            )
        return self


def gate_fits(gate: Gate, task: str) -> str | None:
    """What is wrong with a gate for a task, or None."""
    known = METRICS[task]
    unknown = [metric for metric in (gate.metric, *gate.floors) if metric not in known]
    if not unknown:
        return None
    return f"gate metric {unknown[0]!r} does not exist for task {task}: choose from {', '.join(known)}"
