"""Feast's Redis online store with bulk writes, fast reads, and the rules of the offline join that it leaves out.

Stock Feast reads what this store writes, and the other way round. Where rows have created times, one field more a
view stands beside the stock fields of an entity's hash, with event and created time; a script in the server compares
them and writes an entity whole or not at all, so that nothing has to be read first and no lock is held.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
import polars as pl
import pydantic
from feast.infra.key_encoding_utils import serialize_entity_key_prefix
from feast.infra.online_stores.helpers import _mmh3
from feast.infra.online_stores.redis import (
    RedisOnlineStore,
    RedisOnlineStoreConfig,
    RedisType,
    _versioned_fv_name,
)
from feast.repo_config import RepoConfig

from ..batch import Batch, Row
from ..codec.keys import values_end
from ..codec.moment import NEVER
from ..plan import KeyGroup, StoredCells, ViewRead
from ..reading import BulkReads
from ..reads import Place
from ..writing import BulkWrites, Progress, Reach
from .commands import Command, Fetching, Ways, fetching
from .packed import packed
from .packing import fields_of, form_of, times_of
from .renaming import literal
from .sockets import Wires
from .wire import merging

SCANNED = 5_000


class BulkRedisOnlineStoreConfig(RedisOnlineStoreConfig):
    """The stock store's settings under this store's name."""

    type: str = f"{__name__}.BulkRedisOnlineStore"  # type: ignore[assignment]

    @pydantic.model_validator(mode="after")
    def _one_server(self) -> "BulkRedisOnlineStoreConfig":
        if self.redis_type == RedisType.redis_cluster:
            raise ValueError("redis_type redis_cluster: a script writes many keys at once, use type: redis")
        return self


class BulkRedisOnlineStore(BulkReads, BulkWrites, RedisOnlineStore):
    """A hash an entity, a field a feature value, as in the stock store; event timestamps to the microsecond."""

    def __init__(self) -> None:
        super().__init__()
        self._wires = Wires()

    def merge(self, config: RepoConfig, view: Any, batch: Batch, progress: Progress = None) -> None:
        """Send rows to the server's script, some hundred at a time; each entity is written whole or not at all."""
        names, stamp = list(batch.features), _stamp(config, view)
        mark, beside = packed(view, batch, stamp)
        features = {_mmh3(f"{_name(config, view)}:{name}"): batch.features[name] for name in names}
        script, parts = merging(
            batch,
            suffix=config.project.encode(),
            values=features | beside,
            stamp=stamp,
            mark=mark,
            version=_version(config, view),
            seconds=_settings(config).key_ttl_seconds or 0,
        )
        self._wires.run(self._client_of(config), script, parts, progress)

    async def online_write_batch_async(
        self, config: RepoConfig, table: Any, data: list[Row], progress: Progress
    ) -> None:
        """The same as the synchronous call: a batch from an event loop is a few rows."""
        self.online_write_batch(config, table, data, progress)

    def forget(self, config: RepoConfig, view: Any, keys: Sequence[bytes]) -> None:
        """Delete the view's fields of these keys."""
        fields = self._fields(config, view)
        suffix = config.project.encode()
        with self._client_of(config).pipeline(transaction=False) as pipe:
            for key in keys:
                pipe.hdel(key + suffix, *fields)
            pipe.execute()

    def versions(self, config: RepoConfig, view: Any) -> pl.DataFrame:
        """Event and created times of each key, by a walk over the server's keys."""
        suffix = config.project.encode()
        keys, events, created = [], [], []
        for some in self._keys(config, view):
            replies = self._wires.ask(
                self._client_of(config),
                Command(b"HMGET", b"", [_stamp(config, view), _version(config, view)]).of(some),
                len(some),
            )
            times = times_of([stamp for stamp, _ in replies])
            for key, time, (stamp, version) in zip(some, times, replies, strict=True):
                if time is not None:
                    keys.append(key[: -len(suffix)])
                    events.append(time)
                    created.append(_created(stamp, version))
        schema = {"key": pl.Binary, "event": pl.Int64, "created": pl.Int64}
        return pl.DataFrame([keys, events, created], schema)

    def reach(self, config: RepoConfig, view: Any) -> Reach | None:
        """The view's own hash."""
        until, newest, shape = self._client_of(config).hmget(  # type: ignore[misc]
            _reach_key(config, view), "until", "newest", "shape"
        )
        return Reach(int(until), int(newest), shape.decode()) if until else None

    def publish(self, config: RepoConfig, view: Any, reach: Reach) -> None:
        """Replace the view's own hash."""
        content = {"until": reach.until, "newest": reach.newest, "shape": reach.shape}
        self._client_of(config).hset(_reach_key(config, view), mapping=content)

    @contextmanager
    def change(self, config: RepoConfig) -> Iterator[None]:
        """Nothing: entities are written whole, one after the other, and how far a view reaches is published at the end."""
        yield

    def fetch(
        self, config: RepoConfig, questions: Sequence[tuple[KeyGroup, list[bytes]]]
    ) -> list[list[StoredCells]]:
        """One round trip: a command an entity key, whatever the number of views that share it."""
        return self._wires.fetch(self._client_of(config), self._fetching(config, questions))

    async def fetch_async(
        self, config: RepoConfig, questions: Sequence[tuple[KeyGroup, list[bytes]]]
    ) -> list[list[StoredCells]]:
        """`fetch` with the event loop's own sockets."""
        return await self._wires.fetch_async(self._client_of(config), self._fetching(config, questions))

    def _fetching(self, config: RepoConfig, questions: Sequence[tuple[KeyGroup, list[bytes]]]) -> Fetching:
        return fetching(questions, [self._ways(config, group) for group, _ in questions])

    def place(self, config: RepoConfig, read: ViewRead) -> Place:
        """Where a view is, for whoever reads it without Feast."""
        name = _name(config, read.view)
        fields = tuple(_mmh3(f"{name}:{feature}") for feature in read.features)
        return Place(read.view.name, fields=fields, stamp=_stamp(config, read.view))

    def _ways(self, config: RepoConfig, group: KeyGroup) -> Ways:
        if "ways" not in group.memo:
            group.memo["ways"] = Ways(config.project, group, partial(self.place, config))
        return group.memo["ways"]

    def delete_table(self, config: RepoConfig, table: Any) -> None:
        """Remove all that is stored of a view."""
        fields = self._fields(config, table)
        client = self._client_of(config)
        for keys in self._keys(config, table):
            with client.pipeline(transaction=False) as pipe:
                for key in keys:
                    pipe.hdel(key, *fields)
                pipe.execute()
        client.delete(_reach_key(config, table))

    def _fields(self, config: RepoConfig, view: Any) -> list[bytes]:
        features = [_mmh3(f"{_name(config, view)}:{feature.name}") for feature in view.features]
        form, stamp = form_of(view), _stamp(config, view)
        return [*features, *(fields_of(form, stamp) if form else ()), stamp, _version(config, view)]

    def _keys(self, config: RepoConfig, view: Any) -> Iterator[list[bytes]]:
        """Full keys of the entities of a view's kind, some thousand at a time; each at least once.

        The pattern finds those of a project `ba` for the project `a` too: its name must begin where a key's values end.
        """
        start, suffix, count = (
            serialize_entity_key_prefix(view.join_keys),
            config.project.encode(),
            len(view.join_keys),
        )
        pattern = literal(start) + b"*" + suffix
        client, cursor = self._client_of(config), 0
        while True:
            cursor, batch = client.scan(cursor, match=pattern, count=SCANNED)  # type: ignore[misc]
            if ours := [key for key in batch if values_end(key, len(start), count) == len(key) - len(suffix)]:
                yield ours
            if cursor == 0:
                return

    def _client_of(self, config: RepoConfig) -> Any:
        return self._get_client(_settings(config))

    async def close(self) -> None:
        """Let go of the connections."""
        self._wires.close()


def _settings(config: RepoConfig) -> RedisOnlineStoreConfig:
    assert isinstance(config.online_store, RedisOnlineStoreConfig)
    return config.online_store


def _name(config: RepoConfig, view: Any) -> str:
    return _versioned_fv_name(view, config)


def _stamp(config: RepoConfig, view: Any) -> bytes:
    return f"_ts:{_name(config, view)}".encode()


def _version(config: RepoConfig, view: Any) -> bytes:
    return f"_version:{_name(config, view)}".encode()


def _reach_key(config: RepoConfig, view: Any) -> bytes:
    return f"reach:{config.project}:{_name(config, view)}".encode()


def _created(stamp: bytes, version: bytes | None) -> int:
    """Created time, if the version was written together with the time stamp."""
    if version is None or version[16:] != stamp:
        return NEVER
    return int(np.frombuffer(version, dtype="<f8", count=2)[1])
