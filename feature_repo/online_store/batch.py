"""Rows on their way into an online store: serialised, with one row a key."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import reduce
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
from feast.infra.key_encoding_utils import serialize_entity_key
from feast.repo_config import RepoConfig

from .codec import encoding, key_columns
from .codec.encoding import BINARY, compute
from .codec.kinds import ValueType
from .codec.moment import NEVER, micros
from .plan import DUMMY

Row = tuple[Any, dict[str, Any], datetime, datetime | None]
"""What Feast hands to a store: entity key, values, event and created timestamp."""


@dataclass(frozen=True)
class Batch:
    """Values of one view, a row a key: keys (n,) and features (n,) as bytes, times (n,) as int64 microseconds."""

    keys: pa.Array
    event: np.ndarray
    created: np.ndarray
    features: dict[str, pa.Array]

    def __len__(self) -> int:
        return len(self.keys)

    def rows(self, which: Any) -> "Batch":
        """Some of the rows: a slice, or an array of positions."""
        if isinstance(which, slice):
            length = which.stop - which.start
            picked = {name: cells.slice(which.start, length) for name, cells in self.features.items()}
            return Batch(self.keys.slice(which.start, length), self.event[which], self.created[which], picked)
        picked = {name: cells.take(which) for name, cells in self.features.items()}
        return Batch(self.keys.take(which), self.event[which], self.created[which], picked)

    def newest(self) -> "Batch":
        """Of the rows of each key the newest, of equally new ones the last created, then the last."""
        frame = pl.DataFrame({"key": pl.Series(self.keys), "event": self.event, "created": self.created})
        if frame["key"].n_unique() == len(self):
            return self
        rows = frame.with_row_index("row").sort("event", "created", "row").unique("key", keep="last")
        return self.rows(rows["row"].sort().to_numpy())

    def sorted(self) -> "Batch":
        """The rows in the order of their keys' bytes."""
        return self.rows(pl.Series(self.keys).arg_sort().to_numpy())

    def newer_than(self, stored: Mapping[bytes, tuple[int, int]]) -> "Batch":
        """The rows that take the place of what is stored (event and created time by key): newer, or as new and not created earlier."""
        if not stored:
            return self
        keys = self.keys.to_numpy(zero_copy_only=False).tolist()
        there = np.array([stored.get(key, (NEVER, NEVER)) for key in keys], dtype=np.int64).reshape(-1, 2)
        later = (self.event == there[:, 0]) & (self.created >= there[:, 1])
        wins = (self.event > there[:, 0]) | later
        return self if wins.all() else self.rows(np.flatnonzero(wins))

    def versions(self) -> pl.DataFrame:
        """Columns `key`, `event` and `created` (microseconds)."""
        return pl.DataFrame({"key": pl.Series(self.keys), "event": self.event, "created": self.created})


def of_table(view: Any, table: pa.Table) -> Batch:
    """The newest rows of a table that has the view's join keys, features, event and created timestamps as columns.

    Rows without a key or an event timestamp are left out: no question can ever find them. A column that is missing,
    or whose values do not fit the view's types, is an error that names it.
    """
    source = view.batch_source
    table = _with_dummy(view, table)
    _require(view, table, [c.name for c in (*view.entity_columns, *view.features)] + [source.timestamp_field])
    table = _answerable(table, [c.name for c in view.entity_columns], source.timestamp_field)
    columns = {c.name: (_whole(table, c.name), c.dtype.to_value_type()) for c in view.entity_columns}
    batch = Batch(
        keys=key_columns.of_columns(columns),
        event=_times(table, source.timestamp_field),
        created=_times(table, source.created_timestamp_column),
        features={f.name: _encoded(view, table, f.name, f.dtype.to_value_type()) for f in view.features},
    )
    return batch.newest()


def of_rows(config: RepoConfig, rows: Sequence[Row]) -> list[Batch]:
    """The newest of the rows that Feast hands to a store one by one; a batch for each set of features.

    Rows without an event timestamp (None, or pandas' NaT) are left out.
    """
    alike: dict[tuple[str, ...], list[Row]] = defaultdict(list)
    for row in rows:
        if _known(row[2]):
            alike[tuple(row[1])].append(row)
    return [_of_alike(config, names, some) for names, some in alike.items()]


def _known(moment: datetime | None) -> bool:
    return moment is not None and moment == moment


def serialised_key(config: RepoConfig, key: Any) -> bytes:
    """An entity key's bytes."""
    return serialize_entity_key(key, entity_key_serialization_version=config.entity_key_serialization_version)


def _of_alike(config: RepoConfig, names: Sequence[str], rows: Sequence[Row]) -> Batch:
    created = [micros(row[3]) if row[3] is not None and _known(row[3]) else NEVER for row in rows]
    batch = Batch(
        keys=pa.array([serialised_key(config, row[0]) for row in rows], BINARY),
        event=np.array([micros(row[2]) for row in rows], dtype=np.int64),
        created=np.array(created, dtype=np.int64),
        features={n: pa.array([row[1][n].SerializeToString() for row in rows], BINARY) for n in names},
    )
    return batch.newest()


def _with_dummy(view: Any, table: pa.Table) -> pa.Table:
    if DUMMY not in {column.name for column in view.entity_columns} or DUMMY in table.column_names:
        return table
    return table.append_column(DUMMY, pa.array([""] * table.num_rows, pa.string()))


def _require(view: Any, table: pa.Table, names: Sequence[str]) -> None:
    missing = [name for name in names if name not in table.column_names]
    if missing:
        raise ValueError(
            f"feature view {view.name!r} names {', '.join(missing)}, which its source does not have; "
            f"the source has {', '.join(table.column_names)}"
        )


def _answerable(table: pa.Table, join_keys: Sequence[str], time: str) -> pa.Table:
    incomplete = [name for name in (*join_keys, time) if table[name].null_count]
    if not incomplete:
        return table
    return table.filter(reduce(compute.and_, [compute.is_valid(table[name]) for name in incomplete]))


def _whole(table: pa.Table, name: str) -> pa.Array:
    column = table[name].combine_chunks()
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column


def _encoded(view: Any, table: pa.Table, name: str, kind: ValueType) -> pa.Array:
    column = _whole(table, name)
    try:
        return encoding.values(column, kind)
    except (TypeError, ValueError, OverflowError, AssertionError, pa.ArrowException) as error:
        raise ValueError(
            f"feature view {view.name!r} declares {name} as {kind.name} and its source has {column.type}: {error}"
        ) from error


def _times(table: pa.Table, name: str | None) -> np.ndarray:
    """Microseconds since 1970; naive timestamps are UTC."""
    if not name or name not in table.column_names:
        return np.full(table.num_rows, NEVER)
    column = _whole(table, name)
    if not pa.types.is_timestamp(column.type):
        column = column.cast(pa.timestamp("us"))
    return _micros(column).fill_null(NEVER).to_numpy(zero_copy_only=False)


def _micros(column: pa.Array) -> pa.Array:
    ticks, unit = column.cast(pa.int64()), column.type.unit
    if unit == "ns":
        floored = ticks.fill_null(0).to_numpy(zero_copy_only=False) // 1000
        return pa.array(floored, mask=compute.is_null(ticks).to_numpy(zero_copy_only=False))
    return compute.multiply(ticks, {"s": 1_000_000, "ms": 1000, "us": 1}[unit])
