"""What the rows before a partition come to, kept in the lake from one partition to the next.

A file is named by the partition and by the digest of all that it was made of: the code, the declaration, and the raw
partitions with their hashes. So one that a correction or a late row has made stale is never found, a run that is killed
leaves a whole file or none, and two runs that make the same one write the same bytes.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property

import polars as pl

from mlops_assets.ml.aggregates.places import micros
from mlops_assets.ml.aggregates.running import Running, Span
from mlops_assets.ml.aggregates.timeline import aggregate_versions
from mlops_assets.ml.aggregates.versions import TIME, Shape, versions_of
from mlops_assets.ml.provenance.code_digest import code_digest
from mlops_assets.ml.provenance.digest import digest
from mlops_assets.spec.aggregates import Aggregate, Aggregates
from mlops_assets.spec.calendar import Calendar, Partition
from resources.lake.briefs import hashes_of
from resources.lake.lake import Lake
from resources.lake.observed import partition_name
from resources.storage.errors import AbsentError

KEPT_BEFORE, KEPT_NEWEST = 4, 4
"""Files that stay: those of the partitions before one that is made, and of the newest of all."""

TAKEN_TOGETHER = 32
"""Raw partitions that are read at once where there is nothing to go on from."""

ENDING = ".running"
INSTANT = timedelta(microseconds=1)


@dataclass(frozen=True)
class History:
    """The raw rows behind a view of aggregates: `late` is how long before a partition rows may be that become known in it."""

    lake: Lake
    raw: str
    view: str
    aggregates: Aggregates
    shape: Shape
    calendar: Calendar
    late: timedelta
    code: Sequence[str]

    def rows(self, span: Partition) -> pl.DataFrame:
        """The rows of the view in a partition.

        They follow from what the settled rows come to before it, as kept, moved on from an earlier partition, or made anew; from
        the rows that are not settled then; and from those that leave a window in it.
        """
        name = self._name(span)
        sums = self._load(name, span)
        earlier = None if sums else next(self._earlier(span), None)
        versions = self._versions(self._needed(span, earlier[0] if earlier else None))
        if sums is None:
            now = self._span(span)
            sums = earlier[1].moved(versions, self.features, now) if earlier else self._anew(span)
            self._store(name, span, sums)
        self._tell(span)
        own = versions.filter(self._counts_beside(span))
        return aggregate_versions(own, self.aggregates, self.shape, span.start, span.end, sums)

    def _needed(self, span: Partition, was: Partition | None) -> list[str]:
        """The raw partitions that a partition is made of, and those by which what is kept of an earlier one moves on to it."""
        needed = {*self.names(self.settled(span), span.end), span.name, *self._leaving(span.start, span.end)}
        if was:
            needed |= {*self.names(self.settled(was), self.settled(span)), *self._leaving(was.end, span.end)}
        return sorted(needed)

    def settled(self, span: Partition) -> datetime:
        """The moment before which no row changes any more once a partition begins: where a raw partition begins."""
        if span.start - self.late <= self.calendar.first.start:
            return self.calendar.first.start
        return self.calendar.at(span.start - self.late).start

    def names(self, start: datetime, end: datetime) -> list[str]:
        """Raw partitions that there are and that overlap a span; names sort as time."""
        first, over = self.calendar.first.start, self.calendar.over
        start, end = max(start, first), min(end, over) if over else end
        if start >= end:
            return []
        low, high = self.calendar.at(start).name, self.calendar.at(end - INSTANT).name
        return self._there[bisect_left(self._there, low) : bisect_right(self._there, high)]

    def read(self, names: Sequence[str]) -> pl.DataFrame:
        """The columns of raw partitions that the aggregates are made of."""
        return self.lake.read(self.raw, names, self.shape.needs(self.aggregates))

    @cached_property
    def hashes(self) -> dict[str, str]:
        """The raw partitions there are with the hashes of their content."""
        return hashes_of(self.lake, self.raw)

    @property
    def features(self) -> list[Aggregate]:
        """The aggregates in their order."""
        return [*self.aggregates.features.values()]

    @cached_property
    def _there(self) -> list[str]:
        return [name for name in self.hashes if self.calendar.has(name)]

    @cached_property
    def _windows(self) -> list[timedelta]:
        return sorted({one.window for one in self.features if one.window})

    def _leaving(self, start: datetime, end: datetime) -> set[str]:
        """Raw partitions of which rows leave a window in a span."""
        return {name for window in self._windows for name in self.names(start - window, end - window)}

    def _counts_beside(self, span: Partition) -> pl.Expr:
        """Which rows are not in what is kept, or leave it in a partition."""
        time = pl.col(TIME)
        open_ = time >= micros(self.settled(span))
        leaving = [
            (time >= micros(span.start - window)) & (time < micros(span.end - window))
            for window in self._windows
        ]
        return pl.any_horizontal(open_, *leaving)

    def _span(self, span: Partition) -> Span:
        return Span.of(span.start, span.end, self.settled(span))

    def _behind(self, span: Partition) -> list[str]:
        """The raw partitions of which settled rows may count in a partition."""
        first, longest = self.calendar.first.start, self.aggregates.longest
        since = first if longest is None else max(span.start - longest, first)
        return self.names(since, self.settled(span))

    def _name(self, span: Partition) -> str:
        made_of = {name: self.hashes[name] for name in self._behind(span)}
        decides = [
            self.aggregates.model_dump(mode="json"),
            list(self.shape.row),
            self.shape.time,
            self.shape.known,
        ]
        of = digest([code_digest(self.code), decides, f"{span}", f"{self.late}", made_of])
        return f"{self._folder}/{span.name}.{of[:24]}{ENDING}"

    @property
    def _folder(self) -> str:
        return f"{self.view}/running"

    def _load(self, name: str, span: Partition) -> Running | None:
        try:
            content = self.lake.storage.read(name)
        except AbsentError:
            return None
        return Running.of_content(self.aggregates.key, self._span(span), content)

    def _earlier(self, span: Partition) -> Iterator[tuple[Partition, Running]]:
        """What is kept of partitions before, the newest first."""
        for name in reversed(self.calendar.back(span.name, KEPT_BEFORE)[:-1]):
            partition = self.calendar.partition(name)
            if (running := self._load(self._name(partition), partition)) is not None:
                yield partition, running

    def _store(self, name: str, span: Partition, running: Running) -> None:
        storage = self.lake.storage
        storage.write(name, running.content())
        there = {file: file.split(".")[0] for file in storage.below(self._folder).names()}
        ended = sorted({*there.values()})
        partitions = {*[one for one in ended if one <= span.name][-KEPT_BEFORE:], *ended[-KEPT_NEWEST:]}
        for file, partition in there.items():
            if partition not in partitions or (partition == span.name and not name.endswith(file)):
                storage.delete(f"{self._folder}/{file}")

    def _anew(self, span: Partition) -> Running:
        """Made of all rows that may count, some partitions at a time."""
        now, behind = self._span(span), self._behind(span)
        running = Running.nothing(self.aggregates.key, now, self._versions([]), self.features)
        for at in range(0, len(behind), TAKEN_TOGETHER):
            some = self._versions(behind[at : at + TAKEN_TOGETHER])
            running = running.moved(some, self.features, now, anew=True)
        return running

    def _versions(self, names: Sequence[str]) -> pl.DataFrame:
        rows = self.read(names) if names else self.read([next(iter(self.hashes))]).clear()
        return versions_of(rows, self.aggregates, self.shape)

    def _tell(self, span: Partition) -> None:
        """Say of what the kept rows were made, as if they had been read."""
        made_of = {partition_name(self.raw, name): self.hashes[name] for name in self._behind(span)}
        self.lake.rests_on(made_of)
