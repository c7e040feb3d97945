"""What follows from the evidence: a pure function of plan, state and evidence, total over all of them.

A limit that is shown to be broken rolls back, at any time and whatever else is known. A step ends well only once it has
baked, has seen its samples and, where the metric is judged, the metric has been seen well enough. What is neither shown
to be bad nor seen well enough is inconclusive: the step waits, and a person is asked after the plan's limit.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from mlops_assets.ml.judging.paired import Effect
from mlops_assets.ml.rollout.sequential import Look
from mlops_assets.ml.rollout.steps import AB_TEST, Step, stream_alpha
from mlops_assets.ml.rollout.streams import Stream
from mlops_assets.spec.base import duration_text
from mlops_assets.spec.rollout import RolloutPlan

Outcome = Literal["continue", "advance", "roll_back", "complete", "wait", "ask"]


@dataclass(frozen=True)
class Standing:
    """Where a roll-out stands: its steps, the one that it is in (from 0), since when, and why it is paused if it is."""

    steps: tuple[Step, ...]
    at: int
    since: datetime
    paused: str | None = None

    @property
    def step(self) -> Step:
        """The step that it is in."""
        return self.steps[self.at]

    @property
    def is_last(self) -> bool:
        """Whether the roll-out is complete after this step."""
        return self.at == len(self.steps) - 1


@dataclass(frozen=True)
class Evidence:
    """What is known at a moment: requests that the version scored in this step, their streams, the metric, and what is only shown.

    `dry_run` and `notes` decide nothing. `final` is the comparison of an A/B test at its end.
    """

    now: datetime
    samples: int = 0
    errors: Stream | None = None
    slow: Stream | None = None
    metric: Look | None = None
    final: Effect | None = None
    dry_run: Mapping[str, tuple[float | None, float | None]] = field(default_factory=dict)
    notes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Decision:
    """What follows, in a sentence with the numbers; `kind` names what decided."""

    outcome: Outcome
    kind: str
    why: str


def decide(plan: RolloutPlan, state: Standing, evidence: Evidence) -> Decision:
    """What a roll-out does next."""
    if broken := _broken(plan, state, evidence):
        return broken
    if state.paused is not None:
        return Decision("wait", "paused", f"{state.step.name}: {state.paused}")
    ends, name = state.since + state.step.bake, state.step.name
    if evidence.now < ends:
        return Decision("continue", "bake", f"{name}: bakes until {ends:%Y-%m-%d %H:%M} {ends:%Z}")
    if state.step.name == AB_TEST:
        return _result(plan, evidence)
    if missing := _missing(plan, state, evidence):
        return _waits(plan, state, evidence, *missing)
    good = f"{name}: {in_words(plan, evidence)}"
    return Decision("complete" if state.is_last else "advance", "evidence", good)


def in_words(plan: RolloutPlan, evidence: Evidence) -> str:
    """What is known, as clauses."""
    clauses = [f"{evidence.samples:,} requests"]
    clauses += [
        f"{stream.faults:,} of {stream.requests:,} {what}"
        for what, stream in (("failed", evidence.errors), ("slow", evidence.slow))
        if stream is not None
    ]
    if evidence.metric is not None:
        clauses.append(metric_in_words(evidence.metric))
    return "; ".join(clauses)


def metric_in_words(look: Look) -> str:
    """What the metric shows at a look."""
    if look.gain is None:
        return f"{look.metric} is not defined on {look.rows:,} rows"
    interval = (
        f"{look.low:+.5f} to {look.high:+.5f}"
        if look.low is not None and look.high is not None
        else "no interval yet"
    )
    of = f"{look.clusters} of {look.planned} clusters, {look.rows:,} rows"
    return f"{look.metric} {_number(look.challenger)} beside {_number(look.champion)}, gain {look.gain:+.5f} ({interval}; {of})"


def _broken(plan: RolloutPlan, state: Standing, evidence: Evidence) -> Decision | None:
    limits, name = plan.limits, state.step.name
    streams = (
        ("errors", evidence.errors, limits.error_rate, "failed"),
        ("latency", evidence.slow, limits.slow_share, f"took longer than {limits.latency_ms} ms"),
    )
    alpha = stream_alpha(plan, len(state.steps))
    for kind, stream, limit, what in streams:
        if stream is None or limit is None or not stream.shows(limit, alpha):
            continue
        beside = f", {stream.champion_faults:,} of {stream.champion_requests:,} of the champion's"
        why = (
            f"{name}: {stream.faults:,} of {stream.requests:,} requests {what}"
            f"{beside if stream.champion_requests else ''}: more than {limit:g} is shown at {alpha:.3g}"
        )
        return Decision("roll_back", kind, why)
    look, worse = evidence.metric, limits.metric_worse_by
    if look is not None and worse is not None and look.shows_loss(worse):
        return Decision(
            "roll_back",
            "metric",
            f"{name}: {metric_in_words(look)}: a loss of more than {worse:g} is shown",
        )
    return None


def _missing(plan: RolloutPlan, state: Standing, evidence: Evidence) -> tuple[str, str, bool] | None:
    """What the step still waits for: its kind, in words, and whether no more of it is to come; None where nothing is missing."""
    least, samples = state.step.minimum_samples, evidence.samples
    if not samples:
        return "no traffic", f"no request has been scored yet, and {least:,} are needed", False
    if samples < least:
        return "samples", f"{samples:,} requests have been scored, and {least:,} are needed", False
    judged = plan.limits.metric_worse_by is not None
    if not judged or (plan.judge == "split" and not state.step.answers):
        return None
    look, tolerance = evidence.metric, plan.limits.metric_tolerance
    if look is None or look.gain is None:
        return "labels", "too few labels are known to judge the metric", False
    if tolerance is None or look.rules_out(tolerance):
        return None
    why = f"inconclusive: a loss of {tolerance:g} is neither shown nor ruled out, {metric_in_words(look)}"
    return "inconclusive", why, look.is_last


def _waits(
    plan: RolloutPlan, state: Standing, evidence: Evidence, kind: str, why: str, is_all: bool
) -> Decision:
    asks = state.since + plan.ask_after
    if is_all:
        return Decision("ask", kind, f"{state.step.name}: {why}; all planned evidence is in")
    if evidence.now >= asks:
        waited = duration_text(plan.ask_after)
        return Decision("ask", kind, f"{state.step.name}: {why}; it has waited for {waited}")
    return Decision(
        "wait", kind, f"{state.step.name}: {why}; a person is asked at {asks:%Y-%m-%d %H:%M} {asks:%Z}"
    )


def _result(plan: RolloutPlan, evidence: Evidence) -> Decision:
    """What an A/B test came to at its end: it is looked at once, and a person decides what follows."""
    test, effect = plan.ab_test, evidence.final
    assert test is not None, "an A/B test is started of a plan that declares one"
    low, high = effect.interval(test.alpha / 2) if effect else (None, None)
    if effect is None or effect.gain is None or low is None or high is None:
        return Decision("ask", "inconclusive", f"{AB_TEST}: too few labels are known at its end")
    said = "better" if low > 0 else "worse" if high < 0 else "inconclusive"
    numbers = f"{effect.metric} {_number(effect.challenger)} beside {_number(effect.champion)}"
    interval = f"gain {effect.gain:+.5f} ({low:+.5f} to {high:+.5f} at {1 - test.alpha:.0%})"
    return Decision("ask", said, f"{AB_TEST} has ended: {said}; {numbers}, {interval}")


def _number(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.5f}"
