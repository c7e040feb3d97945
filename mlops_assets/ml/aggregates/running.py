"""What the rows before a partition come to, a key at a time: kept from one partition to the next, so that history is not read again.

Rows are settled once no later version of them can become known. Of settled rows that stay in a window for the whole of a
partition, sums and counts are numbers that exact sums let rows enter and leave without a trace. Of the other aggregates
the rows are kept that may still decide them: the newest, those that nothing newer exceeds, the newest of each value.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Self

import numpy as np
import polars as pl

from mlops_assets.ml.aggregates.exact import Ints, Limbs, added, parts_of
from mlops_assets.ml.aggregates.places import MICRO, micros
from mlops_assets.ml.aggregates.versions import NEVER, TIME, UNTIL, column_of
from mlops_assets.spec.aggregates import Aggregate

ADDED = ("count", "sum", "mean", "rate")
"""Aggregates that are sums: a row that leaves is taken away again."""

COUNT, DIGIT = "_count", "_digit"
LONG_AGO = -(1 << 62)


@dataclass(frozen=True)
class Span:
    """A partition in microseconds, and the moment before which rows are settled when it begins."""

    start: int
    end: int
    settled: int

    @classmethod
    def of(cls, start: datetime, end: datetime, settled: datetime) -> Self:
        return cls(micros(start), micros(end), micros(settled))

    def stays_from(self, one: Aggregate) -> int:
        """The time from which on a row does not leave the window before the partition's end."""
        return LONG_AGO if one.window is None else self.end - one.window // MICRO

    def counts_from(self, one: Aggregate) -> int:
        """The time from which on a row may count at some moment of the partition."""
        return LONG_AGO if one.window is None else self.start - one.window // MICRO


@dataclass(frozen=True)
class Running:
    """What settled rows come to before a partition; `key` are the columns by which rows belong together.

    `rows` are those that may still decide something, as `versions_of` gives them, with null where they do not; `sums` has, for
    a key and a feature, how many rows count and the digits of their sum.
    """

    key: Sequence[str]
    span: Span
    rows: pl.DataFrame
    sums: pl.DataFrame

    @classmethod
    def nothing(cls, key: Sequence[str], span: Span, versions: pl.DataFrame) -> Self:
        """Before the first row, for versions of this schema."""
        none = versions.clear()
        return cls(key, span, none, none.select(key))

    def moved(
        self, settled: pl.DataFrame, features: Sequence[Aggregate], now: Span, anew: bool = False
    ) -> "Running":
        """The same before a later partition; `settled` are the rows settled since then, and those that left a window since.

        With `anew` nothing is taken away: what is there was built for `now`, of older rows.
        """
        final = settled.filter(pl.col(UNTIL) == NEVER, pl.col(TIME) < now.settled)
        since = LONG_AGO if anew else self.span.settled
        sums = self._summed(final, features, now, since, anew)
        return Running(self.key, now, self._kept(final, features, now, since), sums)

    def touching(self, keys: pl.DataFrame) -> "Running":
        """Of some keys alone."""
        rows, sums = (
            one.join(keys, on=self.key, how="semi", maintain_order="left") for one in (self.rows, self.sums)
        )
        return Running(self.key, self.span, rows, sums)

    def base(self, number: int, keys: pl.DataFrame, place: Ints) -> tuple[Ints, Limbs]:
        """For the place of each key: how many settled rows count for a feature, and the sum of their values."""
        own = [name for name in self.sums.columns if name.startswith(f"{DIGIT}_{number}_")]
        count = f"{COUNT}_{number}"
        there = self.sums.select(*self.key, *([count] if count in self.sums.columns else ()), *own)
        found = keys.join(there, on=self.key, how="left", maintain_order="left").fill_null(0)
        counts = found[count].to_numpy() if count in found.columns else np.zeros(keys.height, np.int64)
        sums = Limbs(np.zeros((1, place.size), np.int64), 0)
        for name in own:
            sums = added(sums, Limbs(found[name].to_numpy()[place][None, :], int(name.rpartition("_")[2])))
        return counts[place], sums

    def _summed(
        self, final: pl.DataFrame, features: Sequence[Aggregate], now: Span, since: int, anew: bool
    ) -> pl.DataFrame:
        columns: dict[str, Ints] = {}
        time = final[TIME].to_numpy()
        for number, one in enumerate(features):
            if one.word not in ADDED:
                continue
            there = final[column_of(number)].is_not_null().to_numpy()
            stays, stayed = now.stays_from(one), LONG_AGO if anew else self.span.stays_from(one)
            enters = (time >= max(since, stays)) & (time < now.settled)
            leaves = (time >= stayed) & (time < min(since, stays))
            sign = np.where(there, enters.astype(np.int64) - leaves, 0)
            columns[f"{COUNT}_{number}"] = sign
            if one.word != "count":
                values = final[column_of(number)]
                whole = values.cast(pl.Int64) if values.dtype == pl.Boolean else values
                for place, digits in parts_of(whole.fill_null(0).to_numpy()).items():
                    columns[f"{DIGIT}_{number}_{place}"] = sign * digits
        change = pl.concat([final.select(self.key), pl.DataFrame(columns)], how="horizontal")
        moving = change.filter(pl.any_horizontal(pl.exclude(self.key) != 0)) if columns else change.clear()
        both = pl.concat([self.sums, moving], how="diagonal")
        total = both.group_by(self.key).agg(pl.all().sum()) if columns else both.clear()
        counts = [name for name in total.columns if name.startswith(f"{COUNT}_")]
        return total.filter(pl.any_horizontal(pl.col(counts) != 0)) if counts else total

    def _kept(
        self, final: pl.DataFrame, features: Sequence[Aggregate], now: Span, since: int
    ) -> pl.DataFrame:
        new = final.filter(pl.col(TIME) >= since)
        rows = pl.concat([self.rows, new]).sort(TIME, maintain_order=True)
        deciding = {
            column_of(number): pl.lit(None, rows.schema[column_of(number)])
            if one.word in ADDED
            else _deciding(one, column_of(number), self.key, now)
            for number, one in enumerate(features)
        }
        kept = rows.with_columns(**deciding)
        return kept.filter(pl.any_horizontal(pl.col([*deciding]).is_not_null()))


def _deciding(one: Aggregate, name: str, key: Sequence[str], now: Span) -> pl.Expr:
    """The values of a column that may still decide its aggregate, in rows from the oldest to the newest; null for the others."""
    value = pl.when(pl.col(TIME) >= now.counts_from(one)).then(pl.col(name))
    there = value.is_not_null().cast(pl.Int64)
    from_newest, from_oldest = there.cum_sum(reverse=True).over(key), there.cum_sum().over(key)
    if one.word in ("min", "max"):
        later = _exceeding(value, one.word).over(key)
        beyond = value > later if one.word == "max" else value < later
        decides = later.is_null() | beyond
        if one.window is None:
            decides &= value == (value.max() if one.word == "max" else value.min()).over(key)
    elif one.word == "distinct":
        decides = there.cum_sum(reverse=True).over([*key, name]) == 1
    elif one.word == "span":
        decides = pl.lit(True) if one.window else (from_newest == 1) | (from_oldest == 1)
    else:
        decides = from_newest <= MOST_KEPT[one.word]
    return pl.when(decides).then(value)


MOST_KEPT: Mapping[str, int] = {"last": 1, "time_since": 1, "gap": 2}
"""So many of the newest rows decide."""


def _exceeding(value: pl.Expr, word: str) -> pl.Expr:
    """The largest, or smallest, value of the rows behind each."""
    backwards = value.reverse()
    best = backwards.cum_max() if word == "max" else backwards.cum_min()
    return best.forward_fill().shift(1).reverse()
