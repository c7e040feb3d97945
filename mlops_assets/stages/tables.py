"""Lake tables: built a week at a time, examined while in memory, and written only when nothing blocks."""

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from mlops_assets.ml.provenance.code_digest import code_digest
from mlops_assets.ml.provenance.digest import Fingerprint, digest
from mlops_assets.ml.tables import Column, Expectation, Finding, examine
from mlops_assets.spec.model import Weeks
from mlops_assets.spec.weeks import Week, week, weeks_back
from resources.lake.lake import Lake, Manifest
from resources.lake.observed import ObservedLake
from resources.lake.pushed_files import fold

WHOLE_TABLE = Week("", *(None, None))  # type: ignore[arg-type]


EVENT_TIME = "event_timestamp"
"""A table that has it among its keys is a feature table, written sorted by (keys, event timestamp), as joins read it fastest."""


Build = Callable[[Lake, Week], pl.DataFrame]


class TableError(Exception):
    """A table that cannot be built from what the lake holds."""


@dataclass(frozen=True)
class Table:
    """One lake table: how its rows are made, what it promises, and what it is made from.

    `build(lake, week)` gives the rows of one week; `weeks` None is a table that is written whole. `deps` maps
    upstream tables to how many earlier weeks a week reads (None: the same week, or a table that is not cut into
    weeks). `code` names what makes the rows (`module:name`) and `files` gives the hashes of what it reads beside
    `deps`: a table that gives `code` is made anew only if one of these changes. `appearance` goes to the asset as it is: group, kinds, owners, tags, description. `columns` is what the
    catalogue says of each column.
    """

    key: str
    build: Build
    expected: Expectation
    weeks: Weeks | None = None
    deps: Mapping[str, int | None] = field(default_factory=dict)
    appearance: Mapping[str, Any] = field(default_factory=dict)
    columns: Mapping[str, Column] = field(default_factory=dict)
    code: Sequence[str] = ()
    files: Callable[[], Mapping[str, str]] = dict

    def span(self, name: str | None) -> Week:
        """The week of this name; for a table that is written whole, a week without a name or an end."""
        return week(self.weeks, name) if self.weeks and name else WHOLE_TABLE

    @property
    def code_version(self) -> str | None:
        """Digest of the code and the promises, or None where the code is not named."""
        rules = digest([repr(self.expected), sorted(self.deps.items())])
        return f"{code_digest(self.code)[:12]}-{rules[:12]}" if self.code else None

    def fingerprint(self, lake: Lake, name: str | None) -> Fingerprint | None:
        """What decides a partition's content; None where that is not known."""
        if self.code_version is None:
            return None
        read = {table: self._read_of(lake, table, name, back) for table, back in self.deps.items()}
        return {"code": self.code_version, "week": digest(self.span(name)), **read, **self.files()}

    def _read_of(self, lake: Lake, table: str, name: str | None, back: int | None) -> str:
        names = weeks_back(self.weeks, name, back or 0) if self.weeks and name else []
        there = set(lake.partitions(table))
        found = [n for n in names if n in there] or sorted(there)
        return digest({n: lake.manifest(table, n).sha256 for n in found})


def build_partition(lake: Lake, table: Table, name: str | None) -> tuple[list[Finding], Manifest | None]:
    """Build one partition, examine it, and write it if every claim that blocks holds; pushed rows are then one file.

    Raises TableError, with the tables and the column, where what it is made from is not as it must be.
    """
    span, observed = table.span(name), ObservedLake(root=lake.root)
    try:
        frame = table.build(observed, span)
    except pl.exceptions.PolarsError as error:
        raise TableError(
            f"{table.key}{f' {name}' if name else ''} cannot be made from {', '.join(table.deps) or 'its files'}: "
            f"{str(error).splitlines()[0]}. Nothing was written; materialize what it is made from again."
        ) from error
    if EVENT_TIME in table.expected.keys and set(table.expected.keys) <= set(frame.columns):
        frame = frame.sort(table.expected.keys, maintain_order=True)
    found = examine(frame, table.expected, span.end)
    if not all(finding.holds for finding in found if finding.blocking):
        return found, None
    written = lake.write(
        table.key, frame, span.name or None, table.expected.keys, made_of=observed.was_read, keep=True
    )
    if EVENT_TIME in table.expected.keys:
        fold(lake.folder(table.key), table.expected.keys)
    return found, written


def refusals(table: str, findings: Mapping[str, Sequence[Finding]]) -> list[str]:
    """A line for each partition that was not written: the table, the claim it broke, and the columns."""
    return [
        f"{table} {'' if partition == table else f'{partition} '}breaks {finding.claim}: {finding.reason}"
        for partition, found in findings.items()
        for finding in found
        if finding.blocking and not finding.holds and "not examined" not in finding.numbers
    ]


def combined(manifests: Iterable[Manifest]) -> str:
    """One hash of one or several partitions' contents."""
    hashes = [manifest.sha256 for manifest in manifests]
    return hashes[0] if len(hashes) == 1 else hashlib.sha256("".join(hashes).encode()).hexdigest()


def recent(lake: Lake, table: str, weeks: Weeks, span: Week, back: int) -> pl.DataFrame:
    """Rows of a week and of those of the `back` weeks before it that exist; the week itself must."""
    there = set(lake.partitions(table)) | {span.name}
    return lake.read(table, [name for name in weeks_back(weeks, span.name, back) if name in there])
