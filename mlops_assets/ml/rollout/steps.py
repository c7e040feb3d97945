"""The steps of a plan, and how its rate of false roll-backs is divided among all that can roll a version back."""

from dataclasses import dataclass
from datetime import timedelta

from mlops_assets.ml.rollout.sequential import Schedule
from mlops_assets.spec.gate import Gate
from mlops_assets.spec.rollout import Bake, RolloutPlan, Shadow

SHADOW, FULL, AB_TEST = "shadow", "full", "A/B test"
METRIC_PART, STREAM_PART = 2, 1
"""How the rate is divided: the metric has as much of it as errors and slow answers together."""


@dataclass(frozen=True)
class Step:
    """One step: the share of requests that the version answers, that of which it scores copies, and when it may end."""

    name: str
    share: float
    shadow: float
    cpu: float
    bake: timedelta
    minimum_samples: int

    @property
    def answers(self) -> bool:
        """Whether anybody is answered by the version."""
        return self.share > 0


def steps_of(plan: RolloutPlan, ab_test: bool = False) -> tuple[Step, ...]:
    """The steps of a plan in order; of its A/B test there is one."""
    if ab_test:
        assert plan.ab_test is not None, "an A/B test is started of a plan that declares one"
        share, ends = plan.ab_test.share, plan.ab_test.ends_after
        return (Step(AB_TEST, share, 0.0, 0.0, ends, plan.full.minimum_samples),)
    shadow = plan.shadow
    first = [_step(SHADOW, 0.0, shadow, shadow)] if shadow else []
    paired = shadow if plan.judge == "paired_shadow" else None
    middle = [_step(f"canary {step.share:.3g}", step.share, step, paired) for step in plan.canary]
    return (*first, *middle, _step(FULL, 1.0, plan.full, None))


def _step(name: str, share: float, bake: Bake, shadow: Shadow | None) -> Step:
    copies, cpu = (shadow.share, shadow.cpu) if shadow else (0.0, 0.0)
    return Step(name, share, copies, cpu, bake.bake, bake.minimum_samples)


def metric_schedule(plan: RolloutPlan, gate: Gate) -> Schedule:
    """How the metric's part of the rate is spent over the days of labels."""
    rate = plan.false_rollbacks * METRIC_PART / _parts(plan)
    first = min(gate.minimum_clusters, plan.clusters)
    return Schedule(plan.clusters, rate, plan.spending, first)


def stream_alpha(plan: RolloutPlan, steps: int) -> float:
    """The rate of one kind of fault in one of so many steps, in each of which its stream begins anew."""
    return plan.false_rollbacks * STREAM_PART / _parts(plan) / steps


def _parts(plan: RolloutPlan) -> int:
    limits = plan.limits
    streams = (limits.error_rate is not None) + (limits.latency_ms is not None)
    return METRIC_PART * (limits.metric_worse_by is not None) + STREAM_PART * streams or 1
