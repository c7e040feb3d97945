"""The paired test in a form that may be looked at after every window: repeated confidence intervals of the gain.

The effect is that of `ml/judging/paired.py`, on all rows so far, by the jackknife over clusters. Its interval at a look is
taken at the level that alpha spending leaves for that look (repeated confidence intervals, Jennison & Turnbull 1989), from
Student's t as the paired test takes it. Evidence is
counted in clusters, so clusters have to be independent of each other: days that hang together cost more than is stated,
which `benchmarks/rollout.py` measures.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mlops_assets.ml.judging.metrics import goodness
from mlops_assets.ml.judging.paired import Effect, compare, whole
from mlops_assets.ml.rollout.spending import levels
from mlops_assets.ml.scores import defined

GROUPS = 32
"""Groups of entities that are left out one by one to see how much entities differ."""


@dataclass(frozen=True)
class Schedule:
    """How the rate of false alarms of a test is spent: over so many clusters, by a function, from so many clusters on."""

    clusters: int
    alpha: float
    spending: str
    first: int = 2

    def levels(self, looks: Sequence[int]) -> tuple[float, ...]:
        """The level of each look, by the clusters that were there."""
        return levels(tuple(looks), self.clusters, self.alpha, self.spending)

    def next(self, looks: Sequence[int], clusters: int) -> tuple[int, ...]:
        """The looks once there are so many clusters: one more where there is new evidence that was planned for."""
        before = looks[-1] if looks else 0
        new = clusters > before and clusters >= self.first and before < self.clusters
        return (*looks, clusters) if new else tuple(looks)


@dataclass(frozen=True)
class Look:
    """What the evidence shows of the gain at one look; the interval holds at all looks together, each side at the rate.

    A number that is not defined is None.
    """

    metric: str
    clusters: int
    planned: int
    rows: int
    champion: float | None
    challenger: float | None
    gain: float | None
    low: float | None
    high: float | None

    @property
    def is_last(self) -> bool:
        """Whether all the evidence that was planned for is in."""
        return self.clusters >= self.planned

    def shows_loss(self, limit: float) -> bool:
        """Whether a loss larger than `limit` is shown."""
        return self.high is not None and self.high < -limit

    def rules_out(self, loss: float) -> bool:
        """Whether a loss of `loss` or more is ruled out."""
        return self.low is not None and self.low > -loss


def look_at(effect: Effect, schedule: Schedule, looks: Sequence[int]) -> Look:
    """The look at an effect, which is the newest of `looks` (clusters at each)."""
    level = schedule.levels(looks)[-1]
    low, high = effect.interval(level) if level > 0 else (None, None)
    if effect.error == 0:
        low = high = effect.gain
    return Look(
        metric=effect.metric,
        clusters=effect.clusters,
        planned=schedule.clusters,
        rows=effect.rows,
        champion=effect.champion,
        challenger=effect.challenger,
        gain=effect.gain,
        low=low,
        high=high,
    )


@dataclass(frozen=True)
class Side:
    """The rows that one version answered: labels, scores, cluster codes, and the group of each row's entity, all [rows]."""

    y: np.ndarray
    score: np.ndarray
    cluster: np.ndarray
    group: np.ndarray


def compare_split(challenger: Side, champion: Side, metric: str) -> Effect:
    """The effect where each version answered entities of its own; with the larger of two errors, so that both may be at work.

    One leaves out a cluster (day) of both sides at a time, the other a group of entities of one side. Raises DatasetError
    where a side has no rows.
    """
    days = np.intersect1d(challenger.cluster, champion.cluster)
    gain = _gain(challenger, champion, metric)
    by_day = [
        _gain(_without(challenger, day, "cluster"), _without(champion, day, "cluster"), metric)
        for day in days
    ]
    groups = np.unique(challenger.group), np.unique(champion.group)
    ours = [_gain(_without(challenger, one, "group"), champion, metric) for one in groups[0]]
    theirs = [_gain(challenger, _without(champion, one, "group"), metric) for one in groups[1]]
    by_entity = np.hypot(_spread(ours, gain), _spread(theirs, gain))
    error = np.fmax(_spread(by_day, gain), by_entity)
    return Effect(
        metric=metric,
        challenger=whole(challenger.y, challenger.score, metric),
        champion=whole(champion.y, champion.score, metric),
        gain=gain,
        error=defined(error),
        freedom=float(max(1, len(days) - 1)),
        clusters=len(days),
        rows=len(challenger.y),
    )


def compare_paired(challenger: Side, champion: Side, metric: str) -> Effect:
    """The effect where both versions scored the same rows."""
    return compare(challenger.y, challenger.score, champion.score, challenger.cluster, metric)


def _gain(challenger: Side, champion: Side, metric: str) -> float:
    ours, theirs = (
        whole(side.y, side.score, metric) if len(side.y) else None for side in (challenger, champion)
    )
    if ours is None or theirs is None:
        return float("nan")
    return float(goodness(metric, np.float64(ours)) - goodness(metric, np.float64(theirs)))


def _without(side: Side, code: int, by: str) -> Side:
    rest = getattr(side, by) != code
    return Side(side.y[rest], side.score[rest], side.cluster[rest], side.group[rest])


def _spread(values: Sequence[float], gain: float) -> float:
    """The standard error that values of a jackknife give; NaN of fewer than two."""
    count = len(values)
    if count < 2:
        return float("nan")
    return float(np.sqrt(((np.asarray(values) - gain) ** 2).sum() * (count - 1) / count))
