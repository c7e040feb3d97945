"""What the lake and the sources say of a use case's partitions: ingested, not there yet, changed since, or left behind.

A look costs what changed since the one before it: what it found is noted in a record of the lake. The record is no
state; one that is lost costs a look at everything, and changes nothing else.
"""

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import Any, Self

from mlops_assets.ml.provenance.digest import digest
from mlops_assets.spec.calendar import Partition
from mlops_assets.spec.names import online_key
from mlops_assets.stages.errors import NotYetThereError, SourceError
from mlops_assets.stages.ingestion import Awaited, Frontier, Line
from mlops_assets.stages.online import content_of
from mlops_assets.stages.tables import Arrival, Table
from resources.lake.lake import Lake
from resources.lake.names import manifest_names
from resources.moments import read_moment
from resources.records.documents import load_note, online_in
from resources.records.notes import Making

LOOK_AGAIN = timedelta(minutes=5)
"""How long what a function said of its rows is taken to hold; files tell by themselves that they changed."""

READ_AGAIN = 3600
"""Seconds after which a function is asked whether rows that it gave have changed, and files of old rows are looked at."""


def overdue_name(use_case: str) -> str:
    """The record of the partitions that did not arrive within their limit, by table."""
    return f"{use_case}/ingest/overdue"


def owed_name(use_case: str) -> str:
    """The record of the partitions that came late or were read again, until what looks back on them is made again."""
    return f"{use_case}/ingest/owed"


@dataclass
class Looks:
    """The looks of one moment `now` at the tables of a use case."""

    lake: Lake
    use_case: str
    views: Sequence[str]
    corrections: int
    now: datetime
    online: Mapping[str, str]
    stamp: str
    record: dict[str, Any]
    _marks: dict[str, str | None] = field(default_factory=dict)

    @classmethod
    def of(cls, lake: Lake, use_case: str, views: Sequence[str], corrections: int, now: datetime) -> Self:
        """What is online, and what was found before; so many `corrections` of the newest partitions are read again."""
        stored = lake.storage.load_or_none(f"{online_key(use_case)}.json")
        online = online_in(stored.content if stored else None, online_key(use_case))
        stamp = stored.stamp if stored else ""
        return cls(lake, use_case, views, corrections, now, online, stamp, _read(lake, use_case))

    def save(self) -> None:
        """Note what was found, for the next look."""
        text = json.dumps(self.record, sort_keys=True).encode()
        if text != json.dumps(_read(self.lake, self.use_case), sort_keys=True).encode():
            self.lake.storage.write(_record(self.use_case), text, flush=False)

    def frontier(self, line: Line) -> Frontier:
        """How far a line was ingested; partitions that were missing and are there now are owed to those behind them."""
        noted = self.record.setdefault("lines", {}).setdefault(line.cadence, {})
        if noted.get("calendar") != (of := digest(line.calendar.model_dump(mode="json"))):
            noted.clear()
            noted["calendar"] = of
        before = Frontier(noted.get("newest"), tuple(noted.get("gaps", ())), noted.get("there", 0))
        seal = self._seal(line)
        if seal is not None and seal == noted.get("seal"):
            return before
        after = before.moved(line.calendar, self._ingested(line))
        self.owe(line, [name for name in before.gaps if name not in after.gaps])
        noted.update(asdict(after), seal=seal)
        return after

    def _seal(self, line: Line) -> str | None:
        """All that decides what is ingested as one text; None where the storage cannot tell whether it changed."""
        folders = [f for table in line.cut for f in (table.key, manifest_names(table.key)[0])]
        marks = [self.lake.storage.folder_mark(folder) for folder in folders]
        return None if None in marks else digest([self.stamp, marks])

    def _ingested(self, line: Line) -> set[str]:
        """Partitions that every table of the line has; of the use case's own, those that are online too."""
        there = [set(self.lake.partitions(table.key)) for table in line.cut]
        return set.intersection(*there, *([] if line.cadence else [set(self.online)]))

    def awaited(self, line: Line, name: str) -> list[Awaited]:
        """The tables whose rows of a partition are not there yet; a source that is not as declared is for its run to tell."""
        return [waiting for table in line.awaited if (waiting := self._awaited(line, table, name))]

    def _awaited(self, line: Line, table: Table, name: str) -> Awaited | None:
        arrival = _arrival(table)
        noted = self.record.setdefault("awaited", {}).setdefault(table.key, {})
        mark, before = self._mark(line, table), noted.get(name)
        if before is None or before["mark"] != mark or (mark is None and not self._fresh(before["at"])):
            absence = _why(lambda: arrival.awaited(self.lake, table.span(name)))
            before = absence and {
                "mark": mark,
                "at": self.now.isoformat(),
                "outcome": absence.outcome,
                "told": str(absence),
            }
        if before is None:
            noted.pop(name, None)
            return None
        noted[name] = before
        since = line.over_at(name)
        return Awaited(table.key, name, since, since + arrival.alarm_after, before["outcome"], before["told"])

    def _mark(self, line: Line, table: Table) -> str | None:
        """The state of a source's files as one text, read once a look; None of a function.

        Of files with rows of partitions alone that are not looked at any more, the state is that of the hour.
        """
        if table.key not in self._marks:
            noted = self.record.setdefault("files", {}).setdefault(table.key, {})
            if noted.get("hour") != self._hour:
                noted.update(hour=self._hour, all=self._mark_of(table, None))
            newest = self._mark_of(table, self._since(line))
            self._marks[table.key] = newest and digest([newest, noted["all"]])
        return self._marks[table.key]

    def _mark_of(self, table: Table, since: datetime | None) -> str | None:
        try:
            states = _arrival(table).states(self.lake, since)
        except (NotYetThereError, SourceError) as error:
            return digest(str(error))
        return None if states is None else digest(states)

    @property
    def _hour(self) -> int:
        return int(self.now.timestamp() // READ_AGAIN)

    def _since(self, line: Line) -> datetime | None:
        """The start of the oldest partition that is looked at, or waited for; None where all are."""
        noted = self.record["lines"][line.cadence]
        if noted["newest"] is None:
            return None
        oldest = min([*self._corrected(line, noted["newest"]), *noted["gaps"]])
        return line.calendar.partition(oldest).start

    def _corrected(self, line: Line, newest: str) -> list[str]:
        return line.calendar.back(newest, max(self.corrections, 1) - 1)

    def _fresh(self, at: str) -> bool:
        return timedelta() <= self.now - read_moment(at) < LOOK_AGAIN

    def changed(self, line: Line, newest: str | None) -> dict[str, str]:
        """The newest partitions whose source gives other rows than they were made of, with a text that tells the rows apart.

        A table that is written whole changed with the newest partition of all, however few of them are read again.
        """
        cut = [table for table in line.awaited if table.calendar and self.corrections]
        whole = [table for table in line.awaited if not table.calendar]
        if newest is None or not (cut or whole):
            return {}
        names = self._corrected(line, newest)
        seen = digest([names, {table.key: self._mark(line, table) or self._hour for table in (*cut, *whole)}])
        noted = self.record["lines"][line.cadence]
        if noted.get("seen") == seen:
            return {}
        each = {name: self._others([*cut, *(whole if name == newest else [])], name) for name in names}
        marks = {name: digest(rows) for name, rows in each.items() if rows}
        if not marks:
            noted["seen"] = seen
        return marks

    def _others(self, tables: Sequence[Table], name: str) -> dict[str, Any]:
        """What the tables' sources give for a partition where that is not what the lake has."""
        others: dict[str, Any] = {}
        for table in tables:
            part = name if table.calendar else None
            note = load_note(self.lake, Making, table.key, part)
            before = note.fingerprint if note else {}
            try:
                rows = _arrival(table).rows(self.lake, part)
            except NotYetThereError:
                continue
            except SourceError as error:
                others[table.key] = str(error)
                continue
            if self.lake.exists(table.key, part) and any(before.get(k) != v for k, v in rows.items()):
                others[table.key] = dict(rows)
        return others

    def owe(self, line: Line, names: Sequence[str]) -> None:
        """Write down, to last, that what looks back on these partitions is to be looked at once they are ingested."""
        if not names:
            return
        record = self.lake.read_json(owed_name(self.use_case)) or {}
        new = sorted({*record.get(line.cadence, []), *names})
        if new != record.get(line.cadence):
            self.lake.write_json(owed_name(self.use_case), record | {line.cadence: new})

    def owed(self) -> dict[str, list[str]]:
        """Partitions that came late or were read again, by line."""
        return self.lake.read_json(owed_name(self.use_case)) or {}

    def settle(self, owed: Mapping[str, Sequence[str]]) -> None:
        """Write down what is still owed."""
        if owed != self.owed():
            self.lake.write_json(owed_name(self.use_case), dict(owed))

    def behind(self, line: Line, span: Partition) -> list[str]:
        """Ingested partitions of a line that look back on a span and were made from what it was before, in order."""
        there = self._ingested(line)
        names = line.looking_back(span, max(filter(line.calendar.has, there), default=None))
        return [n for n in names if n in there and self._is_behind(line, n)]

    def _is_behind(self, line: Line, name: str) -> bool:
        if any(_is_old(self.lake, table, name if table.calendar else None) for table in line.derived):
            return True
        if line.cadence:
            return False
        now = content_of(self.use_case, line.calendar, self.lake, self.views, name)
        return now != self.online.get(name)

    def forget(self, line: Line, waiting: Collection[str]) -> None:
        """Forget what was found of partitions that are waited for no more."""
        for table in line.awaited:
            noted = self.record.get("awaited", {}).get(table.key, {})
            for name in [name for name in noted if name not in waiting]:
                del noted[name]


def _why(look: Callable[[], NotYetThereError | None]) -> NotYetThereError | None:
    """What a look says; a source that is not as it must be is not waited for."""
    try:
        return look()
    except SourceError:
        return None


def _arrival(table: Table) -> Arrival:
    assert table.arrival is not None
    return table.arrival


def _is_old(lake: Lake, table: Table, name: str | None) -> bool:
    """Whether a partition was made from other content than what it is made from has now."""
    now = table.fingerprint(lake, name)
    if now is not None:
        note = load_note(lake, Making, table.key, name)
        return note is None or note.fingerprint != dict(now)
    if not lake.described(table.key, name):
        return True
    made_of = lake.manifest(table.key, name).made_of or {}
    read = [(f"{dep}@{n}", dep, n) for dep in table.deps for n in table.reads(dep, table.span(name))]
    return any(
        made_of[at] != lake.manifest(dep, n).sha256
        for at, dep, n in read
        if at in made_of and lake.described(dep, n)
    )


def _record(use_case: str) -> str:
    return f"{use_case}/ticks/ingest.json"


def _read(lake: Lake, use_case: str) -> dict[str, Any]:
    """What was found before; a record that cannot be read is none."""
    stored = lake.storage.load_or_none(_record(use_case))
    try:
        record = json.loads(stored.content) if stored else {}
    except ValueError:
        return {}
    return record if isinstance(record, dict) else {}
