"""The rows that were pushed to one table, as its files have them; tells which events offline would answer with already."""

from collections.abc import Sequence
from datetime import datetime, timedelta

import polars as pl

from resources.features.push_sources import EVENT
from resources.lake.lake import while_folding
from resources.lake.pushed_files import pushed_names, rows_in
from resources.storage.storage import Storage

CREATED = "created"
MICROSECOND = timedelta(microseconds=1)


class PushedRows:
    """The newest pushed row of each key and event timestamp; each file is read once, because files never change.

    Where one is gone, because it was folded into another or a push was taken back, all that are there are read again.
    """

    def __init__(self, folder: Storage, keys: Sequence[str]) -> None:
        self.folder, self.keys = folder, [*keys, EVENT]
        self._read: set[str] = set()
        self._newest: pl.DataFrame | None = None
        self._received: dict[str, datetime | None] = {}

    def received(self, now: datetime) -> datetime:
        """When rows that are pushed `now` are said to be received: always after those that are there.

        A clock that went back, or one of another machine that is behind, would otherwise let an earlier push outrank its
        correction, and bring rows into what a join is said to have had before it.
        """
        while_folding(self._look)
        return max([now, *(newest + MICROSECOND for newest in self._received.values() if newest)])

    def _look(self) -> None:
        there = pushed_names(self.folder)
        new = {name: _newest(rows_in(self.folder, name)) for name in there if name not in self._received}
        self._received = {name: (self._received | new)[name] for name in there}

    def has(self, rows: pl.DataFrame) -> pl.Series:
        """Whether the pushed row that counts for each row's keys and event timestamp holds the same values.

        A correction that was taken back is written again: only the newest row counts.
        """
        while_folding(self._take_up)
        if self._newest is None:
            return pl.repeat(False, rows.height, eager=True)
        values = [name for name in rows.columns if name not in self.keys]
        there = self._newest.select(*self.keys, *(pl.col(v).alias(f"_now_{v}") for v in values), _there=True)
        both = rows.join(there, on=self.keys, how="left", maintain_order="left")
        same = pl.all_horizontal(pl.col(v).eq_missing(pl.col(f"_now_{v}")) for v in values)
        return both.select(pl.col("_there").fill_null(False) & same).to_series()

    def _take_up(self) -> None:
        there = set(pushed_names(self.folder))
        if self._read - there:  # Folded into another, or taken back.
            self._read, self._newest = set(), None
        files = sorted(there - self._read)
        if not files:
            return
        frames = [rows_in(self.folder, name) for name in files]
        known = [self._newest] if self._newest is not None else []
        rows = pl.concat([*known, *frames], how="diagonal_relaxed")
        ordered = rows.sort(CREATED, nulls_last=False, maintain_order=True)
        self._newest = ordered.unique(self.keys, keep="last", maintain_order=True)
        self._read = there


def _newest(rows: pl.DataFrame) -> datetime | None:
    newest = rows[CREATED].max() if CREATED in rows.columns else None
    assert newest is None or isinstance(newest, datetime)
    return newest
