"""Feast's SQLite online store, with the rules of the offline join that it leaves out.

A value older than the view's time to live is not served at a given moment (stock Feast serves it for ever), a
value never replaces a newer one (in stock Feast the last write wins, so that a backfill would set serving back
in time), and a batch that stands for all that is known up to a moment takes the place of what was there.
Tables and keys are those of the stock store; a batch is one transaction and one statement.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, Literal

from feast import FeatureView
from feast.infra.key_encoding_utils import serialize_entity_key
from feast.infra.online_stores.helpers import compute_table_id
from feast.infra.online_stores.sqlite import SqliteOnlineStore, SqliteOnlineStoreConfig
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value
from feast.repo_config import RepoConfig

Row = tuple[EntityKey, dict[str, Value], datetime, datetime | None]
Answer = tuple[datetime | None, dict[str, Value] | None]

NAME = "feature_repo.online_store.sqlite.ExpiringSqliteOnlineStore"
KEYS_A_QUERY = 10_000

_as_of: ContextVar[datetime | None] = ContextVar("as_of", default=None)
_replaces: ContextVar[datetime | None] = ContextVar("replaces", default=None)


@contextmanager
def as_of(moment: datetime) -> Iterator[None]:
    """Within, reads answer with what was known and still valid at `moment`; without, nothing ever expires."""
    token = _as_of.set(moment)
    try:
        yield
    finally:
        _as_of.reset(token)


@contextmanager
def replacing(moment: datetime) -> Iterator[None]:
    """Within, a batch takes the place of all values of its view up to `moment`."""
    token = _replaces.set(moment)
    try:
        yield
    finally:
        _replaces.reset(token)


class ExpiringSqliteOnlineStoreConfig(SqliteOnlineStoreConfig):
    """The stock store's settings under this store's name."""

    type: Literal["feature_repo.online_store.sqlite.ExpiringSqliteOnlineStore"] = NAME  # type: ignore[assignment]


class ExpiringSqliteOnlineStore(SqliteOnlineStore):
    """One row a feature value, as in the stock store; event timestamps are unix seconds."""

    def online_write_batch(
        self,
        config: RepoConfig,
        table: FeatureView,
        data: list[Row],
        progress: Callable[[int], Any] | None,
    ) -> None:
        """Write the values that are not older than what is there."""
        name = _table(config, table)
        upsert = (
            f"INSERT INTO {name} (entity_key, feature_name, value, event_ts) VALUES (?, ?, ?, ?) "
            "ON CONFLICT(entity_key, feature_name) DO UPDATE SET value = excluded.value, "
            "event_ts = excluded.event_ts WHERE excluded.event_ts >= event_ts"
        )
        moment = _replaces.get()
        with self._get_conn(config) as connection:
            if moment is not None:
                connection.execute(f"DELETE FROM {name} WHERE event_ts <= ?", (_seconds(moment),))
            connection.executemany(upsert, _values(config, data))
        if progress:
            progress(len(data))

    def online_read(
        self,
        config: RepoConfig,
        table: FeatureView,
        entity_keys: list[EntityKey],
        requested_features: list[str] | None = None,
    ) -> list[Answer]:
        """The values of each entity with their event timestamp; (None, None) where none is known and valid."""
        keys = [_key(config, entity_key) for entity_key in entity_keys]
        found: dict[bytes, tuple[int, dict[str, Value]]] = {}
        for first in range(0, len(keys), KEYS_A_QUERY):
            chunk = keys[first : first + KEYS_A_QUERY]
            for key, feature, value, seconds in self._select(config, table, chunk, requested_features):
                found.setdefault(key, (seconds, {}))[1][feature] = Value.FromString(value)
        return [_answer(found.get(key)) for key in keys]

    def _select(
        self, config: RepoConfig, table: FeatureView, keys: list[bytes], features: list[str] | None
    ) -> list[tuple[bytes, str, bytes, int]]:
        query = (
            # The cast keeps sqlite3 from turning the column into a datetime of the machine's time zone.
            f"SELECT entity_key, feature_name, value, CAST(event_ts AS INTEGER) FROM {_table(config, table)} "
            f"WHERE entity_key IN ({_marks(keys)})"
        )
        bound: list[Any] = [*keys]
        if features is not None:
            query += f" AND feature_name IN ({_marks(features)})"
            bound += features
        moment = _as_of.get()
        if moment is not None:
            ttl = int(table.ttl.total_seconds()) if table.ttl else _seconds(moment)
            query += " AND event_ts BETWEEN ? AND ?"
            bound += [_seconds(moment) - ttl, _seconds(moment)]
        return self._get_conn(config).execute(query, bound).fetchall()

    def _get_conn(self, config: RepoConfig) -> Any:
        if self._conn is None:
            connection = super()._get_conn(config)
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=NORMAL")
            connection.execute("PRAGMA busy_timeout=30000")
        return self._conn


def _table(config: RepoConfig, table: FeatureView) -> str:
    versioned = bool(config.registry and config.registry.enable_online_feature_view_versioning)
    return '"' + compute_table_id(config.project, table, versioned).replace('"', '""') + '"'


def _values(config: RepoConfig, data: list[Row]) -> Iterator[tuple[bytes, str, bytes, int]]:
    for entity_key, values, moment, _ in data:
        key, seconds = _key(config, entity_key), _seconds(moment)
        for feature, value in values.items():
            yield key, feature, value.SerializeToString(), seconds


def _key(config: RepoConfig, entity_key: EntityKey) -> bytes:
    return serialize_entity_key(
        entity_key, entity_key_serialization_version=config.entity_key_serialization_version
    )


def _answer(found: tuple[int, dict[str, Value]] | None) -> Answer:
    if found is None:
        return None, None
    return datetime.fromtimestamp(found[0], UTC), found[1]


def _seconds(moment: datetime) -> int:
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return int(aware.timestamp())


def _marks(values: Sequence[Any]) -> str:
    return ",".join("?" * len(values))
