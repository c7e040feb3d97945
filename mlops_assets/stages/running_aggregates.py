"""What the rows before a partition come to, kept in the lake from one partition to the next.

A file is named by the partition and by the digest of all that it was made of: the code, the declaration, and the raw
partitions with their hashes. So one that a correction or a late row has made stale is never found, a run that is killed
leaves a whole file or none, and two runs that make the same one write the same bytes.
"""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import polars as pl

from mlops_assets.ml.aggregates.running import Running, Span
from mlops_assets.ml.aggregates.versions import TIME, Shape, versions_of
from mlops_assets.ml.provenance.code_digest import code_digest
from mlops_assets.ml.provenance.digest import digest
from mlops_assets.spec.aggregates import Aggregates
from mlops_assets.spec.calendar import Calendar, Partition
from resources.lake.lake import Lake, parquet
from resources.lake.observed import partition_name

CODE = ("mlops_assets.stages.running_aggregates:History",)
KEPT_BEFORE, KEPT_NEWEST = 4, 4
"""Files that stay: those of the partitions before one that is made, and of the newest of all."""

TAKEN_TOGETHER = 32
"""Raw partitions that are read at once where there is nothing to go on from."""

PART = "_part"


@dataclass(frozen=True)
class History:
    """The raw rows behind a view of aggregates: `late` is how long before a partition rows may be that become known in it."""

    lake: Lake
    raw: str
    view: str
    asked: Aggregates
    shape: Shape
    calendar: Calendar
    late: timedelta
    _hashes: dict[str, str] = field(default_factory=dict)

    def settled(self, span: Partition) -> datetime:
        """The moment before which no row changes any more once a partition begins: where a raw partition begins."""
        if span.start - self.late <= self.calendar.first.start:
            return self.calendar.first.start
        return self.calendar.at(span.start - self.late).start

    def before(self, span: Partition) -> Running:
        """What the settled rows come to before a partition: as kept, moved on from an earlier one, or made anew."""
        kept = self._load(span)
        if kept is None:
            kept = self._made(span)
            self._store(span, kept)
        self._tell(span)
        return kept

    def rows(self, span: Partition) -> pl.DataFrame:
        """The raw rows that are not settled before a partition, its own, and those that leave a window in it."""
        windows = {one.window for one in self.asked.features.values() if one.window}
        leaving = [n for w in windows for n in self.names(span.start - w, span.end - w)]
        own = self.names(self.settled(span), span.end)
        return self.read(sorted({*leaving, *own, span.name}))

    def names(self, start: datetime, end: datetime) -> list[str]:
        """Raw partitions that there are and that overlap a span."""
        return [name for name in self.calendar.covering(start, end) if name in self.hashes]

    def read(self, names: Sequence[str]) -> pl.DataFrame:
        """The columns of raw partitions that the aggregates are made of."""
        return self.lake.read(self.raw, names, self.shape.needs(self.asked))

    @property
    def hashes(self) -> Mapping[str, str]:
        """The raw partitions there are with the hashes of their content."""
        if not self._hashes:
            there = self.lake.partitions(self.raw)
            self._hashes.update({name: self.lake.manifest(self.raw, name).sha256 for name in there})
        return self._hashes

    def _span(self, span: Partition) -> Span:
        return Span.of(span.start, span.end, self.settled(span))

    def _behind(self, span: Partition) -> list[str]:
        """The raw partitions of which settled rows may count in a partition."""
        first, longest = self.calendar.first.start, self.asked.longest
        since = first if longest is None else max(span.start - longest, first)
        return self.names(since, self.settled(span))

    def _name(self, span: Partition) -> str:
        made_of = {name: self.hashes[name] for name in self._behind(span)}
        decides = [
            self.asked.model_dump(mode="json"),
            list(self.shape.row),
            self.shape.time,
            self.shape.known,
        ]
        of = digest([code_digest(CODE), decides, f"{span}", f"{self.late}", made_of])
        return f"{self._folder}/{span.name}.{of[:24]}.parquet"

    @property
    def _folder(self) -> str:
        return f"{self.view}/running"

    def _load(self, span: Partition) -> Running | None:
        stored = self.lake.storage.load_or_none(self._name(span))
        if stored is None:
            return None
        both = pl.read_parquet(io.BytesIO(stored.content))
        rows, sums = (both.filter(pl.col(PART) == part).drop(PART) for part in (0, 1))
        own = [name for name in both.columns if name.startswith(("_count", "_digit"))]
        return Running(self.asked.key, self._span(span), rows.drop(own), sums.select(*self.asked.key, *own))

    def _store(self, span: Partition, made: Running) -> None:
        parts = [
            one.with_columns(pl.lit(n, pl.Int8).alias(PART)) for n, one in enumerate((made.rows, made.sums))
        ]
        name, storage = self._name(span), self.lake.storage
        storage.write(name, parquet(pl.concat(parts, how="diagonal")))
        there = {file: file.split(".")[0] for file in storage.below(self._folder).names(ending=".parquet")}
        ended = sorted({*there.values()})
        kept = {*[one for one in ended if one <= span.name][-KEPT_BEFORE:], *ended[-KEPT_NEWEST:]}
        for file, partition in there.items():
            if partition not in kept or (partition == span.name and not name.endswith(file)):
                storage.delete(f"{self._folder}/{file}")

    def _made(self, span: Partition) -> Running:
        """Moved on from the newest earlier partition of which it is kept, else made of all rows that may count."""
        for name in reversed(self.calendar.back(span.name, KEPT_BEFORE)[:-1]):
            if (earlier := self._load(self.calendar.partition(name))) is not None:
                return self._moved(earlier, self.calendar.partition(name), span)
        now, behind = self._span(span), self._behind(span)
        made = Running.nothing(self.asked.key, now, self._versions([]))
        for at in range(0, len(behind), TAKEN_TOGETHER):
            some = self._versions(behind[at : at + TAKEN_TOGETHER])
            made = made.moved(some, [*self.asked.features.values()], now, anew=True)
        return made

    def _moved(self, earlier: Running, was: Partition, now: Partition) -> Running:
        windows = {one.window for one in self.asked.features.values() if one.window}
        names = {*self.names(self.settled(was), self.settled(now))}
        for window in windows:
            names |= {*self.names(was.end - window, now.end - window)}
        return earlier.moved(self._versions(sorted(names)), [*self.asked.features.values()], self._span(now))

    def _versions(self, names: Sequence[str]) -> pl.DataFrame:
        rows = self.read(names) if names else self.read([next(iter(self.hashes))]).clear()
        return versions_of(rows, self.asked, self.shape).sort(TIME, maintain_order=True)

    def _tell(self, span: Partition) -> None:
        """Say of what the kept rows were made, as if they had been read."""
        made_of = {partition_name(self.raw, name): self.hashes[name] for name in self._behind(span)}
        self.lake.rests_on(made_of)
