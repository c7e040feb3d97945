"""The gate: whether a challenger may become champion, in one sentence with the numbers."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl

from mlops_assets.ml.dataset import LABEL, DatasetError
from mlops_assets.ml.evaluation import SCORE, by_slice, evaluate, skipped_slices
from mlops_assets.ml.training import Scorer
from mlops_assets.spec import HIGHER_IS_BETTER, ModelSpec


@dataclass
class Verdict:
    """Who won on the hold-out, why, and the numbers of both on the same rows."""

    promote: bool
    reason: str
    challenger: dict[str, float]
    champion: dict[str, float] | None
    slices: list[dict[str, Any]] = field(default_factory=list)
    champion_slices: list[dict[str, Any]] = field(default_factory=list)
    skipped: dict[str, dict[str, int]] = field(default_factory=dict)
    score: np.ndarray = field(default_factory=lambda: np.empty(0))


def judge(hold_out: pl.DataFrame, challenger: Scorer, champion: Scorer | None, spec: ModelSpec) -> Verdict:
    """Score the same labelled rows with both models and put the challenger through the gate."""
    if not hold_out.height:
        raise DatasetError(
            f"model {spec.name!r} has no labelled row to judge the challenger on: "
            f"widen window.hold_out_days={spec.window.hold_out_days}"
        )
    score, numbers, slices = _measure(hold_out, challenger, spec)
    _, champion_numbers, champion_slices = (
        _measure(hold_out, champion, spec) if champion else (None, None, [])
    )
    promote, reason = gate(numbers, champion_numbers, spec)
    skipped = skipped_slices(hold_out, spec.slices)
    return Verdict(promote, reason, numbers, champion_numbers, slices, champion_slices, skipped, score)


def gate(
    challenger: Mapping[str, float], champion: Mapping[str, float] | None, spec: ModelSpec
) -> tuple[bool, str]:
    """Every floor must hold, and `gate.metric` must not be worse than the champion's by more than the tolerance."""
    failures = [
        _floor_text(challenger, name, floor)
        for name, floor in spec.gate.floors.items()
        if not _holds(challenger, name, floor)
    ]
    if failures:
        return False, f"Rejected: {' and '.join(failures)}."
    floors = " and ".join(_floor_text(challenger, name, floor) for name, floor in spec.gate.floors.items())
    if champion is None:
        return True, f"Promoted as the first champion: {floors}."
    holds, duel = _duel(challenger, champion, spec)
    return holds, f"{'Promoted' if holds else 'Rejected'}: {duel}; {floors}."


def goodness(metric: str, value: float) -> float:
    """A number that grows with quality: AUC as it is, errors negated, the bias by its distance from zero."""
    if metric in HIGHER_IS_BETTER:
        return value
    return -abs(value) if metric == "bias" else -value


def _measure(
    hold_out: pl.DataFrame, model: Scorer, spec: ModelSpec
) -> tuple[np.ndarray, dict[str, float], list[dict[str, Any]]]:
    score = model.predict(hold_out)
    numbers = evaluate(hold_out[LABEL].to_numpy(), score, spec.task)
    return score, numbers, by_slice(hold_out.with_columns(pl.Series(SCORE, score)), spec.slices, spec.task)


def _holds(metrics: Mapping[str, float], name: str, floor: float) -> bool:
    return goodness(name, metrics[name]) >= goodness(name, floor)


def _floor_text(metrics: Mapping[str, float], name: str, floor: float) -> str:
    at_least = "at least" if name in HIGHER_IS_BETTER else "at most"
    verb = "meets" if _holds(metrics, name, floor) else "misses"
    return f"{name} {_number(metrics[name])} {verb} the floor of {at_least} {floor:g}"


def _duel(
    challenger: Mapping[str, float], champion: Mapping[str, float], spec: ModelSpec
) -> tuple[bool, str]:
    metric, tolerance = spec.gate.metric, spec.gate.tolerance
    ours, theirs = challenger[metric], champion[metric]
    gain = goodness(metric, ours) - goodness(metric, theirs)
    holds = bool(gain >= -tolerance)
    side = "better" if gain > 0 else "worse" if gain < 0 else "different"
    allowed = (
        f", {'within' if holds else 'over'} the tolerance of {tolerance:g}" if gain < 0 or not holds else ""
    )
    distance = "" if np.isnan(gain) else f" ({_number(abs(gain))} {side}{allowed})"
    return holds, f"{metric} {_number(ours)} against the champion's {_number(theirs)}{distance}"


def _number(value: float) -> str:
    return "undefined" if np.isnan(value) else f"{value:.4f}" if abs(value) < 100 else f"{value:.1f}"
