"""Which settled rows may still decide an aggregate that is no sum: the newest, those that nothing newer exceeds, the newest of each value.

All functions take rows sorted by key (a number) and then from the oldest to the newest, and which of them have a value that counts.
"""

from collections.abc import Mapping

import numpy as np
import polars as pl

from mlops_assets.ml.aggregates.exact import Ints
from mlops_assets.ml.aggregates.places import Bools
from mlops_assets.spec.aggregates import Aggregate

NEWEST: Mapping[str, int] = {"last": 1, "time_since": 1, "gap": 2}
"""So many of the newest rows decide."""


def deciding(one: Aggregate, key: Ints, values: pl.Series, counts: Bools) -> Bools:
    """The rows that may decide what an aggregate is at some later moment."""
    if one.word == "span" and one.window:
        return counts
    if one.word == "span":
        return newest(key, counts, 1) | oldest(key, counts)
    if one.word in NEWEST:
        return newest(key, counts, NEWEST[one.word])
    rank = np.where(counts, values.rank("dense").fill_null(0).cast(pl.Int64).to_numpy(), 0)
    if one.word == "distinct":
        return newest_of_each(key, rank, counts)
    if one.word == "min":
        rank = np.where(counts, int(rank.max(initial=0)) + 1 - rank, 0)
    exceed = unexceeded(key, rank, counts)
    return exceed if one.window else oldest(key, exceed)


def newest(key: Ints, counts: Bools, many: int) -> Bools:
    """So many of the newest of each key."""
    return counts & (_up_to(key[::-1], counts[::-1])[::-1] <= many)


def oldest(key: Ints, counts: Bools) -> Bools:
    """The oldest of each key."""
    return counts & (_up_to(key, counts) == 1)


def newest_of_each(key: Ints, rank: Ints, counts: Bools) -> Bools:
    """Of each key and value the newest."""
    which = np.flatnonzero(counts)[::-1]
    _, first = np.unique(key[which] * (int(rank.max(initial=0)) + 1) + rank[which], return_index=True)
    marks = np.zeros(key.size, np.bool_)
    marks[which[first]] = True
    return marks


def unexceeded(key: Ints, rank: Ints, counts: Bools) -> Bools:
    """Those of which no newer one of the key has as large a rank (1 or more)."""
    if not key.size:
        return counts
    width = int(rank.max()) + 1
    best = np.maximum.accumulate(((key[-1] - key) * width + rank)[::-1])
    behind = np.concatenate([[-1], best[:-1]])[::-1]
    later = np.where(behind // width == key[-1] - key, behind % width, 0)
    return counts & (rank > later)


def _up_to(key: Ints, counts: Bools) -> Ints:
    """How many of a key count, up to and with each row."""
    total = np.cumsum(counts)
    begins = (
        np.flatnonzero(np.concatenate([[True], key[1:] != key[:-1]])) if key.size else np.zeros(0, np.int64)
    )
    before = (total - counts)[begins]
    return total - np.repeat(before, np.diff(np.append(begins, key.size)))
