"""Writing to a store of serialised values: rows merged in by their times, and a window of history brought up to date.

A row replaces what is stored for its key if it is newer, or as new and not created earlier. Merged in any order, and
any number of times, the same rows leave the same state.
"""

import hashlib
from abc import abstractmethod
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import polars as pl
import pyarrow as pa
from feast.infra.online_stores.online_store import OnlineStore
from feast.repo_config import RepoConfig

from .batch import NEVER, Batch, Row, of_rows, of_table
from .codec.moment import EPOCH, micros, moment_of

Progress = Callable[[int], Any] | None
Pull = Callable[[datetime, datetime], pa.Table]
"""Rows of a view with event timestamps from the first to the second moment, both included."""


@dataclass(frozen=True)
class Reach:
    """How far a view's values go: all that was known up to `until`, the newest of them from `newest` (microseconds).

    `shape` names the features and types that it holds for: a view that has other ones now is not there yet.
    """

    until: int
    newest: int
    shape: str


@dataclass(frozen=True)
class Brought:
    """What bringing a view up to date did: rows read and taken away, and the newest event time that is stored now."""

    rows: int
    removed: int
    newest: datetime | None


class BulkWrites(OnlineStore):
    """Writing for stores of serialised values."""

    @abstractmethod
    def merge(self, config: RepoConfig, view: Any, batch: Batch, progress: Progress = None) -> None:
        """Store the rows that are not older than what is there; `progress` is told of rows as they are done."""

    @abstractmethod
    def forget(self, config: RepoConfig, view: Any, keys: Sequence[bytes]) -> None:
        """Remove all values of the view for these keys."""

    @abstractmethod
    def versions(self, config: RepoConfig, view: Any) -> pl.DataFrame:
        """Columns `key`, `event` and `created` (microseconds) of every row of the view."""

    @abstractmethod
    def reach(self, config: RepoConfig, view: Any) -> Reach | None:
        """How far the view was brought, as the last complete `bring_up` left it."""

    @abstractmethod
    def publish(self, config: RepoConfig, view: Any, reach: Reach) -> None:
        """Say how far the view was brought."""

    @abstractmethod
    def change(self, config: RepoConfig) -> AbstractContextManager[None]:
        """A span in which changes belong together: all of them are seen at its end or, where a store cannot do that, in order."""

    def online_write_batch(self, config: RepoConfig, table: Any, data: list[Row], progress: Progress) -> None:
        """Feast's way in, for pushes and single rows; the rule is that of `merge`."""
        with self.change(config):
            for batch in of_rows(config, data):
                self.merge(config, table, batch)
        if progress:
            progress(len(data))

    def reached(self, config: RepoConfig, view: Any) -> datetime | None:
        """Up to when all that was known of the view is stored; None where it never was, or was with other features."""
        reach = self.reach(config, view)
        return moment_of(reach.until) if reach and reach.shape == shape(view) else None

    def write_table(self, config: RepoConfig, view: Any, table: pa.Table, progress: Progress = None) -> int:
        """Merge a table with the view's columns; returns its number of different keys."""
        batch = of_table(view, table)
        with self.change(config):
            self.merge(config, view, batch, progress)
        return len(batch)

    def restate(self, config: RepoConfig, view: Any, pull: Pull, gone: pa.Table, others: pa.Table) -> None:
        """For each key of rows that are gone, replace what is stored by the newest of what is left.

        That is the history as far as the view was brought, and of `others`, rows that came in by another way, all.
        """
        keys = of_table(view, gone).keys.to_pylist()
        reach = self.reach(config, view)
        there = [pull(EPOCH, moment_of(reach.until))] if reach else []
        left = [_only(of_table(view, table), keys) for table in (*there, others) if table.num_rows]
        with self.change(config):
            self.forget(config, view, keys)
            for part in left:
                if len(part):
                    self.merge(config, view, part)

    def bring_up(
        self,
        config: RepoConfig,
        view: Any,
        pull: Pull,
        start: datetime,
        end: datetime,
        progress: Progress = None,
    ) -> Brought:
        """Bring a view to what the history from `start` to `end` says, and what is before as far as it is not there yet.

        Read is what lies after the moment to which the view was brought before, and the window asked for; of a view
        with a time to live nothing that has expired by `end`. Inside a window that was there already, stored rows
        which its history no longer has are removed, and the values before them take their place. How far the view
        reaches is published last: killed before, the same call does the rest.
        """
        known = self.reach(config, view)
        reach = known if known and known.shape == shape(view) else None
        oldest = max(EPOCH, end - view.ttl) if view.ttl else EPOCH
        first = max(oldest, min(start, moment_of(reach.until)) if reach else EPOCH)
        batch = of_table(view, pull(first, end))
        again = reach is not None and micros(start) < reach.until
        gone = _gone(self.versions(config, view), batch, micros(first), micros(end)) if again else []
        before = _only(of_table(view, pull(oldest, end)), gone) if gone and first > oldest else None
        with self.change(config):
            if gone:
                self.forget(config, view, gone)
            for part in (before, batch):
                if part is not None and len(part):
                    self.merge(config, view, part, progress)
            newest = [int(part.event.max()) for part in (before, batch) if part is not None and len(part)]
            new = Reach(
                max(micros(end), reach.until if reach else NEVER),
                max([*newest, reach.newest if reach else NEVER]),
                shape(view),
            )
            self.publish(config, view, new)
        return Brought(len(batch), len(gone), moment_of(new.newest) if new.newest != NEVER else None)


def shape(view: Any) -> str:
    """A digest of the names and types of a view's join keys and features."""
    columns = [(c.name, c.dtype.to_value_type().name) for c in (*view.entity_columns, *view.features)]
    return hashlib.sha256(repr(columns).encode()).hexdigest()[:16]


def _gone(stored: pl.DataFrame, batch: Batch, first: int, last: int) -> list[bytes]:
    """Keys whose stored row is inside the window, and newer than any that the window's history has now."""
    inside = stored.filter(pl.col("event").is_between(first, last))
    both = inside.join(batch.versions(), on="key", how="left", suffix="_now")
    newer = (pl.col("event") > pl.col("event_now")) | (
        (pl.col("event") == pl.col("event_now")) & (pl.col("created") > pl.col("created_now"))
    )
    return both.filter(pl.col("event_now").is_null() | newer)["key"].to_list()


def _only(batch: Batch, keys: Sequence[bytes]) -> Batch:
    among = pl.Series(batch.keys).is_in(pl.Series(keys, dtype=pl.Binary).implode())
    return batch.rows(among.arg_true().to_numpy())
