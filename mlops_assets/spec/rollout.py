"""How a version that passed the gate takes traffic: in steps, judged by evidence, and back by itself where it is worse."""

from datetime import timedelta
from itertools import pairwise
from typing import Annotated, Literal, Self

import pydantic
from pydantic import Field

from mlops_assets.spec.base import Duration, Part
from mlops_assets.spec.gate import METRICS

Share = Annotated[float, Field(gt=0, le=1)]
Samples = Annotated[int, Field(ge=1)]


class Bake(Part):
    """How long a step lasts at least, by the model's clock, and how many requests it has to see."""

    bake: Duration = Field(
        default=timedelta(days=1),
        description="Shortest time of the step; of a model by the data, in the data's time.",
    )
    minimum_samples: Samples = Field(
        default=100, description="Fewer requests than this never end a step: no traffic is not success."
    )


class Shadow(Bake):
    """The first step: copies of requests are scored after the answer has gone, and answer nobody."""

    share: Share = Field(default=1.0, description="Share of the requests of which copies are scored.")
    cpu: Share = Field(
        default=0.25, description="Largest share of one processor that scoring copies may take."
    )


class Canary(Bake):
    """A step in which the version answers a share of the requests."""

    share: Annotated[float, Field(gt=0, lt=1)]


class Limits(Part):
    """What a version is rolled back for, once it is shown and not merely seen; null switches a limit off."""

    error_rate: float | None = Field(
        default=0.001, gt=0, lt=1, description="Share of requests that the version may fail to score."
    )
    latency_ms: float | None = Field(
        default=None, gt=0, description="What counts as slow: a request that the version takes longer for."
    )
    slow_share: float = Field(default=0.01, gt=0, lt=1, description="Share of requests that may be slow.")
    metric_worse_by: float | None = Field(
        default=0.0,
        ge=0,
        description="How much worse than the champion the gate's metric may be, in its units.",
    )
    metric_tolerance: float | None = Field(
        default=None,
        gt=0,
        description="A step ends well only once a loss larger than this is ruled out; without it, once its samples are there.",
    )

    @pydantic.model_validator(mode="after")
    def _tolerance_lies_beyond_the_limit(self) -> Self:
        worse, tolerance = self.metric_worse_by, self.metric_tolerance
        if tolerance is not None and worse is None:
            raise ValueError(
                f"limits.metric_tolerance={tolerance:g} is for a metric that is judged, and limits.metric_worse_by is "
                "null: give metric_worse_by, 0 for any loss that is shown, or leave metric_tolerance out"
            )
        if tolerance is not None and worse is not None and tolerance <= worse:
            raise ValueError(
                f"limits.metric_tolerance={tolerance:g} is not above limits.metric_worse_by={worse:g}: a loss could be "
                "ruled out and shown at once; set metric_tolerance higher"
            )
        return self


class ABTest(Part):
    """Two versions side by side until a declared end: a fixed split, one metric, looked at once."""

    share: Annotated[float, Field(gt=0, lt=1)] = 0.5
    metric: str
    ends_after: Duration = Field(description="The declared end, counted from the start.")
    alpha: float = Field(
        default=0.05, gt=0, lt=0.5, description="Rate at which equal versions are told apart."
    )


class RolloutPlan(Part):
    """The plan by which a promoted version takes traffic; without one it answers everything at once."""

    answers_influence_labels: bool = Field(
        description="Whether what was answered changes what the label becomes, as a refused loan is never repaid."
    )
    judge: Literal["paired_shadow", "split"] = Field(
        default="paired_shadow",
        description="paired_shadow: both versions score the same rows; split: each is judged on the entities it answered.",
    )
    by: list[str] = Field(
        default_factory=list,
        description="Fields of a request that name the entity, which meets one version only; all fields by default.",
    )
    deadline_ms: int = Field(
        default=100, gt=0, le=60_000, description="After so long without an answer the champion has answered."
    )
    shadow: Shadow | None = Shadow()
    canary: list[Canary] = Field(
        default_factory=lambda: [Canary(share=0.05), Canary(share=0.25)],
        description="Steps with growing shares of the requests.",
    )
    full: Bake = Field(default=Bake(), description="All requests, the champion still at hand.")
    limits: Limits = Limits()
    false_rollbacks: float = Field(
        default=0.05,
        gt=0,
        lt=0.5,
        description="Rate at which a version that is no worse is rolled back, over the whole roll-out and all limits.",
    )
    spending: Literal["obrien_fleming", "pocock"] = Field(
        default="pocock",
        description="When that rate is spent: obrien_fleming, late; pocock, evenly, which finds a fault sooner.",
    )
    clusters: int = Field(
        default=28,
        ge=3,
        description="Days (what gate.cluster counts) of labels after which the rate of the metric is spent.",
    )
    ask_after: Duration = Field(
        default=timedelta(days=14), description="A step that has waited for so long asks a person."
    )
    dry_run: list[str] = Field(
        default_factory=list, description="Metrics that are shown beside the evidence and decide nothing."
    )
    ab_test: ABTest | None = Field(
        default=None, description="What `mlops rollout MODEL start --ab` starts; never by itself."
    )

    @pydantic.model_validator(mode="after")
    def _judge_fits_the_labels(self) -> Self:
        if self.judge == "paired_shadow" and self.answers_influence_labels:
            raise ValueError(
                "rollout.judge=paired_shadow judges both versions by labels that only the champion's answers could have "
                "changed, and rollout.answers_influence_labels is true: set judge to split"
            )
        if self.judge == "paired_shadow" and self.shadow is None:
            raise ValueError(
                "rollout.judge=paired_shadow needs rollout.shadow, in which both versions score the same requests, and it "
                "is null: leave it out for a shadow of all requests, or set judge to split"
            )
        if self.judge == "split" and not self.by:
            raise ValueError(
                "rollout.judge=split needs rollout.by, the fields that name an entity, so that one entity meets one "
                "version: name at least one, for example by: [customer]"
            )
        return self

    @pydantic.field_validator("canary")
    @classmethod
    def _shares_grow(cls, value: list[Canary]) -> list[Canary]:
        for before, after in pairwise(step.share for step in value):
            if after <= before:
                raise ValueError(
                    f"rollout.canary goes from share {before:g} to {after:g}: each step has to have more than the one before"
                )
        return value

    @pydantic.model_validator(mode="after")
    def _asks_after_the_bake(self) -> Self:
        for step in (self.shadow, *self.canary, self.full):
            if step is not None and step.bake >= self.ask_after:
                raise ValueError(
                    f"rollout.ask_after={self.ask_after} is not longer than a step's bake of {step.bake}: a person would be "
                    "named before the step could end; set it higher"
                )
        return self


def rollout_fits(value: RolloutPlan | None, task: str) -> str | None:
    """What is wrong with a plan for a task; None where all is well."""
    if value is None:
        return None
    named = [*value.dry_run, *([value.ab_test.metric] if value.ab_test else [])]
    unknown = next((metric for metric in named if metric not in METRICS[task]), None)
    if unknown is None:
        return None
    return (
        f"rollout metric {unknown!r} does not exist for task {task}: choose from {', '.join(METRICS[task])}"
    )
