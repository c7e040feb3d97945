"""Lake tables: built a partition at a time, examined while in memory, and written only when nothing blocks."""

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import polars as pl

from mlops_assets.ml.provenance.code_digest import code_digest
from mlops_assets.ml.provenance.digest import Fingerprint, digest
from mlops_assets.ml.tables import Column, Expectation, Finding, examine
from mlops_assets.spec.calendar import Calendar, Partition
from mlops_assets.stages.errors import NotYetThereError
from mlops_assets.stages.held import bounds_noted
from resources.lake.briefs import hashes_of
from resources.lake.lake import Lake, Manifest
from resources.lake.observed import ObservedLake
from resources.lake.pushed_files import fold

WHOLE_TABLE = Partition("", *(None, None))  # type: ignore[arg-type]


EVENT_TIME = "event_timestamp"
"""A table that has it among its keys is a feature table, written sorted by (keys, event timestamp), as joins read it fastest."""


@dataclass(frozen=True)
class Rows:
    """What a partition is made of, with `notes` (JSON values) that go into its manifest and onto its page."""

    frame: pl.DataFrame
    notes: Mapping[str, Any] = field(default_factory=dict)


Build = Callable[[Lake, Partition], pl.DataFrame | Rows]


def nothing_else(lake: Lake, name: str | None) -> Fingerprint:
    """A table that reads nothing from outside of the lake."""
    return {}


@dataclass(frozen=True)
class Arrival:
    """How the rows of a table come from outside of the lake: how late they may be, and how to see whether they are there.

    `states(lake, since)` gives what changes whenever the source's files may have, None where only reading tells; with
    `since`, those that had older rows alone when last looked at stand by their names. `awaited(lake, partition)` gives why its rows are still to be waited for, None where they are there; `rows(lake, name)` what a partition would be made
    of now, in the terms of `Table.outside`.
    """

    lateness: timedelta
    alarm_after: timedelta
    states: Callable[[Lake, datetime | None], Any]
    awaited: Callable[[Lake, Partition], NotYetThereError | None]
    rows: Callable[[Lake, str | None], Fingerprint]


class TableError(Exception):
    """A table that cannot be built from what the lake holds."""


@dataclass(frozen=True)
class Table:
    """One lake table: how its rows are made, what it promises, and what it is made from.

    `build(lake, partition)` gives the rows of one partition; `calendar` None is a table that is written whole. `deps`
    maps upstream tables to how long before a partition begins it reads them (None: the same partition, or a table that
    is written whole), `calendars` those that have another calendar to theirs. `code` names what makes the rows (`module:name`) and `files` gives the hashes of what it reads beside
    `deps`: a table that gives `code` is made anew only if one of these changes, or what `outside(lake, partition)` gives,
    digests of what one partition is made of that is not in the lake. `appearance` goes to the asset as it is: group, kinds, owners, tags, description. `columns` is what the
    catalogue says of each column. `arrival` is of a table that a declared source is read for, `after` the keys of assets that are no lake tables and are made before it.
    """

    key: str
    build: Build
    expected: Expectation
    calendar: Calendar | None = None
    deps: Mapping[str, timedelta | None] = field(default_factory=dict)
    appearance: Mapping[str, Any] = field(default_factory=dict)
    columns: Mapping[str, Column] = field(default_factory=dict)
    code: Sequence[str] = ()
    files: Callable[[], Mapping[str, str]] = dict
    calendars: Mapping[str, Calendar] = field(default_factory=dict)
    outside: Callable[[Lake, str | None], Fingerprint] = nothing_else
    arrival: Arrival | None = None
    after: Sequence[str] = ()

    def span(self, name: str | None) -> Partition:
        """The partition of this name; for a table that is written whole, one without a name or an end."""
        return self.calendar.partition(name) if self.calendar and name else WHOLE_TABLE

    def reads(self, table: str, span: Partition) -> list[str]:
        """Names of the partitions of an upstream table that a partition is made from, in order, there or not."""
        if not self.calendar or not span.name:
            return []
        theirs, back = self.calendars.get(table, self.calendar), self.deps.get(table) or timedelta()
        return theirs.covering(self.calendar.days_before(span.start, back / timedelta(days=1)), span.end)

    @property
    def code_version(self) -> str | None:
        """Digest of the code and the promises, or None where the code is not named."""
        rules = digest([repr(self.expected), sorted(self.deps.items())])
        return f"{code_digest(self.code)[:12]}-{rules[:12]}" if self.code else None

    def fingerprint(self, lake: Lake, name: str | None) -> Fingerprint | None:
        """What decides a partition's content; None where that is not known."""
        if self.code_version is None:
            return None
        read = {table: self._read_of(lake, table, self.span(name)) for table in self.deps}
        partition, outside = digest(self.span(name)), self.outside(lake, name)
        return {"code": self.code_version, "partition": partition, **read, **self.files(), **outside}

    def _read_of(self, lake: Lake, table: str, span: Partition) -> str:
        names, there = self.reads(table, span), hashes_of(lake, table)
        return digest({n: there[n] for n in [n for n in names if n in there] or there})


def build_partition(lake: Lake, table: Table, name: str | None) -> tuple[list[Finding], Manifest | None]:
    """Build one partition, examine it, and write it if every claim that blocks holds; pushed rows are then one file.

    Raises TableError, with the tables and the column, where what it is made from is not as it must be.
    """
    span, observed = table.span(name), ObservedLake(root=lake.root)
    try:
        built = table.build(observed, span)
    except pl.exceptions.PolarsError as error:
        raise TableError(
            f"{table.key}{f' {name}' if name else ''} cannot be made from {', '.join(table.deps) or 'its files'}: "
            f"{str(error).splitlines()[0]}. Nothing was written; materialize what it is made from again."
        ) from error
    rows = built if isinstance(built, Rows) else Rows(built)
    frame = rows.frame
    if EVENT_TIME in table.expected.keys and set(table.expected.keys) <= set(frame.columns):
        frame = frame.sort(table.expected.keys, maintain_order=True)
    findings = examine(frame, table.expected, span.end)
    if not all(finding.holds for finding in findings if finding.blocking):
        return findings, None
    notes = {**rows.notes, **(bounds_noted(span) if span.name else {})}
    written = lake.write(
        table.key,
        frame,
        span.name or None,
        table.expected.keys,
        notes or None,
        observed.was_read,
        keep=True,
    )
    if EVENT_TIME in table.expected.keys:
        fold(lake.folder(table.key), table.expected.keys)
    return findings, written


def refusals(table: str, findings: Mapping[str, Sequence[Finding]]) -> list[str]:
    """A line for each partition that was not written: the table, the claim it broke, and the columns."""
    return [
        f"{table} {'' if partition == table else f'{partition} '}breaks {finding.claim}: {finding.reason}"
        for partition, claims in findings.items()
        for finding in claims
        if finding.blocking and not finding.holds and "not examined" not in finding.numbers
    ]


def combined(manifests: Iterable[Manifest]) -> str:
    """One hash of one or several partitions' contents."""
    hashes = [manifest.sha256 for manifest in manifests]
    return hashes[0] if len(hashes) == 1 else hashlib.sha256("".join(hashes).encode()).hexdigest()


def recent(lake: Lake, table: str, calendar: Calendar, span: Partition, back: timedelta) -> pl.DataFrame:
    """Rows of the partitions of a table that overlap a span or what lies so long before it, of those that there are.

    `calendar` is the table's own. Where it is the span's too, the partition of the span itself must exist; one of a
    coarser table may not be over yet.
    """
    names = calendar.covering(calendar.days_before(span.start, back / timedelta(days=1)), span.end)
    same = calendar.has(span.name) and calendar.partition(span.name) == span
    there = {*lake.partitions(table), *([span.name] if same else [])}
    return lake.read(table, [name for name in names if name in there])
