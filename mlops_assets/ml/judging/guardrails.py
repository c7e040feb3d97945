"""Guard-rails: what a challenger may not lose although it wins on the whole.

A guard-rail trips on evidence, not on chance: a slice must be shown to be worse. Many slices are looked at, so their
p values are corrected for their number (Holm 1979): of two equal models, at most `gate.alpha` are held back by any slice.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any, Literal

import numpy as np
import polars as pl

from mlops_assets.ml.judging.metrics import SMALLEST_SLICE, slice_parts
from mlops_assets.ml.judging.paired import Effect, compare, holm, shows
from mlops_assets.ml.scores import defined, in_words, undefined
from mlops_assets.ml.training.fit import Scorer
from mlops_assets.spec.columns import CHAMPION_SCORE, CLUSTER, LABEL, SCORE
from mlops_assets.spec.gate import Gate
from mlops_assets.spec.model import ModelSpec

Kind = Literal["floor", "evidence", "anchor", "slice", "calibration", "size", "latency"]
LATENCY_ROWS = (1, 1000)
REPEATS = {1: 30, 1000: 5}


@dataclass(frozen=True)
class Criterion:
    """One thing a challenger was held to: what was found against which limit, and whether it passes.

    `text` says it as a clause of the verdict. `effect` and `p` are there where a test was made, `corrected` where the p
    value was corrected for the number of tests. `champion` and `challenger` are in units of what is named. Of the kind
    `anchor`, the anchor stands where the champion does.
    """

    kind: Kind
    name: str
    passes: bool
    text: str
    limit: float
    challenger: float | None = None
    champion: float | None = None
    effect: Effect | None = None
    p: float | None = None
    corrected: float | None = None

    def record(self, alpha: float) -> dict[str, Any]:
        """The same as JSON can hold it, with the interval of `1 - 2 * alpha`; None for what is undefined."""
        effect = self.effect
        low, high = effect.interval(alpha) if effect else (None, None)
        fields = {
            "kind": self.kind,
            "name": self.name,
            "challenger": effect.challenger if effect else self.challenger,
            "champion": effect.champion if effect else self.champion,
            "gain": effect.gain if effect else None,
            "low": low,
            "high": high,
            "p": self.p,
            "corrected_p": self.corrected,
            "limit": self.limit,
            "passes": self.passes,
            "standard_error": effect.error if effect else None,
            "degrees_of_freedom": effect.freedom if effect else None,
            "clusters": effect.clusters if effect else None,
            "rows": effect.rows if effect else None,
        }
        return {k: defined(v) if isinstance(v, float) else v for k, v in fields.items()}


def slice_guards(rows: pl.DataFrame, spec: ModelSpec) -> tuple[list[Criterion], list[dict[str, Any]]]:
    """A criterion for each slice, and the slices that are too small to be judged, with the reason.

    `rows` holds LABEL, SCORE, CHAMPION_SCORE, CLUSTER and the spec's slice columns.
    """
    gate = spec.gate
    if gate.guards.slice_tolerance is None:
        return [], []
    judged, skipped = [], []
    for column in spec.slices:
        for value, part in slice_parts(rows, column, [LABEL, SCORE, CHAMPION_SCORE, CLUSTER]):
            effect = compare(*paired_arrays(part), gate.metric)
            why = _too_small(effect, gate)
            if why is None:
                judged.append((f"{column} {value}", effect))
            else:
                skipped.append({"slice": column, "value": value, "rows": part.height, "why": why})
    return _slice_criteria(judged, gate, gate.guards.slice_tolerance), skipped


def calibration_guard(rows: pl.DataFrame, spec: ModelSpec) -> list[Criterion]:
    """The criterion on the calibration error of a classification, unless the gate's metric is that itself."""
    name, tolerance = "calibration_error", spec.gate.guards.calibration_tolerance
    if tolerance is None or spec.task != "classification" or spec.gate.metric == name:
        return []
    effect = compare(*paired_arrays(rows), name)
    p = effect.p_below(-tolerance)
    passes = _not_shown(p, spec.gate.alpha)
    text = (
        f"{name} {in_words(name, effect.challenger)} against the champion's {in_words(name, effect.champion)} "
        f"{_worse(p, passes, tolerance)} (p {p_text(p)})"
    )
    return [Criterion("calibration", name, passes, text, -tolerance, effect=effect, p=p)]


def size_guard(size: int, champion: int, gate: Gate) -> list[Criterion]:
    """The criterion on the model file's bytes, where the gate limits them."""
    if gate.guards.size_mb is None:
        return []
    limit, megabytes = gate.guards.size_mb, size / 1e6
    passes = megabytes <= limit
    text = f"the model takes {megabytes:.3g} MB, {'within' if passes else 'over'} the limit of {limit:g} MB"
    return [Criterion("size", "model_mb", passes, text, limit, megabytes, champion / 1e6)]


def latency_guard(milliseconds: float, gate: Gate) -> list[Criterion]:
    """The criterion on the time of one prediction, where the gate limits it.

    Its text and record hold no measured time: the same models on the same machine then give the same record.
    """
    if gate.guards.latency_ms is None:
        return []
    limit = gate.guards.latency_ms
    passes = milliseconds <= limit
    taken = (
        "no longer"
        if passes
        else "longer"
        if defined(milliseconds) is not None
        else "an unknown time, not less"
    )
    text = f"one prediction takes {taken} than the limit of {limit:g} ms"
    return [Criterion("latency", "latency_ms", passes, text, limit)]


def latency(scorer: Scorer, rows: pl.DataFrame) -> dict[int, float]:
    """Median milliseconds of scoring one row and a thousand, after a first call; fewer rows than that are repeated."""
    return {
        size: _milliseconds(scorer, rows[np.arange(size) % rows.height], REPEATS[size])
        for size in LATENCY_ROWS
    }


def paired_arrays(rows: pl.DataFrame) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Labels, both models' scores and cluster codes of rows, as `paired.compare` takes them."""
    y, ours, theirs = (rows[c].to_numpy().astype(np.float64) for c in (LABEL, SCORE, CHAMPION_SCORE))
    return y, ours, theirs, rows[CLUSTER].to_numpy()


def p_text(p: float | None) -> str:
    """A p value as a sentence gives it."""
    return "undefined" if p is None else "under 0.001" if p < 0.001 else f"{p:.2g}"


def _not_shown(p: float | None, alpha: float) -> bool:
    """Whether a guard-rail holds: its test was made, and does not show that the challenger is worse."""
    return p is not None and not shows(p, alpha)


def _worse(p: float | None, passes: bool, tolerance: float) -> str:
    if p is None:
        return "cannot be tested"
    return (
        f"is {'not ' if passes else ''}shown to be worse{f' by more than {tolerance:g}' if tolerance else ''}"
    )


def _too_small(effect: Effect, gate: Gate) -> str | None:
    if effect.rows < SMALLEST_SLICE:
        return f"under {SMALLEST_SLICE} rows"
    if effect.clusters < gate.minimum_clusters:
        return f"{effect.clusters} clusters, {gate.minimum_clusters} are needed"
    if effect.metric != "auc" or (effect.gain is not None and effect.error is not None):
        return None
    without = "" if effect.gain is None else f" without one of the {effect.clusters} clusters"
    return f"{effect.metric} is {undefined(effect.metric)}{without}"


def _slice_criteria(judged: Sequence[tuple[str, Effect]], gate: Gate, tolerance: float) -> list[Criterion]:
    raw = [effect.p_below(-tolerance) for _, effect in judged]
    criteria = []
    for (name, effect), p, corrected in zip(judged, raw, _corrected(raw), strict=True):
        passes = _not_shown(corrected, gate.alpha)
        text = (
            f"{name} is {_distance(effect)} and {_worse(p, passes, tolerance).removeprefix('is ')} "
            f"(p {p_text(corrected)}, corrected for {len(judged)} slices)"
        )
        criteria.append(
            Criterion("slice", name, passes, text, -tolerance, effect=effect, p=p, corrected=corrected)
        )
    return criteria


def _corrected(raw: Sequence[float | None]) -> list[float | None]:
    """The p values that are defined, corrected for the number of all."""
    corrected = iter(holm([1.0 if p is None else p for p in raw]))
    return [None if p is None else value for p, value in zip(raw, corrected, strict=True)]


def _distance(effect: Effect) -> str:
    if effect.gain is None:
        return f"{undefined(effect.metric)},"
    return f"{abs(effect.gain):.4f} {'better' if effect.gain > 0 else 'worse'}"


def _milliseconds(scorer: Scorer, rows: pl.DataFrame, repeats: int) -> float:
    scorer.predict(rows)
    taken = []
    for _ in range(repeats):
        started = time.perf_counter()
        scorer.predict(rows)
        taken.append(1000 * (time.perf_counter() - started))
    return median(taken)
