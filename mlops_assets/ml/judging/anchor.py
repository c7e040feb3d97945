"""The anchor: the champion that all later ones are also held against, so that small losses do not add up.

A challenger that is a little worse passes a test of non-inferiority now and then, and the next one is compared with it:
the margin creeps (biocreep; D'Agostino, Massaro & Sullivan 2003). So a challenger that is not shown to be better than
the champion must also pass against the last champion that was, else against the first.
"""

from dataclasses import dataclass
from typing import Any

from mlops_assets.ml.judging.guardrails import Criterion, p_text
from mlops_assets.ml.judging.paired import Effect, shows
from mlops_assets.spec.gate import Gate


@dataclass(frozen=True)
class Unjudged:
    """An anchor that cannot be compared with, and why."""

    name: str
    why: str


@dataclass(frozen=True)
class Anchored:
    """The anchor on the held-out rows: its criterion, and what the champion has lost against it since.

    `spent` is the champion's loss as it is estimated there, `left` what remains of the margin; None where the anchor
    could not be compared with.
    """

    name: str
    criterion: Criterion
    margin: float
    spent: float | None = None
    left: float | None = None
    why: str = ""

    def record(self) -> dict[str, Any]:
        """As JSON can hold it; the criterion's own numbers are with the other criteria."""
        effect = self.criterion.effect
        return {
            "metric": effect.champion if effect else None,
            "margin": self.margin,
            "spent": self.spent,
            "left": self.left,
            "passes": self.criterion.passes,
            "why": self.why or None,
        }


def shown_better(effect: Effect, gate: Gate) -> bool:
    """Whether a challenger is shown to be better than the champion, whatever rule is in force."""
    return effect.clusters >= gate.minimum_clusters and shows(effect.p_above(0.0), gate.alpha)


def anchor_criterion(name: str, anchor: Effect, champion: Effect, gate: Gate) -> Criterion:
    """The rule against the anchor, by the effects against both: lose no more than the margin, or be shown to be better.

    By `non_inferiority` it has to be shown that less is lost, by `point` the bare difference decides.
    """
    margin = gate.anchor_margin or 0.0
    tested = gate.evidence != "point"
    p = anchor.p_above(-margin) if tested else None
    shown = anchor.clusters >= gate.minimum_clusters and shows(p, gate.alpha)
    within = shown if tested else anchor.gain is not None and anchor.gain >= -margin
    better = shown_better(champion, gate)
    text = _text(name, anchor, margin, f", p {p_text(p)}" if tested else "", within, better)
    return Criterion("anchor", anchor.metric, within or better, text, -margin, effect=anchor, p=p)


def without_anchor(anchor: Unjudged, champion: Effect, gate: Gate) -> Criterion:
    """The rule where there is nothing to compare with: what was lost is unknown, so only superiority counts."""
    better = shown_better(champion, gate)
    text = _unless_better(f"the anchor, {anchor.name}, {anchor.why}", better)
    return Criterion("anchor", champion.metric, better, text, -(gate.anchor_margin or 0.0))


def budget(champion: Effect, margin: float) -> tuple[float | None, float | None]:
    """What the champion has lost against the anchor on the same rows, and what is left of the margin; None if undefined."""
    if champion.gain is None:
        return None, None
    spent = max(0.0, -champion.gain)
    return spent, max(0.0, margin - spent)


def _text(name: str, effect: Effect, margin: float, p: str, within: bool, better: bool) -> str:
    """The clause; `p` is empty where nothing is tested."""
    if within:
        shown = "shown to be less than" if p else "at most"
        return f"it is {shown} {margin:g} worse than the anchor, {name}{p}"
    if effect.gain is None:
        return _unless_better(f"no gain over the anchor, {name}, is defined", better)
    lost = f"{abs(effect.gain):.4f} {'better' if effect.gain > 0 else 'worse'} than the anchor, {name}"
    missed = f"not shown to be less than {margin:g} worse{p}" if p else f"over the margin of {margin:g}"
    return _unless_better(f"it is {lost}, {missed}", better)


def _unless_better(text: str, better: bool) -> str:
    if better:
        return f"{text}, but the challenger is shown to be better than the champion"
    return f"{text}: only a challenger that is shown to be better than the champion is promoted"
