"""The writer of the serving log: a queue, and a thread that turns it into parquet files behind the predictions' back.

Under `<folder>/<model>/<day>/` lies one file for every `EVERY_S` seconds in which requests came. A writer merges its
own files by `MERGE`, or by fewer that have `MERGED_ROWS` rows together, and what is left of a day once the day is over:
a day leaves a few hundred files a writer, or one for so many rows, and a merge holds no more of them in memory. SIGKILL loses what came in the last `EVERY_S` seconds and the file being written; an orderly end loses
nothing. A writer killed while it merges leaves the merged file and its parts: readers take each request once.
"""

import logging
import threading
import uuid
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import polars as pl

from resources.features.service import DescribedService
from resources.lake.lake import write_frame
from resources.serving.gathered import Gathered, file_of, key_of
from resources.serving.log import DEFINITIONS, SHADOWS, ServedBatch
from resources.storage.contained import below
from resources.storage.durable import sweep, write_text

LOG = logging.getLogger(__name__)
EVERY_S = 2.0
MOST_ROWS = 5_000
MOST_WAITING = 50_000
MERGE = 256
MERGED_ROWS = 100_000


class ServingLog:
    """`append` returns at once, a thread writes, `close` returns when everything is on disk.

    What cannot be written waits and is tried again. Once `most_waiting` vectors wait, further ones are counted as
    lost and predictions go on: a full disk must not stop them.
    """

    def __init__(
        self,
        folder: Path,
        every_s: float = EVERY_S,
        most_rows: int = MOST_ROWS,
        most_waiting: int = MOST_WAITING,
        merge: int = MERGE,
    ) -> None:
        self.folder, self.every_s, self.merge = folder, every_s, merge
        self.most_rows, self.most_waiting = most_rows, most_waiting
        self.written = self.waiting = self.lost = 0
        self._open: dict[tuple[Any, ...], Gathered] = {}
        self._failed: list[Gathered] = []
        self._changed, self._closed = threading.Condition(), False
        self._files = _Files(folder, merge)
        self._thread = threading.Thread(target=self._run, name="serving-log", daemon=True)
        self._thread.start()

    def append(self, answered: ServedBatch) -> None:
        """Hand over one batch of answers."""
        with self._changed:
            if self._closed or self.waiting + answered.rows > self.most_waiting:
                self.lost += answered.rows
                LOG.error("%s served vectors are not logged: %s", answered.rows, self.status())
                return
            key = key_of(answered)
            if (gathered := self._open.get(key)) is None:
                gathered = self._open[key] = Gathered(answered)
            gathered.add(answered)
            self.waiting += answered.rows
            if self.waiting >= self.most_rows:
                self._changed.notify()

    def close(self) -> None:
        """Write what waits and end; what comes later is counted as lost."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    def status(self) -> dict[str, int]:
        """Vectors written, waiting and lost since the start."""
        return {"written": self.written, "waiting": self.waiting, "lost": self.lost}

    def _run(self) -> None:
        sweep(self.folder)
        failed = False
        while not self._closed:
            with self._changed:
                if not self._closed and (failed or self.waiting < self.most_rows):
                    self._changed.wait(self.every_s)
            failed = not self._write_waiting()
            self._files.merge_due()
        if not self._write_waiting():
            LOG.error("the serving log ends without what could not be written: %s", self.status())

    def _write_waiting(self) -> bool:
        """Write all that waits; what fails stays and is tried again. False where something failed."""
        with self._changed:
            taken = [*self._failed, *self._open.values()]
            self._failed, self._open = [], {}
        rows, failed = sum(one.rows for one in taken), list[Gathered]()
        for group in grouped(taken):
            try:
                self._files.write(group)
                for one in group:
                    one.forget()
            except Exception:
                LOG.exception("%s served vectors cannot be written yet", sum(one.rows for one in group))
                failed += group
        with self._changed:
            self._failed = failed
            done = rows - sum(one.rows for one in failed)
            self.written, self.waiting = self.written + done, self.waiting - done
        return not failed


def grouped(waiting: Iterable[Gathered]) -> list[list[Gathered]]:
    """What goes into one file each."""
    groups: dict[tuple[Any, ...], list[Gathered]] = defaultdict(list)
    for gathered in waiting:
        groups[file_of(gathered.first)].append(gathered)
    return list(groups.values())


class _Files:
    """The files of one writer: named by time and writer, merged by the writer alone."""

    def __init__(self, folder: Path, merge: int) -> None:
        self.folder, self.merge = folder, merge
        self.writer, self.number = uuid.uuid4().hex[:8], 0
        self.parts: dict[Path, dict[Path, int]] = defaultdict(dict)
        """By day the files that are not merged yet, with their rows."""
        self.known: set[Path] = set()

    def write(self, group: list[Gathered]) -> None:
        first = group[0].first
        self._describe(self.folder / first.model / DEFINITIONS, first.service)
        folder = f"{first.model}/{SHADOWS}" if first.shadow else first.model
        day = below(self.folder, f"{folder}/{first.served_at:%Y-%m-%d}")
        path = day / self._name(f"{first.served_at:%H%M%S%f}")
        frame = pl.concat([one.frame() for one in group], how="diagonal_relaxed")
        write_frame(path, frame)
        self.parts[day][path] = frame.height

    def merge_due(self) -> None:
        """Merge the parts of a day that are many, and of a day after which another has begun."""
        newest = max((day.name for day in self.parts), default="")
        for day, parts in list(self.parts.items()):
            many = len(parts) >= self.merge or sum(parts.values()) >= MERGED_ROWS
            if many or day.name < newest:
                del self.parts[day]
                self._merge(list(parts))

    def _merge(self, parts: list[Path]) -> None:
        """Write the rows of some parts into one file, then remove the parts; they stay as they are if that fails."""
        if len(parts) < 2:
            return
        try:
            frame = pl.concat([pl.read_parquet(part, glob=False) for part in parts], how="diagonal_relaxed")
            write_frame(parts[0].with_name(self._name(parts[0].name.split("-")[0])), frame)
        except Exception:
            LOG.exception("%s files of the serving log stay unmerged", len(parts))
            return
        for part in parts:
            part.unlink(missing_ok=True)

    def _name(self, time: str) -> str:
        self.number += 1
        return f"{time}-{self.writer}-{self.number:06d}.parquet"

    def _describe(self, folder: Path, service: DescribedService) -> None:
        path = folder / f"{service.definition}.json"
        if path not in self.known:
            write_text(path, service.to_json())
            self.known.add(path)
