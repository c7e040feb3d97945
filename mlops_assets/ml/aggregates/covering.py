"""Aggregates over ranges of places: what all ranges that cover a place come to, for every place at once.

A row counts for a feature from one moment to another: over the sorted moments, a range of places. All functions take
ranges `[low, high)` with `low < high` and give one number for each of `count` places.
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from mlops_assets.ml.aggregates.exact import Ints

NONE = -1


def running(low: Ints, high: Ints, count: int) -> Callable[[Ints], Ints]:
    """The function from one whole number a range to their sum at each place."""

    def total(shares: Ints) -> Ints:
        steps = np.zeros(count + 1, np.int64)
        np.add.at(steps, low, shares)
        np.subtract.at(steps, high, shares)
        return np.cumsum(steps[:-1])

    return total


def counted(low: Ints, high: Ints, count: int) -> Ints:
    """How many ranges cover each place."""
    steps = np.bincount(low, minlength=count + 1) - np.bincount(high, minlength=count + 1)
    return np.cumsum(steps[:-1])


def largest(low: Ints, high: Ints, ranks: Ints, count: int) -> Ints:
    """The largest rank (0 or more) of the ranges that cover each place, NONE where none does.

    Of each range two overlapping ones are made, as long as the largest power of two that it holds; from the longest down,
    each is then split in halves. That takes O(places * log(longest range)) steps, whatever is covered by whatever.
    """
    best = np.full(count, NONE, np.int64)
    if not low.size:
        return best
    levels = np.frexp((high - low).astype(np.float64))[1] - 1
    for level in range(int(levels.max()), -1, -1):
        ours = levels == level
        np.maximum.at(best, low[ours], ranks[ours])
        np.maximum.at(best, high[ours] - (1 << level), ranks[ours])
        if level:
            half = 1 << (level - 1)
            best[half:] = np.maximum(best[half:], best[:-half].copy())
    return best


def two_largest(low: Ints, high: Ints, ranks: Ints, count: int) -> tuple[Ints, Ints]:
    """The largest rank of the ranges that cover each place, and the largest of the others; no two ranges have one rank."""
    best, second = np.full(count, NONE, np.int64), np.full(count, NONE, np.int64)
    if not low.size:
        return best, second
    levels = np.frexp((high - low).astype(np.float64))[1] - 1
    for level in range(int(levels.max()), -1, -1):
        ours = levels == level
        places = np.concatenate([low[ours], high[ours] - (1 << level)])
        first, other = _two_each(places, np.concatenate([ranks[ours], ranks[ours]]), count)
        best, second = _two_of(best, second, first, other)
        if level:
            half = 1 << (level - 1)
            later = _two_of(best[half:], second[half:], best[:-half], second[:-half])
            best[half:], second[half:] = later
    return best, second


def _two_each(places: Ints, ranks: Ints, count: int) -> tuple[Ints, Ints]:
    """For each place the largest rank given there, and the largest of the others."""
    best, second = np.full(count, NONE, np.int64), np.full(count, NONE, np.int64)
    np.maximum.at(best, places, ranks)
    others = ranks != best[places]
    np.maximum.at(second, places[others], ranks[others])
    return best, second


def _two_of(one: Ints, after_one: Ints, other: Ints, after_other: Ints) -> tuple[Ints, Ints]:
    """The two largest of four; the same rank twice is one."""
    low = np.where(one == other, NONE, np.minimum(one, other))
    return np.maximum(one, other), np.maximum(low, np.maximum(after_one, after_other))


def different(low: Ints, high: Ints, groups: Ints, count: int) -> Ints:
    """How many groups have a range that covers each place; ranges of a group may overlap."""
    order = np.lexsort((low, groups))
    low, high, groups = low[order], high[order], groups[order]
    reached = np.maximum.accumulate(groups * (count + 1) + high)
    before = np.concatenate([[NONE], reached[:-1]])
    begins: npt.NDArray[np.bool_] = groups * (count + 1) + low > before
    last = (
        np.concatenate([np.flatnonzero(begins)[1:] - 1, [low.size - 1]])
        if low.size
        else np.zeros(0, np.int64)
    )
    ends = reached[last] - groups[last] * (count + 1)
    return counted(low[begins], ends, count)
