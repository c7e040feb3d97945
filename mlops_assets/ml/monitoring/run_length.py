"""How far the chart of `alarms.py` may rise: so far that, where nothing changes, it does so once in a stated number of partitions.

Days of the model's own history are drawn anew in blocks, which keep what days of a fortnight share and what columns share
on a day (the moving-block bootstrap: Künsch 1989, https://doi.org/10.1214/aos/1176347265, on a circle: Politis & Romano
1992). Of the days partitions are made, of these paths, and the threshold is the one at which the mean number of
partitions to an alarm over all paths is the stated one. Each path is held against the means and deviations of another
drawn history of the same length, so that a short history, of which they are not known well, makes a higher threshold (as
in Gandy & Kvaløy, https://doi.org/10.1111/sjos.12006). What is drawn is smoothed (Silverman & Young 1987,
https://doi.org/10.1093/biomet/74.3.469), because a short history has not seen the worst of them.

The rate holds for what varies as the history did. A season that the history has not seen is a change, and is found.
"""

import math
from dataclasses import dataclass

import numpy as np

from mlops_assets.ml.monitoring.alarms import statistics
from mlops_assets.ml.monitoring.readings import Readings, ratio

BLOCK_DAYS = 14
LEAST_DAYS, LEAST_PARTITIONS = 4 * BLOCK_DAYS, 8
PATHS = 100
SMOOTHING = 1.06
"""Silverman's width of a kernel for a normal distribution, in deviations, times the history's partitions to the power -1/5."""
LEAST_THRESHOLD = 3.0
"""Deviations between partitions under which nothing is told from chance, however calm a short history was."""
SMALLEST_DEVIATION = 0.1
"""A reading that hardly varied counts as if it varied by this part of the smallest effect."""


@dataclass(frozen=True, eq=False)
class Calibration:
    """What the chart compares with: of every reading mean and deviation between partitions, and the threshold for the largest.

    `every` is the number of partitions in which chance alone makes one alarm, as the simulation found it: at least what
    was asked for. `days` and `partitions` are the history's.
    """

    means: np.ndarray
    deviations: np.ndarray
    threshold: float
    every: float
    days: int
    partitions: int


def partitions_needed(days_of_one: float) -> int:
    """Partitions of history that a calibration needs: LEAST_PARTITIONS, and as many as make LEAST_DAYS."""
    return max(LEAST_PARTITIONS, math.ceil(LEAST_DAYS / days_of_one - 1e-9))


def calibrated(
    pool: Readings,
    partitions: int,
    days_of_one: float,
    every: int,
    effect: float,
    seed: int,
    paths: int = PATHS,
) -> Calibration:
    """Find the threshold at which a chart of partitions like the history's raises a false alarm once in `every` of them.

    `pool` has the readings of a history of so many partitions by day, oldest first, `days_of_one` how long a partition
    is; `effect` is the smallest worth an alarm, on the readings' scale from 0 to 1.
    """
    size = max(1, round(pool.days / partitions))
    block = min(max(2 * size, round(BLOCK_DAYS / days_of_one * size)), pool.days)
    drawn, varied = _effects(pool, size, 2 * every, block, paths, np.random.default_rng(seed))
    least = SMALLEST_DEVIATION * effect
    statistic = statistics(drawn, np.maximum(varied, least)[:, None], effect)
    threshold, rate = threshold_for(statistic, every)
    deviations = np.maximum(_deviations(pool.sums, pool.counts, size), least)
    return Calibration(np.nan_to_num(pool.means), deviations, threshold, rate, pool.days, partitions)


def threshold_for(statistic: np.ndarray, every: float) -> tuple[float, float]:
    """The lowest threshold, at least LEAST_THRESHOLD, whose mean run length is `every`, and that run length.

    `statistic` has paths [paths, partitions]. A path that ends without an alarm counts as watched for its whole length
    (the estimate of a constant rate from censored times: partitions watched over alarms). With no alarm at all, the run
    length is the number of partitions watched.
    """
    highest = np.maximum.accumulate(statistic, axis=1)
    candidates = np.unique(np.append(highest, LEAST_THRESHOLD))
    candidates = candidates[candidates >= LEAST_THRESHOLD]
    low, high = 0, len(candidates)
    while low < high:
        middle = (low + high) // 2
        enough = run_length(highest, _above(candidates[middle])) >= every
        low, high = (low, middle) if enough else (middle + 1, high)
    least = run_length(highest, LEAST_THRESHOLD) >= every
    threshold = LEAST_THRESHOLD if least else _above(candidates[min(low, len(candidates) - 1)])
    return threshold, run_length(highest, threshold)


def run_length(highest: np.ndarray, threshold: float) -> float:
    """Partitions watched until each path's first alarm, over alarms; `highest` are running maxima [paths, partitions]."""
    quiet = (highest < threshold).sum(axis=1)
    alarms = int((quiet < highest.shape[1]).sum())
    return float((quiet + (quiet < highest.shape[1])).sum()) / max(alarms, 1)


def _above(value: float) -> float:
    return float(np.nextafter(value, np.inf))


def _effects(
    pool: Readings, size: int, length: int, block: int, paths: int, random: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Paths of drawn partitions less the mean of a drawn history [paths, partitions, readings], and its deviations [paths, readings]."""
    effects = np.empty((paths, length, len(pool.names)), np.float32)
    varied = np.empty((paths, len(pool.names)))
    parts = pool.days // size
    width = SMOOTHING * max(parts, 1) ** -0.2 * _deviations(pool.sums, pool.counts, size)
    for path in range(paths):
        sums, counts = _smoothed(pool, _drawn(pool.days, pool.days, block, random), size, width, random)
        varied[path] = _deviations(sums, counts, size)
        base = ratio(sums.sum(axis=0), counts.sum(axis=0))
        later = _smoothed(pool, _drawn(pool.days, length * size, block, random), size, width, random)
        effects[path] = ratio(*(one.reshape(length, size, -1).sum(axis=1) for one in later)) - base
    return effects, varied


def _smoothed(
    pool: Readings, days: np.ndarray, size: int, width: np.ndarray, random: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Sums and counts of drawn days, moved by what is drawn anew for each `size` of them."""
    noise = random.normal(size=(-(-len(days) // size), len(width))) * width
    counts = pool.counts[days]
    return pool.sums[days] + np.repeat(noise, size, axis=0)[: len(days)] * counts, counts


def _deviations(sums: np.ndarray, counts: np.ndarray, size: int) -> np.ndarray:
    """The standard deviation of each reading over all runs of `size` days of a history [readings], the first following the last."""
    runs = (np.arange(len(sums))[:, None] + np.arange(size)) % len(sums)
    values = ratio(*(each[runs].sum(axis=1) for each in (sums, counts)))
    base = ratio(sums.sum(axis=0), counts.sum(axis=0))
    known = ~np.isnan(values)
    squares = np.where(known, values - base, 0.0) ** 2
    return np.sqrt(squares.sum(axis=0) / np.maximum(known.sum(axis=0), 1))


def _drawn(days: int, count: int, block: int, random: np.random.Generator) -> np.ndarray:
    """`count` days in blocks of consecutive ones, the first following the last."""
    starts = random.integers(0, days, -(-count // block))
    return ((starts[:, None] + np.arange(block)) % days).reshape(-1)[:count]
