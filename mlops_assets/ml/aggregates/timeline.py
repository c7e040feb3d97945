"""Aggregates of a table's rows as steps in time: what each feature of a key is from one moment on until the next.

A row counts over a window from the moment at which it has happened and is known, until it is as old as the window is long or
a later version of it is known.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property
from typing import Self

import numpy as np
import polars as pl

from mlops_assets.ml.aggregates.covering import NONE
from mlops_assets.ml.aggregates.exact import Ints
from mlops_assets.ml.aggregates.features import Covered, feature, passed
from mlops_assets.ml.aggregates.places import MICRO, Bools, Places, Spells, changes, micros, steps
from mlops_assets.ml.aggregates.running import ADDED, FOR_EVER, NUMBER, Running, shared_sums
from mlops_assets.ml.aggregates.versions import NEVER, TIME, UNTIL, Shape, columns_of, versions_of
from mlops_assets.ml.typed import INSTANT
from mlops_assets.spec.aggregates import Aggregate, Aggregates
from mlops_assets.spec.columns import EVENT_TIME


def aggregate_rows(
    rows: pl.DataFrame, aggregates: Aggregates, shape: Shape, start: datetime, end: datetime
) -> pl.DataFrame:
    """Key, event timestamp and features: a row for each key and moment in `[start, end)` at which something changes for it.

    A key's newest row at or before a moment says what every feature is at that moment. `rows` are those of the table whose
    time lies at most the longest window, or how late they may become known, before `start`; others change nothing.

    Raises AggregateError for a number that its feature does not hold, and where nothing decides between two rows.
    """
    return aggregate_versions(versions_of(rows, aggregates, shape), aggregates, shape, start, end)


def aggregate_versions(
    versions: pl.DataFrame,
    aggregates: Aggregates,
    shape: Shape,
    start: datetime,
    end: datetime,
    before: Running | None = None,
) -> pl.DataFrame:
    """The same of what `versions_of` gives; with what the settled ones come to `before`, those that are not settled, and
    those that leave a window in the span."""
    kinds, features = shape.kinds(aggregates), [*aggregates.features.values()]
    rows = Rows.of(versions, aggregates.key, before, all_keys=any(one.time_since for one in features))
    line = Timeline.over(rows, features, micros(start), micros(end))
    columns = {
        name: feature(name, one, kinds[name], line.covered(n, one))
        for n, (name, one) in enumerate(aggregates.features.items())
    }
    at = pl.Series(EVENT_TIME, line.places.moment, pl.Int64).cast(INSTANT)
    table = pl.concat([rows.keys[line.places.key], pl.DataFrame([at, *columns.values()])], how="horizontal")
    is_row = line.row_places()
    return table if is_row.all() else table.filter(pl.Series(is_row))


@dataclass(frozen=True)
class Rows:
    """Rows that may count: `read` those that are settled and were read, then those that are kept, then those from `open` on.

    `theirs` has, with what the settled rows come to `before`, the number there of each key, -1 of none.
    """

    versions: pl.DataFrame
    spells: Spells
    keys: pl.DataFrame
    read: int = 0
    open: int = 0
    before: Running | None = None
    theirs: Ints = field(default_factory=lambda: np.zeros(0, np.int64))

    @classmethod
    def of(cls, versions: pl.DataFrame, key: Sequence[str], before: Running | None, all_keys: bool) -> Self:
        """The rows with those that are kept of their keys, or of `all_keys`."""
        keys = versions.select(key)
        if before is not None and all_keys:
            keys = pl.concat([keys, before.keys])
        keys = keys.unique().sort(key)
        own = versions.select(key).join(
            keys.with_row_index("_key"), on=key, how="left", maintain_order="left"
        )
        number, values = own["_key"].cast(pl.Int64).to_numpy(), versions.drop(key)
        if before is None:
            return cls(values, Spells.of(values, number), keys)
        theirs = before.numbers(keys)
        ours = np.full(before.keys.height, NONE, np.int64)
        ours[theirs[theirs >= 0]] = np.flatnonzero(theirs >= 0)
        of_kept = ours[before.rows[NUMBER].to_numpy()]
        of_before = before.rows.filter(pl.Series(of_kept >= 0)).with_columns(pl.lit(NEVER).alias(UNTIL))
        settled = versions[TIME].to_numpy() < before.span.settled
        parts = (
            values.filter(pl.Series(settled)),
            of_before.drop(NUMBER, FOR_EVER),
            values.filter(pl.Series(~settled)),
        )
        whole = pl.concat(parts, how="diagonal").select(values.columns)
        numbers = np.concatenate([number[settled], of_kept[of_kept >= 0], number[~settled]])
        read = parts[0].height
        return cls(whole, Spells.of(whole, numbers), keys, read, read + of_before.height, before, theirs)

    def count_for(self, one: Aggregate) -> Bools:
        """Which rows count for a feature themselves: not those that are in its base, or among the kept rows already."""
        counts = np.ones(self.spells.time.size, np.bool_)
        if self.before is None:
            return counts
        counts[: self.read] = False
        if one.word in ADDED:
            counts[: self.read] = self.spells.time[: self.read] < self.before.span.stays_from(one)
            counts[self.read : self.open] = False
        return counts


@dataclass(frozen=True)
class Timeline:
    """The places of a span, and the rows that may cover them. `happens` says at which places something happens by itself."""

    rows: Rows
    features: list[Aggregate]
    start: int
    places: Places
    happens: Bools
    touched: Bools
    _covered: dict[int, Covered] = field(default_factory=dict)
    _high: dict[timedelta | None, Ints] = field(default_factory=dict)

    @classmethod
    def over(cls, rows: Rows, features: list[Aggregate], start: int, end: int) -> Self:
        """All places of `[start, end)`."""
        spells, versions = rows.spells, rows.versions
        happening = changes(versions, spells, features, start, end)
        stepping = [
            steps(spells, versions[column].is_not_null().to_numpy(), one, start, end)
            for one, column in zip(features, columns_of(features), strict=True)
            if one.time_since
        ]
        places = Places.of([happening, *stepping], rows.keys.height)
        touched = np.zeros(rows.keys.height, np.bool_)
        touched[places.key] = True
        return cls(rows, features, start, places, places.have(*happening), touched[spells.key])

    def covered(self, number: int, one: Aggregate) -> Covered:
        """The rows that count for the feature of a number at some place; features of the same rows and time share them."""
        shared = shared_sums(self.features)[number]
        if shared not in self._covered:
            self._covered[shared] = self._cover(shared, one)
        return self._covered[shared]

    def _cover(self, number: int, one: Aggregate) -> Covered:
        spells, column = self.rows.spells, columns_of(self.features)[number]
        counts = self.touched & self.rows.versions[column].is_not_null().to_numpy()
        ends = spells.end(one.window)
        counts &= self.rows.count_for(one) & (spells.begin < ends) & (ends > self.start)
        row = np.flatnonzero(counts)
        low, high = self._low[row], self._until(one.window)[row]
        some = low < high
        row = row[some]
        base = None
        if self.rows.before and one.word in ADDED:
            base = self.rows.before.base(number, self.rows.theirs[self.places.key])
        values = self.rows.versions[column].gather(row)
        return Covered(row, spells.time[row], values, low[some], high[some], self.places.moment, base)

    @cached_property
    def _low(self) -> Ints:
        return self.places.before(self.rows.spells.key, self.rows.spells.begin)

    def _until(self, window: timedelta | None) -> Ints:
        if window not in self._high:
            spells = self.rows.spells
            self._high[window] = self.places.before(spells.key, spells.end(window))
        return self._high[window]

    def row_places(self) -> Bools:
        """Which places are rows: of those that are steps since a row alone, those whose newest row it is."""
        is_row = self.happens.copy()
        for n, one in enumerate(self.features):
            if one.time_since:
                since, there = passed(self.covered(n, one))
                is_row |= there & (since > 0) & (since % (one.time_since // MICRO) == 0)
        return is_row
