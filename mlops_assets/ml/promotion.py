"""The gate: whether a challenger may become champion, in one sentence with the numbers.

Both models score the same held-out rows, which neither has seen. Floors hold for any model. Against the champion the
rule is the spec's: superiority (a one-sided paired test that the challenger is better), non-inferiority (that it is
less than a margin worse; Piaggio et al. 2012), or the bare difference. Guard-rails come on top.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
import polars as pl

from mlops_assets.ml.dataset import LABEL, DatasetError, require
from mlops_assets.ml.evaluation import SCORE, by_slice, evaluate, goodness
from mlops_assets.ml.guardrails import (
    CHAMPION_SCORE,
    CLUSTER,
    Criterion,
    calibration_guard,
    latency,
    latency_guard,
    p_text,
    paired_arrays,
    size_guard,
    slice_guards,
)
from mlops_assets.ml.paired import Effect, compare, gain_by_cluster, shows
from mlops_assets.ml.scores import defined, finite, in_words
from mlops_assets.ml.training import Scorer
from mlops_assets.spec import ModelSpec
from mlops_assets.spec_gate import DAY, HIGHER_IS_BETTER, WEEK, Gate

MOST_NAMED = 3


class PromotionError(Exception):
    """A comparison that could show nothing was asked for."""


@dataclass(frozen=True)
class Contender:
    """A model on trial: what the record calls it, the hash and size of its file, and how it scores."""

    name: str
    sha256: str
    size: int
    scorer: Scorer
    latency: Mapping[int, float] | None = None

    @classmethod
    def of(cls, name: str, model: bytes, spec: ModelSpec) -> Self:
        """The contender that the bytes of one of a spec's models make."""
        scorer = Scorer(model, code=spec.code, name=name)
        return cls(name, hashlib.sha256(model).hexdigest(), len(model), scorer)

    def scores(self, rows: pl.DataFrame) -> np.ndarray:
        """Float64 array [rows], every one a finite number; raises ScoreError with the contender's name."""
        return finite(self.scorer.predict(rows), self.name)


@dataclass
class Verdict:
    """Who won on the hold-out, why, and the numbers of both on the same rows.

    `criteria` is everything the challenger was held to. `gains` has a row a cluster: what it is, its rows, the gain.
    `skipped` names the slices too small for their guard-rail, and why.
    """

    promote: bool
    reason: str
    challenger: dict[str, float | None]
    champion: dict[str, float | None] | None
    slices: list[dict[str, Any]] = field(default_factory=list)
    criteria: list[Criterion] = field(default_factory=list)
    skipped: list[dict[str, Any]] = field(default_factory=list)
    gains: list[dict[str, Any]] = field(default_factory=list)
    score: np.ndarray = field(default_factory=lambda: np.empty(0))
    champion_score: np.ndarray | None = None

    def of_kind(self, kind: str) -> list[Criterion]:
        """The criteria of one kind."""
        return [criterion for criterion in self.criteria if criterion.kind == kind]


def judge(
    hold_out: pl.DataFrame, challenger: Contender, champion: Contender | None, spec: ModelSpec
) -> Verdict:
    """Score the same labelled rows with both models and put the challenger through the gate.

    Raises DatasetError where there is no row, ScoreError where either gives one of them no finite number,
    PromotionError where both are the same model.
    """
    if not hold_out.height:
        raise DatasetError(
            f"model {spec.name!r} has no labelled row to judge the challenger on: "
            f"widen window.hold_out_days={spec.window.hold_out_days}"
        )
    if champion is not None:
        refuse_itself(spec.name, challenger, champion)
    rows = hold_out.with_columns(pl.Series(SCORE, challenger.scores(hold_out)))
    labels, score = rows[LABEL].to_numpy(), rows[SCORE].to_numpy()
    numbers = evaluate(labels, score, spec.task)
    slices = by_slice(rows, spec.slices, spec.task)
    criteria = floor_criteria(numbers, spec.gate)
    if champion is None:
        promote, reason = decision(criteria)
        return Verdict(promote, reason, numbers, None, slices, criteria, score=score)
    names, codes = clusters(hold_out, spec)
    theirs = champion.scores(hold_out)
    rows = rows.with_columns(pl.Series(CHAMPION_SCORE, theirs), pl.Series(CLUSTER, codes))
    against, skipped = _against(rows, challenger, champion, spec)
    criteria += against
    promote, reason = decision(criteria)
    gains = gain_by_cluster(*paired_arrays(rows), spec.gate.metric)
    return Verdict(
        promote,
        reason,
        numbers,
        evaluate(labels, theirs, spec.task),
        slices,
        criteria,
        skipped,
        [{"cluster": name, "rows": n, "gain": gain} for name, (n, gain) in zip(names, gains, strict=True)],
        score,
        theirs,
    )


def refuse_itself(model: str, challenger: Contender, champion: Contender) -> None:
    """Raise where challenger and champion are one version, or two with the same bytes: they can only draw."""
    if challenger.sha256 != champion.sha256 and challenger.name != champion.name:
        return
    raise PromotionError(
        f"{model}: challenger {challenger.name} and champion {champion.name} are the same model (SHA-256 "
        f"{challenger.sha256[:12]}): comparing a version with itself shows nothing. Train on other data or parameters."
    )


def clusters(frame: pl.DataFrame, spec: ModelSpec) -> tuple[list[str], np.ndarray]:
    """Names of the clusters of rows, in order, and the code of each row's cluster [rows].

    A day is a local one, from midnight to midnight in the spec's time zone; a week begins on Monday.
    """
    name = spec.gate.cluster
    if name in (DAY, WEEK):
        local = frame[spec.prediction.time].dt.convert_time_zone(spec.weeks.timezone)
        values = (local.dt.truncate("1w") if name == WEEK else local).dt.date()
    else:
        require(frame, spec.gate.cluster_columns, "gate.cluster")
        values = frame[name]
    if values.null_count():
        raise DatasetError(
            f"gate.cluster {name!r} is null in {values.null_count()} of {len(values)} held-out rows: "
            "name a column that every row has"
        )
    codes = values.rank("dense").cast(pl.Int64) - 1
    return [str(value) for value in values.unique().sort()], codes.to_numpy()


def floor_criteria(numbers: Mapping[str, float | None], gate: Gate) -> list[Criterion]:
    """A criterion for each floor: what any model must reach, whoever the champion is."""
    return [_floor(name, defined(numbers[name]), floor) for name, floor in gate.floors.items()]


def evidence_criterion(effect: Effect, gate: Gate) -> Criterion:
    """The rule against the champion: superiority, non-inferiority, or the bare difference."""
    limit = 0.0 if gate.evidence == "superiority" else -gate.tolerance
    if gate.evidence == "point":
        passes, p = effect.gain is not None and effect.gain >= limit, None
        shown = _within(effect, gate)
    else:
        p = effect.p_above(limit)
        passes = effect.clusters >= gate.minimum_clusters and shows(p, gate.alpha)
        shown = f", {_interval_text(effect, gate)}: {_shown(effect, gate, passes, p)}"
    ours, theirs = (in_words(effect.metric, side) for side in (effect.challenger, effect.champion))
    text = f"{effect.metric} {ours} against the champion's {theirs} ({_gain_text(effect)}{shown})"
    return Criterion("evidence", effect.metric, passes, text, limit, effect=effect, p=p)


def _gain_text(effect: Effect) -> str:
    if effect.gain is None:
        return "no gain is defined"
    side = "better" if effect.gain > 0 else "worse" if effect.gain < 0 else "different"
    return f"{in_words(effect.metric, abs(effect.gain))} {side}"


def decision(criteria: list[Criterion]) -> tuple[bool, str]:
    """Promote where every criterion passes, and the sentence that says why; a missed floor comes first."""
    floors = [c for c in criteria if c.kind == "floor"]
    missed = [c for c in floors if not c.passes]
    floor_text = " and ".join(c.text for c in missed or floors)
    promote = all(c.passes for c in criteria)
    if len(floors) == len(criteria):
        return promote, f"{'Promoted as the first champion' if promote else 'Rejected'}: {floor_text}."
    clauses = [*(c.text for c in criteria if c.kind == "evidence"), _guards_text(criteria)]
    clauses = [floor_text, *clauses] if missed else [*clauses, floor_text]
    return promote, f"{'Promoted' if promote else 'Rejected'}: {'; '.join(filter(None, clauses))}."


def _against(
    rows: pl.DataFrame, challenger: Contender, champion: Contender, spec: ModelSpec
) -> tuple[list[Criterion], list[dict[str, Any]]]:
    gate = spec.gate
    by_slices, skipped = slice_guards(rows, spec)
    found = [evidence_criterion(compare(*paired_arrays(rows), gate.metric), gate), *by_slices]
    found += [*calibration_guard(rows, spec), *size_guard(challenger.size, champion.size, gate)]
    if gate.guards.latency_ms is not None:
        taken = challenger.latency or latency(challenger.scorer, rows)
        found += latency_guard(taken[1], gate)
    return found, skipped


def _floor(name: str, value: float | None, floor: float) -> Criterion:
    passes = value is not None and bool(goodness(name, value) >= goodness(name, floor))
    least, verb = "at least" if name in HIGHER_IS_BETTER else "at most", "meets" if passes else "misses"
    number = in_words(name, value) + "," * (value is None)
    text = f"{name} {number} {verb} the floor of {least} {floor:g}"
    return Criterion("floor", name, passes, text, floor, value)


def _within(effect: Effect, gate: Gate) -> str:
    if effect.gain is None:
        return ", so nothing is shown"
    if effect.gain >= 0:
        return ""
    return f", {'within' if effect.gain >= -gate.tolerance else 'over'} the tolerance of {gate.tolerance:g}"


def _interval_text(effect: Effect, gate: Gate) -> str:
    low, high = effect.interval(gate.alpha)
    noun = f"{gate.cluster}s" if gate.cluster in (DAY, WEEK) else f"clusters of {gate.cluster}"
    span = (
        "undefined" if low is None else f"{in_words(effect.metric, low)} to {in_words(effect.metric, high)}"
    )
    return f"{100 * (1 - 2 * gate.alpha):.3g}% interval {span} over {effect.clusters} {noun}"


def _shown(effect: Effect, gate: Gate, passes: bool, p: float | None) -> str:
    if effect.clusters < gate.minimum_clusters:
        return f"too few to show anything, {gate.minimum_clusters} are needed"
    claim = "better" if gate.evidence == "superiority" else f"less than {gate.tolerance:g} worse"
    over = "" if passes or p is None else f" over {gate.alpha:g}"
    return f"{'' if passes else 'not '}shown to be {claim}, p {p_text(p)}{over}"


def _guards_text(criteria: list[Criterion]) -> str:
    harmed = sorted((c for c in criteria if c.kind == "slice" and not c.passes), key=lambda c: c.p or 0.0)
    failed = [c.text for c in harmed[:MOST_NAMED]]
    failed += [f"so are {len(harmed) - MOST_NAMED} more slices"] * (len(harmed) > MOST_NAMED)
    failed += [c.text for c in criteria if c.kind in ("calibration", "size", "latency") and not c.passes]
    if failed:
        return "; ".join(failed)
    slices = sum(c.kind == "slice" for c in criteria)
    held = [f"none of {slices} slices"] * bool(slices)
    held += ["not the calibration"] * any(c.kind == "calibration" for c in criteria)
    return f"{' and '.join(held)} shown to be worse" if held else ""
