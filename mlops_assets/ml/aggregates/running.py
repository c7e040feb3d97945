"""What the rows before a partition come to, a key at a time: kept from one partition to the next, so that history is not read again.

Rows are settled once no later version of them can become known. Of settled rows that stay in a window for the whole of a
partition, sums and counts are numbers that exact sums let rows enter and leave without a trace. Of the other aggregates
the rows are kept that may still decide them. Keys are numbered, and of those that no new row has, nothing is worked out again.
"""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Self

import numpy as np
import polars as pl

from mlops_assets.ml.aggregates.deciding import deciding
from mlops_assets.ml.aggregates.exact import Ints, Limbs, added, parts_of
from mlops_assets.ml.aggregates.places import MICRO, micros
from mlops_assets.ml.aggregates.versions import KNOWN, NEVER, TIME, UNTIL, columns_of
from mlops_assets.spec.aggregates import Aggregate

ADDED = ("count", "sum", "mean", "rate")
"""Aggregates that are sums: a row that leaves is taken away again."""

NUMBER, FOR_EVER, COUNT, DIGIT = "_number", "_for_ever", "_count", "_digit"
LONG_AGO = -(1 << 62)
LENGTH = 8
"""Bytes that say how long the first of two frames is in a file."""


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


def shared_sums(features: Sequence[Aggregate]) -> list[int]:
    """For each feature the number of the first that adds up the same values over the same time."""
    first: dict[tuple[object, ...], int] = {}
    return [
        first.setdefault((one.of, one.where, one.window, one.word in ADDED), n)
        for n, one in enumerate(features)
    ]


@dataclass(frozen=True)
class Running:
    """What settled rows come to before a partition, a line of `keys` a key.

    `rows` are those that may still decide something: NUMBER (of their key), FOR_EVER (over a lifetime), when they were and were
    known, and values, of a key from the oldest to the newest. `sums` has for a feature how many rows of each key count and the digits of their sum.
    """

    span: Span
    keys: pl.DataFrame
    rows: pl.DataFrame
    sums: Mapping[str, Ints]

    @classmethod
    def nothing(
        cls, key: Sequence[str], span: Span, versions: pl.DataFrame, features: Sequence[Aggregate]
    ) -> Self:
        """Before the first row, for versions of this schema."""
        none = versions.clear().with_columns(pl.lit(0, pl.Int64).alias(NUMBER), pl.lit(False).alias(FOR_EVER))
        return cls(
            span, none.select(key), none.select(NUMBER, FOR_EVER, TIME, KNOWN, *_decided(features)), {}
        )

    def moved(
        self, versions: pl.DataFrame, features: Sequence[Aggregate], now: Span, anew: bool = False
    ) -> Self:
        """The same before a later partition; `versions` has the rows settled since then, and those that left a window since.

        Others among them change nothing. With `anew` nothing is taken away: what is there was built for `now`, of older rows.
        """
        final = versions.filter(pl.col(UNTIL) == NEVER, pl.col(TIME) < now.settled)
        since = LONG_AGO if anew else self.span.settled
        keys, number = self._numbered(final)
        sums = self._summed(final, number, keys.height, features, now, since, anew)
        new = final.with_columns(pl.Series(NUMBER, number), pl.lit(False).alias(FOR_EVER))
        new = new.filter(pl.col(TIME) >= since)
        rows = _deciding_rows(self.rows, new.select(self.rows.columns), features, now)
        return replace(self, span=now, keys=keys, rows=rows, sums=sums)._without_idle()

    def numbers(self, keys: pl.DataFrame) -> Ints:
        """The number of each of some keys, -1 of one that has none."""
        own = self.keys.with_row_index(NUMBER).with_columns(pl.col(NUMBER).cast(pl.Int64))
        numbered = keys.join(own, on=self.keys.columns, how="left", maintain_order="left")
        return numbered[NUMBER].fill_null(-1).to_numpy()

    def base(self, number: int, at: Ints) -> tuple[Ints, Limbs]:
        """For keys by number (-1: none) how many settled rows count for a feature, and the sum of their values."""
        there = at >= 0

        def of(name: str) -> Ints:
            if name not in self.sums or not self.keys.height:
                return np.zeros(at.size, np.int64)
            return np.where(there, self.sums[name][at], 0)

        sums = Limbs(np.zeros((1, at.size), np.int64), 0)
        for name in self.sums:
            if name.startswith(f"{DIGIT}_{number}_"):
                sums = added(sums, Limbs(of(name)[None, :], int(name.rpartition("_")[2])))
        return of(f"{COUNT}_{number}"), sums

    def content(self) -> bytes:
        """As the bytes of a file; the same gives the same bytes."""
        sums = self.keys.with_columns(pl.Series(name, column) for name, column in self.sums.items())
        first, second = (_arrow(frame) for frame in (sums, self.rows))
        return len(first).to_bytes(LENGTH, "little") + first + second

    @classmethod
    def of_content(cls, key: Sequence[str], span: Span, content: bytes) -> Self:
        """What `content` gave, before a partition."""
        end = LENGTH + int.from_bytes(content[:LENGTH], "little")
        sums, rows = (pl.read_ipc(io.BytesIO(part)) for part in (content[LENGTH:end], content[end:]))
        columns = {name: sums[name].to_numpy() for name in sums.columns if name not in key}
        return cls(span, sums.select(key), rows, columns)

    def _numbered(self, rows: pl.DataFrame) -> tuple[pl.DataFrame, Ints]:
        """The keys with those that rows bring, and the number of each row's key."""
        theirs = rows.select(self.keys.columns)
        new = theirs.unique(maintain_order=True).join(
            self.keys, on=self.keys.columns, how="anti", maintain_order="left"
        )
        keys = pl.concat([self.keys, new])
        return keys, replace(self, keys=keys).numbers(theirs)

    def _summed(
        self,
        final: pl.DataFrame,
        number: Ints,
        size: int,
        features: Sequence[Aggregate],
        now: Span,
        since: int,
        anew: bool,
    ) -> dict[str, Ints]:
        sums = {name: np.append(one, np.zeros(size - one.size, np.int64)) for name, one in self.sums.items()}

        def add(name: str, which: Ints, shares: Ints) -> None:
            np.add.at(sums.setdefault(name, np.zeros(size, np.int64)), number[which], shares)

        time, shared = final[TIME].to_numpy(), shared_sums(features)
        for n, (one, column) in enumerate(zip(features, columns_of(features), strict=True)):
            if one.word not in ADDED or shared[n] != n:
                continue
            stays, stayed = now.stays_from(one), LONG_AGO if anew else self.span.stays_from(one)
            enters = (time >= max(since, stays)) & (time < now.settled)
            leaves = (time >= stayed) & (time < min(since, stays))
            sign = enters.astype(np.int64) - leaves
            which = np.flatnonzero((sign != 0) & final[column].is_not_null().to_numpy())
            add(f"{COUNT}_{n}", which, sign[which])
            if one.of is not None:
                values = final[column].gather(which)
                whole = values.cast(pl.Int64) if values.dtype == pl.Boolean else values
                for place, digits in parts_of(whole.to_numpy()).items():
                    add(f"{DIGIT}_{n}_{place}", which, sign[which] * digits)
        return sums

    def _without_idle(self) -> Self:
        """Without the keys of which nothing is left."""
        used = np.zeros(self.keys.height, np.bool_)
        used[self.rows[NUMBER].to_numpy()] = True
        for name, one in self.sums.items():
            if name.startswith(COUNT):
                used |= one != 0
        numbers = np.cumsum(used) - 1
        rows = self.rows.with_columns(pl.Series(NUMBER, numbers[self.rows[NUMBER].to_numpy()], pl.Int64))
        sums = {name: one[used] for name, one in self.sums.items() if one.any()}
        return replace(self, keys=self.keys.filter(pl.Series(used)), rows=rows, sums=sums)


def _deciding_rows(
    old: pl.DataFrame, new: pl.DataFrame, features: Sequence[Aggregate], now: Span
) -> pl.DataFrame:
    """The rows that may still decide something, of those kept and of new ones: worked out for the keys of new ones alone."""
    columns = _decided(features)
    if not columns:
        return old
    windows = [now.counts_from(one) for one in features if one.word not in ADDED and one.window]
    old = old.filter(pl.col(FOR_EVER) | (pl.col(TIME) >= min(windows, default=NEVER)))
    new = new.filter(pl.any_horizontal(pl.col(columns).is_not_null()))
    with_new = pl.Series(np.isin(old[NUMBER].to_numpy(), new[NUMBER].to_numpy()))
    again = pl.concat([old.filter(with_new), new]).sort(NUMBER, maintain_order=True)
    key, time = again[NUMBER].to_numpy(), again[TIME].to_numpy()
    some, for_ever = np.zeros((2, again.height), np.bool_)
    for one, column in zip(features, columns_of(features), strict=True):
        if one.word not in ADDED:
            counts = again[column].is_not_null().to_numpy() & (time >= now.counts_from(one))
            decides = deciding(one, key, again[column], counts)
            some |= decides
            for_ever |= decides & (one.window is None)
    again = again.with_columns(pl.Series(FOR_EVER, for_ever))
    return pl.concat([old.filter(~with_new), again.filter(pl.Series(some))])


def _decided(features: Sequence[Aggregate]) -> list[str]:
    """Columns with values of aggregates that are no sums."""
    columns = zip(features, columns_of(features), strict=True)
    return [*dict.fromkeys(column for one, column in columns if one.word not in ADDED)]


def _arrow(frame: pl.DataFrame) -> bytes:
    buffer = io.BytesIO()
    frame.rechunk().write_ipc(buffer, compression="lz4")
    return buffer.getvalue()
