"""A project's keys in a real Redis are brought under another name, all of them, at any time, and nobody else's."""

from collections.abc import Iterator
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis import Redis

from feature_repo.online_store.redis import renaming
from feature_repo.online_store.redis.renaming import Renamed, is_of, rename_project

BEFORE, NOW = "ops", "mlops"
"""The new name ends with the old one, so that a key that was renamed looks like one that was not."""


def key(project: str, **values: str | int) -> bytes:
    """The key that Feast itself gives an entity."""
    from feast.infra.online_stores.helpers import _redis_key
    from feast.protos.feast.types.EntityKey_pb2 import EntityKey
    from feast.protos.feast.types.Value_pb2 import Value

    names = sorted(values)
    entities = [
        Value(string_val=v) if isinstance(v, str) else Value(int64_val=v) for v in (values[n] for n in names)
    ]
    return _redis_key(project, EntityKey(join_keys=names, entity_values=entities))


def filled(redis_client: Redis, project: str, entities: int = 30) -> dict[bytes, bytes]:
    """Entities of one and of two keys with a value each, and how far a view reaches; what is there afterwards."""
    for n in range(entities):
        redis_client.hset(key(project, place=f"{project}-{n}"), "v", n)
        redis_client.hset(key(project, place=f"{n}", hour=n), "v", n)
    redis_client.expire(key(project, place=f"{project}-0"), 1000)
    redis_client.hset(f"reach:{project}:weather", mapping={"until": 1})
    return content(redis_client)


def content(redis_client: Redis) -> dict[bytes, bytes]:
    return {name: redis_client.dump(name) for name in redis_client.scan_iter()}


def test_each_key_has_the_new_name_with_what_was_in_it_and_when_it_ends(redis_client, redis_address):
    old, expected = filled(redis_client, BEFORE), {}
    for name, dump in old.items():
        new = f"reach:{NOW}:weather".encode() if name.startswith(b"reach:") else name[:-3] + b"mlops"
        expected[new] = dump
    assert rename_project(redis_address, BEFORE, NOW) == Renamed(len(old), 0)
    assert content(redis_client) == expected
    assert redis_client.ttl(key(NOW, place="ops-0")) > 0
    assert rename_project(redis_address, BEFORE, NOW) == Renamed() and content(redis_client) == expected


def test_what_is_of_others_stays(redis_client, redis_address):
    for other in ("devops", "ops2", NOW):
        filled(redis_client, other, 3)
    redis_client.set("some ops", 1)
    redis_client.set(b"\x01\x00\x00\x00ops", 1)
    redis_client.hset("reach:opsy:weather", mapping={"until": 1})
    others = content(redis_client)
    filled(redis_client, BEFORE, 3)
    redis_client.delete("reach:ops:weather")
    for n in range(3):
        redis_client.delete(key(BEFORE, place=f"ops-{n}"), key(BEFORE, place=f"{n}", hour=n))
    assert rename_project(redis_address, BEFORE, "elsewhere") == Renamed() and content(redis_client) == others


def test_a_key_whose_new_name_is_taken_is_left(redis_client, redis_address):
    redis_client.hset(key(BEFORE, place="a"), "v", "old")
    redis_client.hset(key(NOW, place="a"), "v", "new")
    assert rename_project(redis_address, BEFORE, NOW) == Renamed(0, 1)
    assert redis_client.hget(key(NOW, place="a"), "v") == b"new" and redis_client.exists(
        key(BEFORE, place="a")
    )


def test_one_that_is_stopped_after_any_part_is_finished_by_the_next(redis_client, redis_address, monkeypatch):
    monkeypatch.setattr(renaming, "SCANNED", 7)
    filled(redis_client, BEFORE)
    rename_project(redis_address, BEFORE, NOW)
    expected, whole, parts, stopped = content(redis_client), renaming._rename, 0, True
    while stopped:
        redis_client.flushdb()
        filled(redis_client, BEFORE)
        left = iter(range(parts))

        def rename(redis_client: Any, names: Any, left: Iterator[int] = left) -> list[bool]:
            if next(left, None) is None:
                raise KeyboardInterrupt
            return whole(redis_client, names)

        monkeypatch.setattr(renaming, "_rename", rename)
        stopped = False
        try:
            rename_project(redis_address, BEFORE, NOW)
        except KeyboardInterrupt:
            stopped = True
        monkeypatch.setattr(renaming, "_rename", whole)
        rename_project(redis_address, BEFORE, NOW)
        assert content(redis_client) == expected, f"stopped after {parts} parts"
        parts += 1
    assert parts > 5


NAMES = st.text("abops_", min_size=1, max_size=6)


@given(NAMES, NAMES, st.text(max_size=8), st.integers(0, 2**40))
@settings(suppress_health_check=[HealthCheck.differing_executors])
def test_a_key_is_of_the_project_that_wrote_it_and_of_no_other(project, other, place, hour):
    for made in (key(project, place=place), key(project, place=place, hour=hour)):
        assert is_of(made, project)
        assert is_of(made, other) == (other == project)


@given(st.binary(max_size=40))
def test_any_other_bytes_are_no_key_or_read_without_an_error(some):
    is_of(some, "ops")
    assert not is_of(some + b"x", "ops")
