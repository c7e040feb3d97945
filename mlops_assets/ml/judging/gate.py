"""The gate: whether a challenger may become champion, in one sentence with the numbers.

Both models score the same held-out rows, and rows that one of them has seen are refused. Floors hold for any model.
Against the champion the rule is the spec's: superiority (a one-sided paired test that the challenger is better),
non-inferiority (that it is less than a margin worse; Piaggio et al. 2012), or the bare difference. Where something worse
may pass, the anchor is a third model on the same rows (`ml/anchor.py`). Guard-rails come on top.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import polars as pl

from mlops_assets.ml.dataset import DatasetError, require
from mlops_assets.ml.judging.anchor import (
    Anchored,
    Unjudged,
    anchor_criterion,
    budget,
    shown_better,
    without_anchor,
)
from mlops_assets.ml.judging.contender import Contender, PromotionError, refuse_itself, refuse_seen
from mlops_assets.ml.judging.guardrails import (
    Criterion,
    calibration_guard,
    latency,
    latency_guard,
    p_text,
    paired_arrays,
    size_guard,
    slice_guards,
)
from mlops_assets.ml.judging.metrics import by_slice, evaluate, goodness
from mlops_assets.ml.judging.paired import Effect, compare, gain_by_cluster, shows
from mlops_assets.ml.scores import defined, in_words
from mlops_assets.ml.values import groups
from mlops_assets.spec.columns import CHAMPION_SCORE, CLUSTER, LABEL, SCORE
from mlops_assets.spec.gate import DAY, HIGHER_IS_BETTER, WEEK, Gate
from mlops_assets.spec.model import ModelSpec

MOST_NAMED = 3


@dataclass
class Verdict:
    """Who won on the hold-out, why, and the numbers of both on the same rows.

    `criteria` is everything the challenger was held to. `gains` has a row a cluster: what it is, its rows, the gain.
    `skipped` names the slices too small for their guard-rail, and why. `shown_better` is whether superiority over the
    champion was shown, whatever the rule asked for: the next anchor is a challenger of which it was.
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
    shown_better: bool = False
    anchor: Anchored | None = None

    def of_kind(self, kind: str) -> list[Criterion]:
        """The criteria of one kind."""
        return [criterion for criterion in self.criteria if criterion.kind == kind]


def judge(
    hold_out: pl.DataFrame,
    challenger: Contender,
    champion: Contender | None,
    spec: ModelSpec,
    anchor: Contender | Unjudged | None = None,
) -> Verdict:
    """Score the same labelled rows with all models and put the challenger through the gate.

    `anchor` is needed where the rule lets something worse pass; it may be the champion. Raises DatasetError where there is
    no row, ScoreError where either model gives one of them no finite number, PromotionError where challenger and champion
    are the same model, or one of the models has seen a row.
    """
    if not hold_out.height:
        raise DatasetError(
            f"model {spec.name!r} has no labelled row to judge the challenger on: "
            f"widen window.hold_out_days={spec.window.hold_out_days}"
        )
    if champion is not None:
        refuse_itself(spec.name, challenger, champion)
    for side in (challenger, champion, anchor):
        if isinstance(side, Contender):
            refuse_seen(side, hold_out, spec)
    rows = hold_out.with_columns(pl.Series(SCORE, challenger.scores(hold_out)))
    labels, score = rows[LABEL].to_numpy(), rows[SCORE].to_numpy()
    numbers = evaluate(labels, score, spec.task)
    slices = by_slice(rows, spec.slices, spec.task)
    criteria = floor_criteria(numbers, spec.gate)
    alone = Verdict(*decision(criteria), numbers, None, slices, criteria, score=score)
    return alone if champion is None else _duel(rows, challenger, champion, anchor, alone, spec)


def _duel(
    rows: pl.DataFrame,
    challenger: Contender,
    champion: Contender,
    anchor: Contender | Unjudged | None,
    alone: Verdict,
    spec: ModelSpec,
) -> Verdict:
    """The verdict on a challenger by its floors alone, once it has met the champion, and the anchor where one is needed."""
    theirs = champion.scores(rows)
    names, codes = clusters(rows, spec)
    rows = rows.with_columns(pl.Series(CHAMPION_SCORE, theirs), pl.Series(CLUSTER, codes))
    effect = compare(*paired_arrays(rows), spec.gate.metric)
    anchored = _anchored(rows, champion, anchor, effect, spec)
    guards, skipped = _guarded(rows, challenger, champion, spec)
    held = [evidence_criterion(effect, spec.gate), *([anchored.criterion] if anchored else []), *guards]
    criteria = [*alone.criteria, *held]
    promote, reason = decision(criteria)
    gains = gain_by_cluster(*paired_arrays(rows), spec.gate.metric)
    return replace(
        alone,
        promote=promote,
        reason=reason,
        champion=evaluate(rows[LABEL].to_numpy(), theirs, spec.task),
        criteria=criteria,
        skipped=skipped,
        gains=[{"cluster": name, "rows": n, "gain": g} for name, (n, g) in zip(names, gains, strict=True)],
        champion_score=theirs,
        shown_better=shown_better(effect, spec.gate),
        anchor=anchored,
    )


def clusters(frame: pl.DataFrame, spec: ModelSpec) -> tuple[list[str], np.ndarray]:
    """Names of the clusters of rows, in order, and the code of each row's cluster [rows].

    A day is a local one, from midnight to midnight in the spec's time zone; a week begins on Monday.
    """
    name = spec.gate.cluster
    if name in (DAY, WEEK):
        local = frame[spec.prediction.time].dt.convert_time_zone(spec.calendar.timezone)
        values = (local.dt.truncate("1w") if name == WEEK else local).dt.date()
    else:
        require(frame, spec.gate.cluster_columns, "gate.cluster")
        values = frame[name]
    names, codes = groups(values)
    if codes.null_count():
        raise DatasetError(
            f"gate.cluster {name!r} is null in {codes.null_count()} of {len(values)} held-out rows: "
            "name a column that every row has"
        )
    return names, codes.to_numpy()


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
    clauses = [*(c.text for c in criteria if c.kind in ("evidence", "anchor")), _guards_text(criteria)]
    clauses = [floor_text, *clauses] if missed else [*clauses, floor_text]
    return promote, f"{'Promoted' if promote else 'Rejected'}: {'; '.join(filter(None, clauses))}."


def _anchored(
    rows: pl.DataFrame,
    champion: Contender,
    anchor: Contender | Unjudged | None,
    effect: Effect,
    spec: ModelSpec,
) -> Anchored | None:
    """How the challenger does against the anchor, where the rule needs one; `rows` hold the champion's scores too."""
    margin = spec.gate.anchor_margin
    if margin is None:
        return None
    if anchor is None:
        raise PromotionError(
            f"{spec.name}: gate.evidence={spec.gate.evidence} lets a challenger pass that is worse, so it must be compared with "
            "an anchor too: give the last champion that was shown to be better, else the first"
        )
    is_champion = isinstance(anchor, Contender) and anchor.sha256 == champion.sha256
    score = rows[CHAMPION_SCORE].to_numpy() if is_champion else _scores(anchor, rows)
    if isinstance(score, Unjudged):
        return Anchored(score.name, without_anchor(score, effect, spec.gate), margin, why=score.why)
    y, ours, theirs, codes = paired_arrays(rows)
    against = compare(y, ours, score, codes, spec.gate.metric)
    criterion = anchor_criterion(anchor.name, against, effect, spec.gate)
    spent, left = budget(compare(y, theirs, score, codes, spec.gate.metric), margin)
    return Anchored(
        anchor.name, replace(criterion, text="") if is_champion else criterion, margin, spent, left
    )


def _scores(anchor: Contender | Unjudged, rows: pl.DataFrame) -> np.ndarray | Unjudged:
    """What the anchor makes of the rows; one from before a change of the features may not be able to."""
    if isinstance(anchor, Unjudged):
        return anchor
    try:
        return anchor.scores(rows)
    except (DatasetError, pl.exceptions.PolarsError) as error:
        return Unjudged(anchor.name, f"cannot score these rows ({str(error).partition(';')[0]})")


def _guarded(
    rows: pl.DataFrame, challenger: Contender, champion: Contender, spec: ModelSpec
) -> tuple[list[Criterion], list[dict[str, Any]]]:
    gate = spec.gate
    criteria, skipped = slice_guards(rows, spec)
    criteria += [*calibration_guard(rows, spec), *size_guard(challenger.size, champion.size, gate)]
    if gate.guards.latency_ms is not None:
        taken = challenger.latency or latency(challenger.scorer, rows)
        criteria += latency_guard(taken[1], gate)
    return criteria, skipped


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
    calibrated = any(c.kind == "calibration" for c in criteria)
    if not slices:
        return "the calibration not shown to be worse" if calibrated else ""
    return f"none of {slices} slices{' and not the calibration' * calibrated} shown to be worse"
