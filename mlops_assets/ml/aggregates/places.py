"""The moments of a span at which the aggregates of a key may change, and which of them a row of the table covers."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from typing import Self

import numpy as np
import numpy.typing as npt
import polars as pl

from mlops_assets.ml.aggregates.exact import Ints
from mlops_assets.ml.aggregates.versions import KNOWN, NEVER, TIME, UNTIL, columns_of
from mlops_assets.spec.aggregates import Aggregate

Bools = npt.NDArray[np.bool_]
MICRO = timedelta(microseconds=1)


@dataclass(frozen=True)
class Spells:
    """When each version of a row counts, in microseconds: from `begin` on, until it is too old or at `until`; `key` by number."""

    key: Ints
    time: Ints
    begin: Ints
    until: Ints

    @classmethod
    def of(cls, versions: pl.DataFrame, key: Ints) -> Self:
        time, known, until = (versions[name].to_numpy() for name in (TIME, KNOWN, UNTIL))
        return cls(key, time, np.maximum(time, known), until)

    def end(self, window: timedelta | None) -> Ints:
        """When each is no longer counted over a window; before or at `begin` where it never is."""
        return self.until if window is None else np.minimum(self.time + window // MICRO, self.until)


@dataclass(frozen=True)
class Places:
    """The pairs of a key and a moment that something happens at, sorted: each is a place.

    `moments` are all there are; `codes` are `key * (len(moments) + 1) + number of the moment`; keys are numbered below `keys`.
    """

    moments: Ints
    codes: Ints
    keys: int

    @classmethod
    def of(cls, pairs: Sequence[tuple[Ints, Ints]], keys: int) -> Self:
        """All pairs of keys and moments, each once."""
        key, times = (np.concatenate(each) for each in zip(*pairs, strict=True))
        moments = _each_once(times)
        codes = key * (moments.size + 1) + np.searchsorted(moments, times)
        return cls(moments, _each_once(codes), keys)

    @property
    def key(self) -> Ints:
        """The key of each place, by number."""
        return self.codes // (self.moments.size + 1)

    @property
    def moment(self) -> Ints:
        """The moment of each place, in microseconds."""
        return self.moments[self.codes % (self.moments.size + 1)]

    def before(self, key: Ints, moment: Ints) -> Ints:
        """For keys and moments, the first place of that key which is not before the moment, else the one behind the key's last."""
        if not self.moments.size:
            return np.zeros(key.size, np.int64)
        early, late = moment <= self.moments[0], moment > self.moments[-1]
        places = np.where(early, self._begins[key], self._begins[key + 1])
        between = np.flatnonzero(~early & ~late)
        number = np.searchsorted(self.moments, moment[between])
        places[between] = np.searchsorted(self.codes, key[between] * (self.moments.size + 1) + number)
        return places

    @cached_property
    def _begins(self) -> Ints:
        """The first place of each key, and behind the last key's last."""
        return np.searchsorted(self.codes, np.arange(self.keys + 1) * (self.moments.size + 1)).astype(
            np.int64
        )

    def have(self, key: Ints, moment: Ints) -> Bools:
        """Which places are among these pairs."""
        there = np.zeros(self.codes.size, np.bool_)
        there[self.before(key, moment)] = True
        return there


def _each_once(numbers: Ints) -> Ints:
    """The numbers sorted, each once."""
    ordered = np.sort(numbers)
    return ordered[np.append(True, ordered[1:] != ordered[:-1])] if ordered.size else ordered


def changes(
    versions: pl.DataFrame, spells: Spells, features: Sequence[Aggregate], start: int, end: int
) -> tuple[Ints, Ints]:
    """The keys and moments in `[start, end)` at which a row becomes known, leaves a window, or is replaced."""
    ever, columns = spells.begin < spells.until, columns_of(features)
    pairs = [(spells.key[ever], spells.begin[ever])]
    for window in {one.window for one in features}:
        ends = spells.end(window)
        names = {name for name, one in zip(columns, features, strict=True) if one.window == window}
        counts = versions.select(pl.any_horizontal(pl.col([*names]).is_not_null())).to_series().to_numpy()
        leaves = counts & (spells.begin < ends)
        pairs.append((spells.key[leaves], ends[leaves]))
    keys, moments = (np.concatenate(each) for each in zip(*pairs, strict=True))
    inside = (moments >= start) & (moments < end)
    return keys[inside], moments[inside]


def steps(spells: Spells, counts: Bools, one: Aggregate, start: int, end: int) -> tuple[Ints, Ints]:
    """The keys and moments in `[start, end)` at which another whole step has passed since a row, while none newer counts.

    Some are given at which a newer row does: what follows compares with the newest.
    """
    step = (one.time_since or timedelta()) // MICRO
    key, time = spells.key[counts], spells.time[counts]
    until = np.minimum(spells.end(one.window)[counts], end)
    lasting = np.where(spells.until[counts] == NEVER, spells.begin[counts], NEVER)
    newer = pl.col("begin").reverse().cum_min().shift(1, fill_value=NEVER).reverse().over("key")
    followed = pl.DataFrame({"key": key, "begin": lasting}).select(newer).to_series().to_numpy()
    until = np.minimum(until, followed)
    first = np.maximum(-(-(np.maximum(spells.begin[counts], start) - time) // step), 1)
    many = np.maximum(-(-(until - time) // step) - first, 0)
    number = np.arange(int(many.sum())) - np.repeat(np.cumsum(many) - many, many)
    return np.repeat(key, many), np.repeat(time + first * step, many) + number * step


def micros(moment: datetime) -> int:
    """A moment in microseconds since 1970."""
    return (moment - datetime.fromtimestamp(0, moment.tzinfo)) // MICRO
