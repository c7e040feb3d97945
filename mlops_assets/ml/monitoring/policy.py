"""When to train again: one function from the recorded evidence to a decision with its numbers.

Sensor, replay and back-test call this same function, so what was tried on history is what runs live.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from mlops_assets.ml.dataset import moment
from mlops_assets.ml.judging.metrics import goodness
from mlops_assets.ml.monitoring.calibration import Remedy
from mlops_assets.ml.scores import defined, undefined
from mlops_assets.spec.base import duration_text
from mlops_assets.spec.maturity import judged_age, matured_until
from mlops_assets.spec.model import ModelSpec

Trigger = Literal[
    "first_model",
    "age",
    "performance",
    "prediction_drift",
    "data_drift",
    "calibration",
    "none",
    "cool_down",
    "paused",
    "too_little_history",
]

CALIBRATION: Trigger = "calibration"
"""What asks for a recalibration of the champion, and not for a training."""

ROUNDING = timedelta(minutes=8)
"""So much time is nothing to a rule in days, which are told to two digits."""


@dataclass(frozen=True)
class PartitionEvidence:
    """What one partition showed: the gate metric on `rows`, the champion's own at promotion, and how far its rows have moved.

    Numbers are None where nothing was measured: no champion (`served` says so), no label yet, too few rows for a PSI, or
    a metric that is not defined. None says nothing for or against a retraining.
    `prediction_psi_chance` is how large the PSI gets by chance alone (`ml/psi.py`): within it, it asks for nothing.
    `remedy` is what the test of calibration shows the scores to need; None where it is not defined.
    """

    partition: str
    end: datetime
    rows: int
    metric: float | None = None
    reference: float | None = None
    prediction_psi: float | None = None
    prediction_psi_chance: float | None = None
    drift_share: float | None = None
    served: bool = False
    remedy: Remedy | None = None

    def __post_init__(self) -> None:
        for name in ("metric", "reference", "prediction_psi", "prediction_psi_chance", "drift_share"):
            object.__setattr__(self, name, defined(getattr(self, name)))


@dataclass(frozen=True)
class Decision:
    """Whether to train now, what decided it, and a sentence with every number and the threshold it met or missed.

    Where the trigger is `CALIBRATION`, the champion is recalibrated and nothing is trained.
    """

    retrain: bool
    trigger: Trigger
    reason: str


@dataclass(frozen=True)
class Signal:
    """One number against its threshold; `met` means that it asks for a retraining."""

    trigger: Trigger
    met: bool
    text: str


def decide(
    evidence: Sequence[PartitionEvidence],
    last_attempt: datetime | None,
    spec: ModelSpec,
    now: datetime,
    last_training: datetime | None = None,
) -> Decision:
    """Retrain at the first signal that holds, in the order age, performance, prediction drift, data drift; after those, recalibrate.

    Only the newest partition that has ended by `now` counts, so a decision never needs more than the newest report. Where no
    label of it is known yet, its metric is that of the newest judged partition since the last training: one from before says
    nothing of the model that came of it.
    `last_attempt` is the moment of the last training or recalibration, promoted or not; None asks for the first model. Age is that of
    the `last_training`, the same where it is not given: a recalibration leaves the trees as old as they are.
    """
    now, last = moment(now), None if last_attempt is None else moment(last_attempt)
    if spec.automation == "paused":
        return Decision(
            False, "paused", "automation is paused in the model's spec: no retraining until it is on again."
        )
    if last is None:
        return _first(spec, now)
    trained = moment(last_training) if last_training else last
    signals = _signals(_newest(evidence, now), _judged(evidence, last, now), last, trained, spec, now)
    if spec.calendar.days_between(last, now) < spec.retrain.cool_down_days:
        return Decision(False, "cool_down", _cool_down_text(signals, last, spec, now))
    met = [s for s in signals if s.met]
    texts = "; ".join(s.text for s in [*met, *(s for s in signals if not s.met)]) or "no threshold is set"
    return Decision(bool(met), met[0].trigger if met else "none", f"{texts}.")


def quiet_until(last_attempt: datetime | None, spec: ModelSpec, served: bool) -> datetime | None:
    """The moment before which `decide` says no whatever the evidence; None where it never says yes.

    `served` says whether a champion scores the partitions until then: without one a training is asked for again.
    """
    if spec.automation == "paused":
        return None
    rule, calendar = spec.retrain, spec.calendar
    if last_attempt is None:
        matured = calendar.days_before(calendar.first.start, -spec.window.minimum_days)
        return matured + judged_age(spec) - ROUNDING
    by_evidence = (rule.metric_worse_by, rule.prediction_psi_above, rule.drift_share_above, rule.recalibrate)
    days = rule.cool_down_days
    if served and not any(by_evidence):
        if rule.max_age_days is None:
            return None
        days = max(days, rule.max_age_days)
    return calendar.days_before(moment(last_attempt), -days) - ROUNDING


def drift_signal(seen: PartitionEvidence, spec: ModelSpec) -> bool:
    """Whether a partition's scores or features have moved so far that the retrain policy of the spec asks for a training by it."""
    rule = spec.retrain
    signals = [
        _prediction_drift(seen, rule.prediction_psi_above),
        _data_drift(seen, rule.drift_share_above),
    ]
    return any(signal.met for signal in signals if signal)


def _first(spec: ModelSpec, now: datetime) -> Decision:
    start, needed = spec.calendar.first.start, spec.window.minimum_days
    days = _days(start, matured_until(spec, now), spec)
    waiting = f" whose labels have had their {duration_text(spec.label.waits)}" if spec.label.waits else ""
    text = f"{max(days, 0):g} days of history since {spec.calendar.start}{waiting}, {needed} needed"
    if days < needed:
        return Decision(False, "too_little_history", f"no model yet and too little history: {text}.")
    return Decision(True, "first_model", f"no model was trained yet: {text}.")


def _newest(evidence: Sequence[PartitionEvidence], now: datetime) -> PartitionEvidence | None:
    return max((w for w in evidence if moment(w.end) <= now), key=lambda w: w.end, default=None)


def _judged(evidence: Sequence[PartitionEvidence], last: datetime, now: datetime) -> PartitionEvidence | None:
    """The newest partition with labels, of those since the last training."""
    return _newest([w for w in evidence if w.rows and moment(w.end) > last], now)


def _signals(
    seen: PartitionEvidence | None,
    judged: PartitionEvidence | None,
    last: datetime,
    trained: datetime,
    spec: ModelSpec,
    now: datetime,
) -> list[Signal]:
    signals = [_age(trained, spec, now)]
    if seen is not None:
        rule = spec.retrain
        signals += [
            _no_champion(seen, last),
            _performance(seen if seen.rows else judged or seen, spec),
            _prediction_drift(seen, rule.prediction_psi_above),
            _data_drift(seen, rule.drift_share_above),
            _calibration(seen if seen.rows else judged or seen, spec),
        ]
    return [s for s in signals if s is not None]


def _age(last: datetime, spec: ModelSpec, now: datetime) -> Signal | None:
    limit, days = spec.retrain.max_age_days, _days(last, now, spec)
    if limit is None:
        return None
    met = days >= limit
    return Signal(
        "age", met, f"last training {days:g} days ago, {'reached' if met else 'under'} the limit of {limit}"
    )


def _no_champion(seen: PartitionEvidence, last: datetime) -> Signal | None:
    """An attempt that promoted nothing leaves no score to watch, so only a new attempt can help."""
    served = seen.served or seen.metric is not None or seen.reference is not None
    if served or moment(seen.end) <= last:
        return None
    return Signal(
        "first_model", True, f"no model serves in partition {seen.partition}, the last attempt promoted none"
    )


def _performance(seen: PartitionEvidence, spec: ModelSpec) -> Signal | None:
    limit, metric = spec.retrain.metric_worse_by, spec.gate.metric
    if limit is None:
        return None
    if seen.metric is None or seen.reference is None:
        return _not_compared(seen, metric, limit)
    loss = goodness(metric, seen.reference) - goodness(metric, seen.metric)
    share = loss / max(abs(seen.reference), 1e-9)
    change = f"{abs(share):.1%} {'worse' if share > 0 else 'better'}"
    text = f"{metric} {seen.metric:.4f} in partition {seen.partition} is {change} than {seen.reference:.4f} at promotion"
    return Signal("performance", share > limit, f"{text}, {_side(share > limit)} the limit of {limit:.1%}")


def _not_compared(seen: PartitionEvidence, metric: str, limit: float) -> Signal | None:
    """Why a partition with a champion is not compared; a partition without one has nothing to compare."""
    if not seen.served:
        return None
    if seen.metric is not None:
        why = f"{metric} at promotion is {undefined(metric)}"
    elif seen.rows:
        why = f"{metric} in partition {seen.partition} is {undefined(metric)}"
    else:
        why = f"{metric} in partition {seen.partition} is not known, no label is known yet"
    return Signal("performance", False, f"{why}: not held against the limit of {limit:.1%}")


def _prediction_drift(seen: PartitionEvidence, limit: float | None) -> Signal | None:
    value, chance = seen.prediction_psi, seen.prediction_psi_chance or 0.0
    if limit is None or value is None:
        return None
    text = f"prediction PSI {value:.3f} in partition {seen.partition}, {_side(value > limit)} the limit of {limit:g}"
    by_chance = limit < value <= chance
    within = f" but within {chance:.3f}, which so few rows reach by chance" if by_chance else ""
    return Signal("prediction_drift", value > max(limit, chance), text + within)


def _data_drift(seen: PartitionEvidence, limit: float | None) -> Signal | None:
    value = seen.drift_share
    if limit is None or value is None:
        return None
    text = f"share of drifted columns {value:.3f} in partition {seen.partition}, {_side(value > limit)} the limit of {limit:g}"
    return Signal("data_drift", value > limit, text)


REMEDIES: dict[Remedy, str] = {
    "none": "calibrated as far as can be told",
    "shift": "off on average, a shift of their log odds would mend them",
    "platt": "too extreme or not extreme enough, Platt's curve would mend them",
}


def _calibration(seen: PartitionEvidence, spec: ModelSpec) -> Signal | None:
    if not spec.retrain.recalibrate or seen.remedy is None:
        return None
    text = f"scores in partition {seen.partition} are {REMEDIES[seen.remedy]}"
    return Signal(CALIBRATION, seen.remedy != "none", text)


def _cool_down_text(signals: Sequence[Signal], last: datetime, spec: ModelSpec, now: datetime) -> str:
    text = f"last training {_days(last, now, spec):g} days ago, inside the cool-down of {spec.retrain.cool_down_days} days"
    held = "; ".join(s.text for s in signals if s.met)
    return f"{text}; held back: {held}." if held else f"{text}."


def _side(met: bool) -> str:
    return "over" if met else "within"


def _days(earlier: datetime, later: datetime, spec: ModelSpec) -> float:
    return round(spec.calendar.days_between(earlier, later), 2)
