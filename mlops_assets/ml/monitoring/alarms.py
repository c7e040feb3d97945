"""The chart behind a drift alarm: what stays moved adds up from partition to partition until it cannot be chance.

Of each reading a cumulative sum runs in either direction (Page 1954, https://doi.org/10.1093/biomet/41.1-2.100) over
its distance from the history, less an allowance: half the shift that is to be found first (Moustakides 1986,
https://doi.org/10.1214/aos/1176350164), which is the smallest effect worth an alarm, or one deviation of the reading
between partitions where that is more. The statistic of a partition is the largest of these sums, each in deviations of its
reading: one threshold for the largest of all is the correction over columns, also of columns that move together. How
large it may be is found in `run_length.py`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Chart:
    """Cumulative sums of every reading [..., 2, readings] (upwards, downwards), and how many partitions each has run for."""

    sums: np.ndarray
    ran: np.ndarray

    @classmethod
    def at_zero(cls, readings: int, charts: tuple[int, ...] = ()) -> "Chart":
        """Where a chart begins, and begins again after an alarm."""
        shape = (*charts, 2, readings)
        return cls(np.zeros(shape), np.zeros(shape))

    def after(self, effects: np.ndarray, allowance: np.ndarray) -> "Chart":
        """The chart once a partition's effects [..., readings] came; one that is NaN (no row) leaves its sums as they are."""
        known = np.nan_to_num(effects)
        moved = np.stack([known, -known], axis=-2)
        unknown = np.isnan(effects)[..., None, :]
        sums = np.where(unknown, self.sums, np.maximum(self.sums + moved - allowance, 0.0))
        return Chart(sums, np.where(unknown, self.ran, np.where(sums > 0, self.ran + 1, 0)))

    def means(self, allowance: np.ndarray) -> np.ndarray:
        """The mean effect over the partitions that each sum has run for [..., 2, readings]; 0 where it has not."""
        return np.where(self.ran > 0, self.sums / np.maximum(self.ran, 1) + allowance, 0.0)

    def scaled(self, deviations: np.ndarray, effect: float) -> np.ndarray:
        """Sums in deviations [..., 2, readings]; 0 where the mean effect is under the smallest that is worth an alarm."""
        means = self.means(allowances(deviations, effect))
        return np.where(means >= effect, self.sums / deviations, 0.0)


@dataclass(frozen=True)
class Outcome:
    """What a chart says of a partition: the statistic, whether it is an alarm, and by reading sums in deviations and effects.

    `strength` [readings] is the larger of both directions' sums, `effects` [readings] the signed mean effect behind it,
    `since` [readings] the partitions it has run for.
    """

    statistic: float
    alarm: bool
    strength: np.ndarray
    effects: np.ndarray
    since: np.ndarray


def allowances(deviations: np.ndarray, effect: float) -> np.ndarray:
    """What is taken from each reading's distance before it adds up [readings]."""
    return np.maximum(effect, deviations) / 2


def watched(
    values: np.ndarray, means: np.ndarray, deviations: np.ndarray, effect: float, threshold: float
) -> list[Outcome]:
    """The outcome of each partition of a sequence of readings [partitions, readings]; after an alarm the sums begin at zero."""
    chart, outcomes = Chart.at_zero(len(means)), list[Outcome]()
    allowance = allowances(deviations, effect)
    for row in values:
        chart = chart.after(row - means, allowance)
        outcomes.append(_outcome(chart, deviations, effect, threshold))
        if outcomes[-1].alarm:
            chart = Chart.at_zero(len(means))
    return outcomes


def statistics(paths: np.ndarray, deviations: np.ndarray, effect: float) -> np.ndarray:
    """The statistic of each partition [paths, partitions] of paths of effects [paths, partitions, readings], never begun again."""
    chart, largest = Chart.at_zero(paths.shape[2], paths.shape[:1]), []
    allowance = allowances(deviations, effect)
    for step in range(paths.shape[1]):
        chart = chart.after(paths[:, step], allowance)
        largest.append(chart.scaled(deviations, effect).max(axis=(1, 2)))
    return np.stack(largest, axis=1)


def strongest(
    outcome: Outcome, names: Sequence[tuple[str, str]], threshold: float
) -> list[tuple[str, str, int]]:
    """Column, reading and place of all readings whose sums are over the threshold, the strongest first."""
    order = np.argsort(-outcome.strength, kind="stable")
    return [(*names[place], int(place)) for place in order if outcome.strength[place] >= threshold]


def _outcome(chart: Chart, deviations: np.ndarray, effect: float, threshold: float) -> Outcome:
    scaled, means = chart.scaled(deviations, effect), chart.means(allowances(deviations, effect))
    side = scaled.argmax(axis=0)
    each = np.arange(len(side))
    statistic = float(scaled.max(initial=0.0))
    signed = np.where(side == 0, means[0], -means[1])
    return Outcome(statistic, statistic >= threshold, scaled[side, each], signed, chart.ran[side, each])
