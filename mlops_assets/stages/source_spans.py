"""Between which moments the rows of each file of a source lie, so that only files are read that may have rows of a span.

What was found is noted in a record of the lake. The record is no state: every entry says of which file, as it stood, it
is true, so one that is old or lost costs a look at the files, and changes nothing else.
"""

import heapq
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from mlops_assets.ml.provenance.digest import digest
from mlops_assets.spec.table import TableSpec
from resources.lake.lake import Lake
from resources.storage.files import ForeignFile

SAVE_AFTER = 200
"""Files after which what was found is saved, so that a look that is cut off goes on where it was."""

ALWAYS_LOOKED_AT = 100
"""Files of the newest rows whose state every look asks for."""

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
Bounds = tuple[int, int]

_PARSED: dict[str, tuple[str, dict[str, Any]]] = {}
"""The record of each table as it was last read here: its stamp, and what it says."""


@dataclass
class Spans:
    """The files of one table; `of` finds the first and last moment of a file's rows, None where it has to be read always."""

    lake: Lake
    table: str
    spec: TableSpec
    of: Callable[[ForeignFile], Bounds | None]
    _files: dict[str, Any] = field(default_factory=dict)
    _new: int = 0

    def inside(
        self, files: Sequence[ForeignFile], start: datetime | None, end: datetime | None
    ) -> list[ForeignFile]:
        """Those that may have rows of a span; all where it has no limits."""
        if start is None or end is None or len(files) < 2:
            return list(files)
        low, high = ((moment - EPOCH) // MICROSECOND for moment in (start, end))
        with self._noted():
            return [file for file in files if _meets(self._bounds(file), low, high)]

    def newest(self, files: Sequence[ForeignFile]) -> datetime | None:
        """The newest moment of any row, of the files of which it can be told."""
        with self._noted():
            known = [bounds[1] for file in files if (bounds := self._bounds(file))]
        return EPOCH + max(known) * MICROSECOND if known else None

    def before(self, moment: datetime) -> Callable[[str], bool]:
        """Whether a file, by its address, had rows of before a moment alone when it was last looked at.

        Never of the files with the newest rows, to which more may be added.
        """
        newest = {address: bounds[1] for address, (_, bounds) in self._read().items() if bounds}
        last = heapq.nlargest(ALWAYS_LOOKED_AT, newest.values())
        limit = min((moment - EPOCH) // MICROSECOND, last[-1] if last else 0)
        return lambda address: newest.get(address, limit) < limit

    @contextmanager
    def _noted(self) -> Iterator[None]:
        self._files = self._read()
        try:
            yield
        finally:
            if self._new:
                self._save()

    def _bounds(self, file: ForeignFile) -> Bounds | None:
        before = self._files.get(file.address)
        if before is None or before[0] != list(file.state[1:]):
            bounds = self.of(file)
            self._files[file.address] = [list(file.state[1:]), list(bounds) if bounds else None]
            self._new += 1
            if self._new >= SAVE_AFTER:
                self._save()
            return bounds
        return before[1]

    @property
    def _name(self) -> str:
        use_case, _, table = self.table.partition("/")
        return f"{use_case}/ticks/files of {table}.json"

    @property
    def _decides(self) -> str:
        spec = self.spec
        return digest(
            [
                spec.time,
                spec.timezone,
                spec.source.model_dump(mode="json"),
                str(spec.columns.get(str(spec.time))),
            ]
        )

    def _read(self) -> dict[str, Any]:
        """What is noted; a record that cannot be read, or is of another declaration, says nothing."""
        stored, where = self.lake.storage.load_or_none(self._name), self.lake.storage.at(self._name)
        if stored is None:
            return {}
        if where not in _PARSED or _PARSED[where][0] != stored.stamp:
            _PARSED[where] = stored.stamp, _parsed(stored.content)
        said = _PARSED[where][1]
        return (
            said["files"] if said.get("of") == self._decides and isinstance(said.get("files"), dict) else {}
        )

    def _save(self) -> None:
        text = json.dumps({"of": self._decides, "files": self._files})
        self.lake.storage.write(self._name, text.encode(), flush=False)
        self._new = 0


def _parsed(content: bytes) -> dict[str, Any]:
    try:
        record = json.loads(content)
    except ValueError:
        return {}
    return record if isinstance(record, dict) else {}


def _meets(bounds: Bounds | None, low: int, high: int) -> bool:
    return bounds is None or (bounds[0] < high and bounds[1] >= low)
